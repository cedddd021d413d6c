"""What a format of files has to offer: its records read, its records counted, and files that are none of it refused."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BufferedReader
from typing import Protocol

from udfs.readers.dialects import Dialect
from udfs.readers.file_begins import BEGIN, check_begin
from udfs.readers.files import SMALL_BLOCK, decompressed, is_gzip
from udfs.readers.record_spans import RecordSpan, RejectedError
from udfs.readers.text_encoding import UTF_8, Encoding, converted, undecodable

LONE_SURROGATE = "lone_surrogate"


class FileLayout(Protocol):
    """How records lie in a file, and which of their columns are read."""

    @property
    def format(self) -> str:
        """The name of its format in `formats.FORMATS`."""

    @property
    def encoding(self) -> Encoding:
        """The encoding of its content, where that is text."""

    @property
    def dialect(self) -> Dialect | None:
        """That of a delimited file; None: nobody said."""

    @property
    def required_columns(self) -> Sequence[str]:
        """Columns without which the file is refused, where the format names columns once for all records."""

    @property
    def optional_columns(self) -> Sequence[str]:
        """Columns that are read where they are there."""


class Format(Protocol):
    """One format of files. `path` is the file's name, whose end says whether it is compressed."""

    @property
    def is_text(self) -> bool:
        """Whether its content is characters in some encoding, maybe compressed, read from its beginning to its end."""

    def splits(self, path: str, encoding: Encoding) -> bool:
        """Whether a file can be read from any of its bytes."""

    def surrogate_reason(self, encoding: Encoding) -> str:
        """The reason of a record with a surrogate among its characters."""

    def check(self, file: BufferedReader, path: str, layout: FileLayout) -> None:
        """Refuse a file as a whole by how it begins or ends.

        Raises:
            RejectedError: with a reason that begins with `file_`.
        """

    def count(self, file: BufferedReader, path: str, layout: FileLayout) -> int:
        """The records of a file that passed its check, counted by another way than `read` reads them.

        Raises:
            RejectedError: with a reason that begins with `file_`, where it cannot be read to its end.
        """

    def read(
        self, file: BufferedReader, path: str, layout: FileLayout, first: int, last: int | None
    ) -> Iterator[RecordSpan]:
        """The records that begin in bytes `first` to `last` of a file that splits, or else all of them."""


class RecordCounter(Protocol):
    """Counts the records of a text block by block."""

    def feed(self, block: bytes) -> None:
        """Take the next block."""

    def records(self) -> int:
        """How many the blocks held; none may follow."""


@dataclass(frozen=True, slots=True)
class TextFormat:
    """A format of characters: plain or gzip, in any encoding; what it is made of sees plain UTF-8 only.

    Attributes:
        spans: The records of a content that begin between two of its bytes; None is its end.
        counter: Makes a counter of its records.
        check_header: Refuses a content that does not begin as the layout says; None: there is no header, and a
            file of 0 bytes holds 0 records.
        check_readings: Refuses a content that can be read in several ways, given how it is opened again.
        one_a_line: Whether a line's end always ends a record.
        escapes_characters: Whether a half of a surrogate pair can be written in it (JSON's escapes); elsewhere a
            surrogate stands for a byte that was no character.
    """

    spans: Callable[[BufferedReader, FileLayout, int, int | None], Iterator[RecordSpan]]
    counter: Callable[[FileLayout], RecordCounter]
    check_header: Callable[[BufferedReader, FileLayout], None] | None = None
    check_readings: Callable[[Callable[[], BufferedReader], FileLayout], None] | None = None
    one_a_line: bool = False
    escapes_characters: bool = False

    @property
    def is_text(self) -> bool:
        """It is."""
        return True

    def splits(self, path: str, encoding: Encoding) -> bool:
        """Where a record is a line, neither compressed nor converted."""
        return self.one_a_line and encoding == UTF_8 and not is_gzip(path)

    def surrogate_reason(self, encoding: Encoding) -> str:
        """`lone_surrogate`, or that the bytes are not of the encoding."""
        return LONE_SURROGATE if self.escapes_characters else undecodable(encoding)

    def check(self, file: BufferedReader, path: str, layout: FileLayout) -> None:
        """Refuse a file without any bytes, with those of no text in its encoding, or with a wrong header."""
        if self.check_header or is_gzip(path):
            check_not_empty(file)
        with _refusing_broken_gzip():
            plain = decompressed(file, path)
            check_begin(plain.peek(BEGIN)[:BEGIN], layout.encoding)
            if self.check_header:
                self.check_header(converted(plain, layout.encoding), layout)
            if self.check_readings:
                self.check_readings(partial(_content_anew, file, path, layout), layout)

    def count(self, file: BufferedReader, path: str, layout: FileLayout) -> int:
        """Read through the file; one that is compressed and not sound is refused."""
        counter = self.counter(layout)
        with _refusing_broken_gzip():
            content = _content(file, path, layout)
            while block := content.read(SMALL_BLOCK):
                counter.feed(block)
        return counter.records()

    def read(
        self, file: BufferedReader, path: str, layout: FileLayout, first: int, last: int | None
    ) -> Iterator[RecordSpan]:
        """The records of a range of lines, or of the whole content."""
        return self.spans(_content(file, path, layout), layout, first, last)


def check_not_empty(file: BufferedReader) -> None:
    """Refuse a file of 0 bytes.

    Raises:
        RejectedError: with `file_empty`.
    """
    if not file.peek(1):
        raise RejectedError("file_empty", "0 bytes")


def _content(file: BufferedReader, path: str, layout: FileLayout) -> BufferedReader:
    return converted(decompressed(file, path), layout.encoding)


def _content_anew(file: BufferedReader, path: str, layout: FileLayout) -> BufferedReader:
    file.seek(0)
    return _content(file, path, layout)


@contextmanager
def _refusing_broken_gzip() -> Iterator[None]:
    try:
        yield
    except EOFError:
        raise RejectedError("file_truncated", "the gzip stream ends before its end mark") from None
    except (gzip.BadGzipFile, zlib.error):
        raise RejectedError("file_not_gzip", "its name ends in .gz, its bytes are no sound gzip stream") from None
