"""Keeping a warehouse: making its tables, looking at its runs."""
