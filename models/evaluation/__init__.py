"""From scores to decisions and how good they are: predictions, metrics, threshold search."""
