"""CSV and TSV with the place of every record and a bound on its size: by Python's csv module, or in another dialect."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set
from functools import partial
from io import BufferedReader
from typing import Any

from models.errors import DataError
from udfs.readers.counting import BYTE_ORDER_MARK, CsvCounter
from udfs.readers.dialect_readings import check_readings
from udfs.readers.dialect_records import DialectCounter, Record, read_records
from udfs.readers.dialects import EXCEL, Dialect
from udfs.readers.file_begins import BEGIN
from udfs.readers.file_format import FileLayout, Format, RecordCounter, TextFormat
from udfs.readers.files import SMALL_BLOCK
from udfs.readers.header_hints import hint
from udfs.readers.record_spans import MAX_RECORD_BYTES, LongRecord, RecordSpan, RejectedError


def delimited(file: BufferedReader, layout: FileLayout, *, delimiter: str) -> Iterator[RecordSpan]:
    """The records after the header, where there is one.

    Raises:
        DataError: where the header is not the layout's; a survey tells that before.
    """
    dialect = layout.dialect or EXCEL
    if not dialect.is_plain:
        yield from _of_dialect(file, layout, dialect, dialect.delimiter or delimiter)
        return
    nulls = frozenset(dialect.null)
    lines, reader, header = _opened(file, (dialect.delimiter or delimiter).encode())
    try:
        _check(header, layout)
    except RejectedError as refused:
        raise DataError(f"header: {refused.detail}; mend the columns in the settings, or the file") from None
    lines.begin()
    for fields in _fields(reader):
        if fields is None:
            lines.finish()
        if lines.filled(fields):
            yield lines.span(fields, header, nulls)
        lines.begin()


def _of_dialect(file: BufferedReader, layout: FileLayout, dialect: Dialect, delimiter: str) -> Iterator[RecordSpan]:
    records = read_records(file, dialect, delimiter)
    header = _header(records, dialect)
    try:
        _check(header, layout)
    except RejectedError as refused:
        raise DataError(f"header: {refused.detail}; mend the columns in the settings, or the file") from None
    for record in records:
        parse = record.long.parse if record.long else partial(_named, header, record.fields)
        yield RecordSpan(record.position, record.raw, parse, record.long)


def _header(records: Iterator[Record], dialect: Dialect) -> list[str]:
    if dialect.header is not None:
        return list(dialect.header)
    first = next(records, None)
    return [name or "" for name in first.fields or ()] if first else []


def check_header(file: BufferedReader, layout: FileLayout, *, delimiter: str) -> None:
    """Refuse a file whose first record does not name each of the required columns, or names one that is read twice.

    Raises:
        RejectedError: with `file_header`.
    """
    dialect = layout.dialect or EXCEL
    own = dialect.delimiter or delimiter
    start = bytes(file.peek(BEGIN)[:BEGIN])
    plain = dialect.is_plain
    header = _opened(file, own.encode())[2] if plain else _header(read_records(file, dialect, own), dialect)
    _check(header, layout, start)


def _opened(file: BufferedReader, delimiter: bytes) -> tuple[_Lines, Iterator[list[str]], list[str]]:
    lines = _Lines(file, delimiter)
    csv.field_size_limit(MAX_RECORD_BYTES)
    reader = csv.reader(lines, delimiter=delimiter.decode())
    header = next((fields for fields in _fields(reader) if fields != []), None)  # empty lines above it are none
    return lines, reader, header or []


def _check(header: list[str], layout: FileLayout, start: bytes = b"") -> None:
    times = Counter(header)
    required, optional = set(layout.required_columns), set(layout.optional_columns)
    if missing := [name for name in sorted(required) if not times[name]]:
        raise RejectedError("file_header", f"no column {', '.join(missing)}{hint(header, required, layout, start)}")
    if twice := [name for name in sorted(required | optional) if times[name] > 1]:
        raise RejectedError("file_header", f"more than one column {', '.join(twice)}")


def _fields(reader: Iterator[list[str]]) -> Iterator[list[str] | None]:
    """The fields of each record; None where csv cannot tell them (a bare carriage return)."""
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield None


class _Lines:
    """Feeds the csv module line by line and knows where each began. Bytes that are not UTF-8 become surrogates."""

    def __init__(self, file: BufferedReader, delimiter: bytes) -> None:
        self._file = file
        self._delimiter = delimiter
        self._start = self._position = 0
        self._taken: list[bytes] = []
        self._size = 0
        self._unclosed = False
        self._long: LongRecord | None = None

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._line(MAX_RECORD_BYTES)
        if not line:
            self._unclosed = bool(self._taken)  # csv asks for more within a quoted field only
            raise StopIteration
        if not self._taken:  # amid a file that was joined of several, too
            marked, line = line, line.removeprefix(BYTE_ORDER_MARK)
            self._start += len(marked) - len(line)
        self._size += len(line)
        if self._size > MAX_RECORD_BYTES or (len(line) == MAX_RECORD_BYTES and not line.endswith(b"\n")):
            within = bool(self._taken)
            self._skip(line, within)
            return '"\n' if within else "x\n"  # ends the record for csv as well
        self._taken.append(line)
        return line.decode("utf-8", "surrogateescape")

    def begin(self) -> None:
        """The next record starts here."""
        self._start, self._taken, self._size, self._long = self._position, [], 0, None

    def finish(self) -> None:
        """Read on to the end of a record that csv gave up in the midst of."""
        counter = CsvCounter(self._delimiter, inside=False)
        _feed(counter, b"".join(self._taken))
        if counter.inside():
            self._skip(self._line(SMALL_BLOCK), True)

    def filled(self, fields: list[str] | None) -> bool:
        """Whether what ended here is a record, not an empty line."""
        return self._long.filled if self._long else fields != []

    def span(self, fields: list[str] | None, header: list[str], nulls: Set[str]) -> RecordSpan:
        """The record that ended here."""
        if self._long:
            parse = self._long.parse if fields else lambda: _named(header, None)
            return RecordSpan(self._start, self._long.head, parse, self._long)
        if self._unclosed:
            fields = None
        values = [None if field in nulls else field for field in fields] if nulls and fields else fields
        return RecordSpan(self._start, b"".join(self._taken).rstrip(b"\r\n"), lambda: _named(header, values))

    def _line(self, limit: int) -> bytes:
        line = self._file.readline(limit)
        self._position += len(line)
        return line

    def _skip(self, piece: bytes, within: bool) -> None:
        """Read on to the end of the record, keeping its length and digest only."""
        counter = CsvCounter(self._delimiter, inside=within)
        self._long = LongRecord(b"\r\n")
        self._long.add(b"".join(self._taken))
        self._taken = []
        while piece:
            if not within or b'"' in piece:  # nothing but a quote ends a quoted field
                _feed(counter, piece)
                within = piece.endswith(b"\n") and counter.inside()
                if piece.endswith(b"\n") and not within:
                    self._long.add(piece.rstrip(b"\r\n"))
                    return
            self._long.add(piece)
            piece = self._line(SMALL_BLOCK)


def _feed(counter: CsvCounter, content: bytes) -> None:
    for at in range(0, len(content), SMALL_BLOCK):
        counter.feed(content[at : at + SMALL_BLOCK])


def _named(header: Sequence[str], fields: Sequence[str | None] | None) -> Mapping[str, Any]:
    if fields is None:
        raise RejectedError("malformed", "a carriage return outside quotes, or a quote that is never closed")
    if len(fields) != len(header):
        raise RejectedError("malformed", f"{len(fields)} fields, the header has {len(header)}")
    return dict(zip(header, fields, strict=True))


def _format(delimiter: str) -> Format:
    def spans(file: BufferedReader, layout: FileLayout, first: int, last: int | None) -> Iterator[RecordSpan]:
        return delimited(file, layout, delimiter=delimiter)  # never split: a line's end may be within a record

    def counter(layout: FileLayout) -> RecordCounter:
        dialect = layout.dialect or EXCEL
        own = dialect.delimiter or delimiter
        return CsvCounter(own.encode()) if dialect.is_plain else DialectCounter(dialect, own)

    return TextFormat(
        spans, counter, partial(check_header, delimiter=delimiter), partial(check_readings, delimiter=delimiter)
    )


CSV, TSV = _format(","), _format("\t")
