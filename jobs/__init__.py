"""The driver: every job, and the only place that knows Spark and Delta."""
