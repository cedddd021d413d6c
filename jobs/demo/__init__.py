"""The demo corpus: a seeded generator of what an online-education platform sees."""
