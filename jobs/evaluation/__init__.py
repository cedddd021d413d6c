"""What a model is worth: its evaluation set, its thresholds and counts, its speed."""
