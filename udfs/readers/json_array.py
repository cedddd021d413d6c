"""JSON: a file that is an array of objects, read element by element, with a bound on an element's size."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from functools import partial
from io import BufferedReader

import numpy as np

from udfs.readers.counting import BYTE_ORDER_MARK
from udfs.readers.file_format import FileLayout, TextFormat, check_not_empty
from udfs.readers.files import SMALL_BLOCK
from udfs.readers.json_lines import json_object
from udfs.readers.record_spans import MAX_RECORD_BYTES, LongRecord, RecordSpan, RejectedError
from udfs.readers.text_encoding import undecodable

_BLANKS = b" \t\r\n"
_TOKENS = re.compile(rb'\\[\\"]|[\[\]{},"]')
_NOT_JSON = "file_not_json"


def json_array(file: BufferedReader, layout: FileLayout, first: int, last: int | None) -> Iterator[RecordSpan]:
    """The elements of the array that a file is, whatever `first` and `last` say: it never splits."""
    not_decoded = undecodable(layout.encoding)
    depth, position, several = 0, 0, False
    element = _Element(0)
    strings = _Strings()
    for block in _whole_escapes(file):
        kept = 0
        for at, mark in strings.marks(block):
            depth += (mark in b"[{") - (mark in b"]}")
            begins = depth == 1 and mark in b"[{"
            ends = depth == 0 or (depth == 1 and mark in b",")
            if ends:
                element.add(block[kept:at])
                several = several or depth == 1
                if several or element.filled:
                    yield element.span(not_decoded)
                if depth == 0:
                    return
            if ends or begins:
                kept, element = at + 1, _Element(position + at + 1)
        element.add(block[kept:])
        position += len(block)


class _Strings:
    """Tells what is between quotes from what is not, block by block."""

    def __init__(self) -> None:
        self._inside = False

    def marks(self, block: bytes) -> Iterator[tuple[int, bytes]]:
        """Where brackets and commas outside of strings are, and which."""
        for token in _TOKENS.finditer(block):
            mark = token[0]
            if mark == b'"':
                self._inside = not self._inside
            elif not self._inside and len(mark) == 1:
                yield token.start(), mark


class _Element:
    """What lies between two commas of the array; of one that is too long, its beginning."""

    def __init__(self, start: int) -> None:
        self._start = start
        self._pieces: list[bytes] = []
        self._size = 0
        self._long: LongRecord | None = None
        self.filled = False  # with anything but blanks

    def add(self, piece: bytes) -> None:
        """Take the next piece."""
        if not self.filled:  # blanks before it are no part of it
            stripped = piece.lstrip(_BLANKS)
            self._start += len(piece) - len(stripped)
            piece, self.filled = stripped, bool(stripped)
        self._size += len(piece)
        if self._size > MAX_RECORD_BYTES and self._long is None:
            self._long = LongRecord(_BLANKS)
            self._long.add(b"".join(self._pieces))
            self._pieces = []
        if self._long:
            self._long.add(piece)
        else:
            self._pieces.append(piece)

    def span(self, not_decoded: str) -> RecordSpan:
        """The record that it is."""
        if self._long:
            return RecordSpan(self._start, self._long.head, self._long.parse, self._long)
        raw = b"".join(self._pieces).rstrip(_BLANKS)
        return RecordSpan(self._start, raw, partial(json_object, raw, not_decoded))


def _whole_escapes(file: BufferedReader) -> Iterator[bytes]:
    """The blocks of a file, none of which ends between a backslash and what it escapes."""
    held = b""
    while block := file.read(SMALL_BLOCK):
        block = held + block
        held = b"\\" if (len(block) - len(block.rstrip(b"\\"))) % 2 else b""
        yield block.removesuffix(held)
    if held:
        yield held


class _ElementCounter:
    """Counts the commas at the depth of the array's elements, whole blocks at once."""

    def __init__(self, layout: FileLayout) -> None:
        self._encoding = layout.encoding
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._decodes = True
        self._held = b""
        self._inside = False
        self._depth = 0
        self._opened = self._closed = self._more = self._filled = False
        self._commas = 0

    def feed(self, block: bytes) -> None:
        """Take the next block of the file."""
        try:
            self._decoder.decode(block)
        except UnicodeDecodeError:
            self._decodes = False
            self._decoder.reset()
        block = self._held + block
        self._held = b"\\" if (len(block) - len(block.rstrip(b"\\"))) % 2 else b""
        self._count(block.removesuffix(self._held))

    def _count(self, block: bytes) -> None:
        if not self._opened:
            at = block.find(b"[")
            if at < 0:
                return
            block, self._opened = block[at:], True
        data = np.frombuffer(block.replace(b"\\\\", b"xx").replace(b'\\"', b"xx"), np.uint8)
        if not len(data):
            return
        quotes = np.cumsum(data == 0x22) + self._inside
        outside = quotes % 2 == 0
        self._inside = bool(quotes[-1] % 2)
        opens = outside & np.isin(data, (0x5B, 0x7B))
        closes = outside & np.isin(data, (0x5D, 0x7D))
        depth = np.cumsum(opens.astype(np.int64) - closes) + self._depth
        filled = ~np.isin(data, list(_BLANKS))
        if self._closed:
            self._more = self._more or bool(filled.any())
            return
        ended = np.flatnonzero(depth == 0)
        end = int(ended[0]) if len(ended) else len(data)
        self._depth = int(depth[end - 1]) if end else self._depth
        if len(ended):
            self._closed, self._more = True, bool(filled[end + 1 :].any())
        shallow = depth[:end] == 1
        self._commas += int(np.count_nonzero((data == 0x2C)[:end] & outside[:end] & shallow))
        self._filled = self._filled or bool((filled[:end] & ~(opens[:end] & shallow)).any())

    def records(self) -> int:
        """How many elements there were; none may follow.

        Raises:
            RejectedError: with `file_truncated` or `file_not_json`, or `file_encoding` where bytes that are not of the
                encoding may be why.
        """
        if self._closed and not self._more:
            return self._commas + 1 if self._commas else int(self._filled)
        if not self._decodes:
            raise RejectedError("file_encoding", f"its bytes are not {self._encoding}, and its array has no end")
        if self._closed:
            raise RejectedError(_NOT_JSON, "more follows the end of its array")
        raise RejectedError("file_truncated", "its array has no end")


def check_array(file: BufferedReader, layout: FileLayout) -> None:
    """Refuse a content that does not begin as an array.

    Raises:
        RejectedError: with `file_empty` or `file_not_json`.
    """
    check_not_empty(file)
    begin = b""
    while not begin and (block := file.read(SMALL_BLOCK)):
        begin = block.removeprefix(BYTE_ORDER_MARK).lstrip(_BLANKS)
    if begin.startswith(b"{"):
        raise RejectedError(_NOT_JSON, "it begins with an object, expected an array; an object a line is .jsonl")
    if not begin.startswith(b"["):
        raise RejectedError(_NOT_JSON, "it does not begin as an array of objects")


JSON_ARRAY = TextFormat(json_array, _ElementCounter, check_array, escapes_characters=True)
