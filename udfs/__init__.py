"""The executors: factories of batch functions over Arrow; no Spark in here."""
