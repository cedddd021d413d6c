"""Teachers, students and the serving contract; knows nothing of Spark or of tables."""
