"""Delimited files that another dialect reads to other rows: refused, unless the settings say which it is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from io import BufferedReader

from udfs.readers.dialect_records import read_records
from udfs.readers.dialects import EXCEL, NAMED, Dialect
from udfs.readers.file_format import FileLayout
from udfs.readers.files import SMALL_BLOCK
from udfs.readers.record_spans import RejectedError

AMBIGUOUS = "file_ambiguous"
_SINGLE = '{quote: "\'"}'


@dataclass(frozen=True, slots=True)
class Evidence:
    r"""What a content has that dialects read otherwise.

    Attributes:
        quote: A quote.
        escaped_quote: A backslash before one.
        c_style: A backslash before a delimiter or a line's end, or a field that is `\N`.
        single_quote: A field that begins with a single quote.
    """

    quote: bool = False
    escaped_quote: bool = False
    c_style: bool = False
    single_quote: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """What one dialect makes of a content, all of whose records have as many fields as the header.

    Attributes:
        records: How many.
        digest: Of all fields.
        all_quoted: Whether all fields of a column that are there are in quotes.
        some_needless: Whether some fields of a column are in quotes that nothing in them asks for, and others are not.
    """

    records: int
    digest: str
    all_quoted: bool
    some_needless: bool


def check_readings(again: Callable[[], BufferedReader], layout: FileLayout, *, delimiter: str) -> None:
    """Refuse a content that the spreadsheets' dialect and another one read to different rows.

    Nothing is refused where the settings name a dialect, or where none of them makes records of the header's width.

    Raises:
        RejectedError: with `file_ambiguous`; the detail says what each makes of it, never what is in it.
    """
    if layout.dialect is not None:
        return
    evidence = _evidence(again(), delimiter.encode())
    candidates = {
        "unquoted": evidence.quote, "spark": evidence.escaped_quote, "mysql": evidence.c_style,
        _SINGLE: evidence.single_quote,
    }  # fmt: skip
    if not any(candidates.values()):
        return
    excel = _reading(again(), layout, EXCEL, delimiter)
    dialects = {**NAMED, _SINGLE: Dialect(quote="'")}
    others = {name: _reading(again(), layout, dialects[name], delimiter) for name, asked in candidates.items() if asked}
    found = {
        name: reading
        for name, reading in others.items()
        if reading is not None and _differs(name, reading, excel, delimiter)
    }
    if not found:
        return
    first = f"{excel.records} records" if excel else "no whole table"
    second = ", ".join(f"as {name} {reading.records} records" for name, reading in found.items())
    which = " | ".join([*found, "excel"])
    raise RejectedError(
        AMBIGUOUS, f"read as excel it has {first}, {second}, and they differ; say which it is: dialect: {which}"
    )


def _differs(name: str, other: Reading, excel: Reading | None, delimiter: str) -> bool:
    if name == _SINGLE:  # one that begins a word is no dialect's; those about all fields of a column are
        return other.all_quoted
    if excel is None:
        return True
    if name != "unquoted":
        return other.digest != excel.digest
    # Of quotes about whole fields only tools that never quote leave some out.
    return other.records != excel.records or (delimiter == "\t" and excel.some_needless)


def _evidence(content: BufferedReader, delimiter: bytes) -> Evidence:
    found = Evidence()
    before = b"\n"
    while block := content.read(SMALL_BLOCK):
        joined = before + block
        if b'"' in block:
            found = replace(found, quote=True, escaped_quote=found.escaped_quote or b'\\"' in joined)
        if b"\\" in joined:
            signs = (b"\\" + delimiter, b"\\\n", b"\\\r\n", delimiter + b"\\N", b"\n\\N")
            found = replace(found, c_style=found.c_style or any(sign in joined for sign in signs))
        if b"'" in block:
            begins = any(sign + b"'" in joined for sign in (delimiter, b"\n"))
            found = replace(found, single_quote=found.single_quote or begins)
        before = block[-4:]
    return found


def _reading(content: BufferedReader, layout: FileLayout, dialect: Dialect, delimiter: str) -> Reading | None:
    """What a dialect makes of the content; None where a record has another width than the header, or a stray quote."""
    records = read_records(content, dialect, delimiter)
    header = next(records, None)
    names = [] if header is None or header.fields is None else header.fields
    if header is None or len(names) < 2 or not set(layout.required_columns) <= set(names) or not header.scanner.sound:
        return None
    digest = hashlib.sha256()
    count = 0
    needless: set[int] = set()
    quoted: set[int] = set()
    plain: set[int] = set()
    for record in records:
        fields = record.fields
        if record.long is not None:  # rejected by any dialect
            count += 1
            continue
        if fields is None or len(fields) != len(names) or not record.scanner.sound:
            return None
        count += 1
        digest.update(repr(fields).encode("utf-8", "surrogatepass"))
        needless.update(at for at, without_need in record.scanner.quoted.items() if without_need)
        quoted.update(record.scanner.quoted)
        plain.update(at for at, field in enumerate(fields) if field and at not in record.scanner.quoted)
    return Reading(count, digest.hexdigest(), bool(quoted - plain), bool(needless & plain))
