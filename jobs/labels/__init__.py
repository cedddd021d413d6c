"""From scores to labels: thresholds, promotions, decisions."""
