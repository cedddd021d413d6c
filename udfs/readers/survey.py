"""What a file is before any record of it is read: its digest, its size, its records, or why it is refused whole."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from io import BufferedReader

import pyarrow as pa

from models.errors import DataError
from udfs.readers.file_format import FileLayout
from udfs.readers.files import BLOCK, SMALL_BLOCK, open_file
from udfs.readers.formats import FORMATS
from udfs.readers.grown import counted_from, first_new_byte
from udfs.readers.record_spans import RejectedError

SURVEYS = pa.schema([
    ("source_name", pa.string()), ("path", pa.string()), ("sha256", pa.string()), ("size", pa.int64()),
    ("records", pa.int64()), ("refused", pa.string()), ("detail", pa.string()), ("first", pa.int64()),
])  # fmt: skip
UNREADABLE, CHANGED = "file_unreadable", "file_changed"

Batches = Iterator[pa.RecordBatch]


@dataclass(frozen=True, slots=True)
class Content:
    """What was loaded under a file's name: the size and digest of its bytes then."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Survey:
    """A file's digest, size and number of records, counted without the parser.

    `refused` is the reason why no record of the file can be read, with a `detail`; it counts as one record then.
    Of a file of lines that has grown, `first` is the byte where its new lines begin, and `records` is theirs.
    """

    path: str
    sha256: str
    size: int
    records: int
    refused: str | None = None
    detail: str | None = None
    first: int = 0


def surveyor(layouts: Mapping[str, FileLayout]) -> Callable[[Batches], Batches]:
    """A batch function from (source_name, path) to surveys (`SURVEYS`); each source's files have one layout.

    Rows may also have (known_size, known_sha256): what was loaded under the name before.
    """

    def survey_files(batches: Batches) -> Batches:
        for batch in batches:
            for row in batch.to_pylist():
                name, path = row["source_name"], row["path"]
                digest = row.get("known_sha256")
                try:
                    surveyed = survey(path, layouts[name], Content(row["known_size"], digest) if digest else None)
                except DataError as error:
                    surveyed = Survey(path, "", 0, 0, UNREADABLE, str(error))
                yield pa.RecordBatch.from_pylist([{"source_name": name, **asdict(surveyed)}], SURVEYS)

    return survey_files


def survey(path: str, layout: FileLayout, known: Content | None = None) -> Survey:
    """Look through a file once, never holding more than a few blocks of it; through its new lines twice.

    Args:
        path: Where it is.
        layout: How it is read.
        known: What was loaded under its name. A file of other content is refused as `file_changed`, unless it is one
            of lines that begins with what is known.

    Raises:
        DataError: where it cannot be opened.
    """
    with open_file(path) as file:
        hashed = _Hashed(file, known.size if known else None)
        reason = detail = None
        first = 0
        try:
            records = _records(file, hashed, path, layout)
            hashed.drain()
            if known is not None and hashed.digest.hexdigest() != known.sha256:
                first = _begin_of_new(file, path, layout, known, hashed)
                records = counted_from(file, first, hashed.size)
        except RejectedError as refused:
            records, reason, detail = 1, refused.reason, refused.detail
        hashed.drain()
    return Survey(path, hashed.digest.hexdigest(), hashed.size, records, reason, detail, first)


def _begin_of_new(file: BufferedReader, path: str, layout: FileLayout, known: Content, hashed: _Hashed) -> int:
    """The byte where the new lines of a file begin, or `RejectedError` where it has not merely grown."""
    lines = FORMATS[layout.format].splits(path, layout.encoding)
    if not lines or hashed.of_first != known.sha256:
        raise RejectedError(CHANGED, "other content than was loaded under this name, and not lines added to it")
    return first_new_byte(file, known.size)


class _Hashed(io.RawIOBase):
    """A file, read once from its beginning to its end, that knows the digest and size of what was read.

    `of_first` is the digest of its first `first` bytes; None where it has fewer.
    """

    def __init__(self, file: BufferedReader, first: int | None = None) -> None:
        self._file = file
        self._ended = False
        self._first = first
        self.of_first: str | None = None
        self.digest = hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill the buffer; 0 at the end."""
        count = 0 if self._ended else self._file.readinto(buffer)
        self._ended = not count
        block = memoryview(buffer)[:count]
        if self._first is not None and self.size < self._first <= self.size + count:
            self.digest.update(block[: self._first - self.size])
            self.of_first = self.digest.hexdigest()
            block = block[self._first - self.size :]
        self.digest.update(block)
        self.size += count
        return count

    def drain(self) -> None:
        """Read what is left."""
        buffer = bytearray(SMALL_BLOCK)
        while self.readinto(buffer):
            pass


def _records(file: BufferedReader, hashed: _Hashed, path: str, layout: FileLayout) -> int:
    """How many records the file holds, or `RejectedError` for the file as a whole."""
    file_format = FORMATS[layout.format]
    try:
        file_format.check(file, path, layout)
    finally:
        file.seek(0)  # the digest is of all bytes, whatever the check made of them
    if file_format.is_text:
        return file_format.count(BufferedReader(hashed, BLOCK), path, layout)
    hashed.drain()
    file.seek(0)
    return file_format.count(file, path, layout)
