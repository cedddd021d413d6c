"""The tables: declared once, read and written in one way."""
