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
from udfs.readers.record_spans import RejectedError

SURVEYS = pa.schema([
    ("source_name", pa.string()), ("path", pa.string()), ("sha256", pa.string()), ("size", pa.int64()),
    ("records", pa.int64()), ("refused", pa.string()), ("detail", pa.string()),
])  # fmt: skip
UNREADABLE = "file_unreadable"

Batches = Iterator[pa.RecordBatch]


@dataclass(frozen=True, slots=True)
class Survey:
    """A file's digest, size and number of records, counted without the parser.

    `refused` is the reason why no record of the file can be read, with a `detail`; it counts as one record then.
    """

    path: str
    sha256: str
    size: int
    records: int
    refused: str | None = None
    detail: str | None = None


def surveyor(layouts: Mapping[str, FileLayout]) -> Callable[[Batches], Batches]:
    """A batch function from (source_name, path) to surveys (`SURVEYS`); each source's files have one layout."""

    def survey_files(batches: Batches) -> Batches:
        for batch in batches:
            for row in batch.to_pylist():
                name, path = row["source_name"], row["path"]
                try:
                    surveyed = survey(path, layouts[name])
                except DataError as error:
                    surveyed = Survey(path, "", 0, 0, UNREADABLE, str(error))
                yield pa.RecordBatch.from_pylist([{"source_name": name, **asdict(surveyed)}], SURVEYS)

    return survey_files


def survey(path: str, layout: FileLayout) -> Survey:
    """Look through a file once, never holding more than a few blocks of it.

    Raises:
        DataError: where it cannot be opened.
    """
    with open_file(path) as file:
        hashed = _Hashed(file)
        reason = detail = None
        try:
            records = _records(file, hashed, path, layout)
        except RejectedError as refused:
            records, reason, detail = 1, refused.reason, refused.detail
        hashed.drain()
    return Survey(path, hashed.digest.hexdigest(), hashed.size, records, reason, detail)


class _Hashed(io.RawIOBase):
    """A file, read once from its beginning to its end, that knows the digest and size of what was read."""

    def __init__(self, file: BufferedReader) -> None:
        self._file = file
        self._ended = False
        self.digest = hashlib.sha256()
        self.size = 0

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill the buffer; 0 at the end."""
        count = 0 if self._ended else self._file.readinto(buffer)
        self._ended = not count
        self.digest.update(memoryview(buffer)[:count])
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
