"""Names and values as they stand in SQL of Spark."""

from __future__ import annotations


def literal(value: str) -> str:
    """A string, whatever is in it."""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def identifier(name: str) -> str:
    """The name of a column, whatever is in it."""
    escaped = name.replace("`", "``")
    return f"`{escaped}`"
