"""JSON Lines: an object a line, in ranges of bytes, with a bound on a line's size."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import partial
from io import BufferedReader
from typing import Any

from udfs.readers.counting import BYTE_ORDER_MARK, LineCounter
from udfs.readers.file_format import FileLayout, TextFormat
from udfs.readers.files import SMALL_BLOCK
from udfs.readers.record_spans import MAX_RECORD_BYTES, LongRecord, RecordSpan, RejectedError
from udfs.readers.text_encoding import undecodable


def json_lines(file: BufferedReader, layout: FileLayout, first: int, last: int | None) -> Iterator[RecordSpan]:
    """A line belongs to the range in which its first byte lies; `last` None is the end of the file."""
    not_decoded = undecodable(layout.encoding)
    position = first
    if first:
        file.seek(first - 1)
        position = first - 1 + _rest_of_line(file, LongRecord())
    while (last is None or position < last) and (line := file.readline(MAX_RECORD_BYTES)):
        start, position = position, position + len(line)
        record = line.removeprefix(BYTE_ORDER_MARK)  # amid a file that was joined of several, too
        start += len(line) - len(record)
        if len(line) == MAX_RECORD_BYTES and not line.endswith(b"\n"):
            long = LongRecord()
            long.add(record)
            position += _rest_of_line(file, long)
            if long.filled:
                yield RecordSpan(start, long.head, long.parse, long)
        elif stripped := record.strip():
            yield RecordSpan(start + record.index(stripped), stripped, partial(json_object, stripped, not_decoded))


def _rest_of_line(file: BufferedReader, long: LongRecord) -> int:
    """Read up to the line's end, which is not part of the record; the bytes read."""
    count = 0
    while piece := file.readline(SMALL_BLOCK):
        count += len(piece)
        long.add(piece.removesuffix(b"\n"))
        if piece.endswith(b"\n"):
            break
    return count


def json_object(record: bytes, not_decoded: str) -> Mapping[str, Any]:
    """The values of an object in UTF-8, by name.

    Raises:
        RejectedError: with `malformed`, or the reason given for bytes that cannot be decoded.
    """
    try:
        value = json.loads(record.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise RejectedError(not_decoded, f"byte {error.start} of the record") from None
    except (ValueError, RecursionError):
        raise RejectedError("malformed", "not a JSON value") from None
    if not isinstance(value, dict):
        raise RejectedError("malformed", f"a JSON {type(value).__name__}, not an object")
    return value


JSON_LINES = TextFormat(json_lines, lambda _: LineCounter(), one_a_line=True, escapes_characters=True)
