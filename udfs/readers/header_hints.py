"""What may be wrong with a header that lacks columns, in words: the setting with which the file would have them."""

from __future__ import annotations

import json
from collections.abc import Collection, Set

from udfs.readers.dialects import EXCEL
from udfs.readers.file_format import FileLayout

_DELIMITERS = (",", ";", "\t", "|")
_LINES = 20
Header = Collection[str]


def hint(header: Header, required: Set[str], layout: FileLayout, start: bytes) -> str:
    """How the file had to be read to have all required columns, behind a semicolon; never what is in it.

    Args:
        header: What was read as the columns' names.
        required: The columns that have to be there.
        layout: How the file was read.
        start: The first bytes of its content as UTF-8.
    """
    if any("\udc80" <= character <= "\udcff" for name in header for character in name):
        return f"; its bytes are not {layout.encoding}: encoding: gb18030 reads what Chinese Excel saves"
    told = _delimiter(header, required) or _quotes(header, required) or _spelling(header, required)
    told = told or _lines(start.decode("utf-8", "replace"), required)
    known = {*required, *layout.optional_columns}
    if not told and (layout.dialect or EXCEL).header is None and not known & {*header}:
        told = "where its first line is a record, dialect: {header: [...]} names the columns in their order"
    return f"; {told}" if told else ""


def _delimiter(header: Header, required: Set[str]) -> str:
    for delimiter in _DELIMITERS:
        if len(header) == 1 and required <= _names(next(iter(header)), delimiter):
            return f"split at {delimiter!r} the header has them: dialect: {{delimiter: {json.dumps(delimiter)}}}"
    return ""


def _quotes(header: Header, required: Set[str]) -> str:
    bare = {name[1:-1] for name in header if len(name) > 1 and name[0] == name[-1] == "'"}
    return 'the header has them in single quotes: dialect: {quote: "\'"}' if required <= bare else ""


def _spelling(header: Header, required: Set[str]) -> str:
    """Columns that differ from those that are asked for by blanks and case alone."""
    alike = {name.strip().casefold(): name for name in header}
    theirs = {name: alike.get(name.strip().casefold()) for name in sorted(required)}
    if None in theirs.values():
        return ""
    others = ", ".join(json.dumps(spelt, ensure_ascii=False) for name, spelt in theirs.items() if spelt != name)
    return f"the header has them as {others}: name them so in columns"


def _lines(start: str, required: Set[str]) -> str:
    """Of a header that is not the first line, or that ends otherwise."""
    if "\r" in start and "\n" not in start:
        if any(required <= _names(start.split("\r")[0], delimiter) for delimiter in _DELIMITERS):
            return "its lines end with a carriage return alone: dialect: {line_end: cr}"
        return ""
    lines = start.removeprefix("\ufeff").splitlines()[:_LINES]
    for number, line in enumerate(lines[1:], start=2):
        for delimiter in _DELIMITERS:
            if required <= _names(line, delimiter):
                return f"its line {number} has them: {_above(lines[: number - 1], delimiter)}"
    return ""


def _above(lines: list[str], delimiter: str) -> str:
    """What to do about the lines above a header."""
    between = f", delimiter: {json.dumps(delimiter)}"
    if lines == [f"sep={delimiter}"]:  # Excel's own line
        return f'dialect: {{comment: "sep="{between}}}'
    filled = [line for line in lines if line.strip()]
    if filled and all(line.startswith("#") for line in filled):
        return f'dialect: {{comment: "#"{"" if delimiter == "," else between}}}'
    return "take the lines above it away"


def _names(line: str, delimiter: str) -> Set[str]:
    return {name.strip().removeprefix('"').removesuffix('"') for name in line.split(delimiter)}
