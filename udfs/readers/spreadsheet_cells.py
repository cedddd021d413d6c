"""Cells of delimited files that a spreadsheet would run as formulas: made harmless where written, undone where read."""

from __future__ import annotations

import re

# Excel takes full-width signs for the narrow ones. Quotes before them are kept apart from ours by one more.
_FORMULA = re.compile("'*[=+\\-@\t\r＝＋－＠]")


def escaped(cell: str) -> str:
    """The cell with a quote before it where it, or it behind quotes, begins as a formula does."""
    return f"'{cell}" if _FORMULA.match(cell) else cell


def unescaped(cell: str) -> str:
    """The cell as it was before `escaped`; any other stays as it is."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
