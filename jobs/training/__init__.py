"""Rows as the trainer of students takes them: what rounds and teachers share."""
