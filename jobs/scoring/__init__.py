"""Students' and teachers' scores of texts, by the executors."""
