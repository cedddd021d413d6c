"""Records of delimited files in any dialect, each with its place; and their number, counted in another way."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader

from udfs.readers.counting import BYTE_ORDER_MARK
from udfs.readers.dialects import Dialect
from udfs.readers.field_scanner import FieldScanner
from udfs.readers.files import SMALL_BLOCK
from udfs.readers.record_spans import MAX_RECORD_BYTES, LongRecord


@dataclass(frozen=True, slots=True)
class Record:
    """A record as it lies in the content.

    Attributes:
        position: Of its first byte.
        raw: Its bytes without the line's end; of a long one the beginning.
        fields: None where a quote is never closed.
        long: Where it is too long to be read.
        scanner: What took it apart, until the next record is asked for.
    """

    position: int
    raw: bytes
    fields: list[str | None] | None
    long: LongRecord | None
    scanner: FieldScanner


def read_records(file: BufferedReader, dialect: Dialect, delimiter: str) -> Iterator[Record]:
    """Every record, the header too; empty lines and comments are none. Bytes that are not UTF-8 become surrogates.

    A record of more bytes than are read ends with its line, whatever is quoted in it.
    """
    file = BufferedReader(_Translated(file), SMALL_BLOCK) if dialect.line_end == "cr" else file
    scanner = FieldScanner(dialect, delimiter)
    comment = dialect.comment.encode()
    position = start = 0
    taken: list[bytes] = []
    size = 0
    while line := file.readline(MAX_RECORD_BYTES - size + 1):
        if not taken:
            start = position
            position += len(line)
            plain = line.removeprefix(BYTE_ORDER_MARK)
            start += len(line) - len(plain)
            line = plain
            if not line.strip(b"\r\n") or (comment and line.startswith(comment)):
                while line and not line.endswith(b"\n"):
                    line = file.readline(MAX_RECORD_BYTES)
                    position += len(line)
                continue
            scanner.begin()
        else:
            position += len(line)
        taken.append(line)
        size += len(line)
        if size > MAX_RECORD_BYTES:
            long, read = _long(file, taken)
            position += read
            yield Record(start, long.head, None, long, scanner)
            taken, size = [], 0
        elif scanner.feed(line.decode("utf-8", "surrogateescape")):
            yield Record(start, b"".join(taken).rstrip(b"\r\n"), scanner.fields, None, scanner)
            taken, size = [], 0
    if taken:  # the file ended within quotes
        yield Record(start, b"".join(taken).rstrip(b"\r\n"), None, None, scanner)


class _Translated(io.RawIOBase):
    """A stream whose carriage returns are line ends; every byte stays at its place."""

    def __init__(self, file: BufferedReader) -> None:
        self._file = file

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill the buffer; 0 at the end."""
        block = self._file.read1(len(buffer)).replace(b"\r", b"\n")
        buffer[: len(block)] = block
        return len(block)


def _long(file: BufferedReader, taken: list[bytes]) -> tuple[LongRecord, int]:
    """Read on to the line's end, keeping a record's length and digest only; and how many bytes that were."""
    long, read = LongRecord(b"\r\n"), 0
    for piece in taken:
        long.add(piece)
    piece = taken[-1]
    while piece and not piece.endswith(b"\n"):
        piece = file.readline(MAX_RECORD_BYTES)
        read += len(piece)
        long.add(piece.rstrip(b"\r\n") if piece.endswith(b"\n") else piece)
    return long, read


class DialectCounter:
    """Counts the line ends of records by the bytes that matter, less the header.

    Args:
        dialect: Of the content.
        delimiter: Between two fields.
    """

    def __init__(self, dialect: Dialect, delimiter: str) -> None:
        quote, between = re.escape(dialect.quote.encode()), re.escape(delimiter.encode())
        special = rb"\r\n\\" + quote + re.escape(delimiter[0].encode()[:1])
        tokens = [rb"(?P<escape>\\(?:\r\n|[\s\S]))", rb"(?P<end>\n)", rb"(?P<between>" + between + rb")"]
        tokens += [rb"(?P<quote>" + quote + rb")"] if quote else []
        self._tokens = re.compile(b"|".join([*tokens, rb"(?P<other>[^" + special + rb"]+|[\s\S])"]))
        self._dialect = dialect
        self._most = max(len(delimiter.encode()), 2)
        self._comment = dialect.comment.encode()
        self._rest = b""
        self._count = 0 if dialect.header is not None else -1
        self._inside = self._filled = self._skipping = False
        self._field_begins = self._line_begins = True
        self._closing = False  # a quote within quotes: the next byte says whether it ends the field
        self._size = 0
        self._long = False

    def feed(self, block: bytes) -> None:
        """Take the next block of the file."""
        block = block.replace(b"\r", b"\n") if self._dialect.line_end == "cr" else block
        self._take(self._rest + block, last=False)

    def records(self) -> int:
        """How many the blocks held; none may follow."""
        self._take(self._rest, last=True)
        self._rest = b""
        return max(0, self._count + (self._filled and not self._skipping))

    def _take(self, content: bytes, *, last: bool) -> None:
        # What ends a block may be the beginning of more: an escape, a delimiter, a mark, a comment.
        whole = len(content) if last else len(content) - self._most - len(BYTE_ORDER_MARK) - len(self._comment)
        at = 0
        while at < whole:
            if self._line_begins and not self._inside:
                at = self._begin_line(content, at)
                if at >= len(content):
                    break
            match = self._tokens.match(content, at)
            assert match is not None  # it matches any byte
            kind, token = match.lastgroup or "", match[0]
            if kind == "escape" and not self._escapes():
                kind, token = "other", token[:1]
            self._token(kind, token)
            at += len(token)
        self._rest = content[at:]

    def _escapes(self) -> bool:
        """Whether a backslash takes the next character here."""
        within = self._dialect.escape == "c_style" or (self._dialect.escape == "backslash" and self._inside)
        return within and not self._long and not self._skipping

    def _begin_line(self, content: bytes, at: int) -> int:
        self._line_begins = False
        self._size = 0
        self._long = False
        if content.startswith(BYTE_ORDER_MARK, at):
            at += len(BYTE_ORDER_MARK)
        self._skipping = bool(self._comment) and content.startswith(self._comment, at)
        return at

    def _token(self, kind: str, token: bytes) -> None:
        self._size += len(token)
        if self._size > MAX_RECORD_BYTES:
            self._long, self._inside = True, False  # ends with its line
        if self._closing:
            self._closing = False
            if kind == "quote":  # a doubled one
                return
            self._inside = False
        if kind == "end" and not self._inside:
            self._count += self._filled and not self._skipping
            self._filled = self._skipping = False
            self._field_begins = self._line_begins = True
            return
        if kind == "quote" and not self._long and not self._skipping:
            if self._inside:
                self._closing = self._dialect.escape == "double"
                self._inside = self._closing
            else:
                self._inside = self._field_begins
        self._field_begins = kind == "between" and not self._inside
        self._filled = self._filled or token.strip(b"\r") != b""
