"""What people read: the report, the summary, SQL."""
