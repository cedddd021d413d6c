"""From files to clean texts and annotations, and annotations out again."""
