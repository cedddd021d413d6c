"""Scores from outside: the texts to ask for, and the answers as a teacher's scores."""
