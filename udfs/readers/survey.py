"""What a file is before any record of it is read: its digest, its size, its records, or why it is refused whole."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from io import BufferedReader

import pyarrow as pa
import pyarrow.parquet as pq

from models.errors import DataError
from udfs.readers.counting import BYTE_ORDER_MARK, CsvCounter, LineCounter
from udfs.readers.delimited import check_header
from udfs.readers.files import BLOCK, SMALL_BLOCK, UTF_16_MARKS, content, converted, decompressed, open_file
from udfs.readers.reading import parquet_batches
from udfs.readers.records import RejectedError
from udfs.readers.sources import DELIMITERS, UTF_8, SourceSettings

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


def surveyor(sources: Mapping[str, SourceSettings]) -> Callable[[Batches], Batches]:
    """A batch function from (source_name, path) to surveys (`SURVEYS`)."""

    def look(batches: Batches) -> Batches:
        for batch in batches:
            for row in batch.to_pylist():
                try:
                    found = survey(row["path"], sources[row["source_name"]])
                except DataError as error:
                    found = Survey(row["path"], "", 0, 0, UNREADABLE, str(error))
                yield pa.RecordBatch.from_pylist([{"source_name": row["source_name"], **asdict(found)}], SURVEYS)

    return look


def survey(path: str, source: SourceSettings) -> Survey:
    """Look through a file once, never holding more than a few blocks of it.

    Raises:
        DataError: where it cannot be opened.
    """
    with open_file(path) as file:
        hashed = _Hashed(file)
        reason = detail = None
        try:
            records = _records(file, hashed, path, source)
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


def _records(file: BufferedReader, hashed: _Hashed, path: str, source: SourceSettings) -> int:
    """How many records the file holds, or `RejectedError` for the file as a whole."""
    if not file.peek(1) and (source.format != "jsonl" or path.endswith(".gz")):
        raise RejectedError("file_empty", "0 bytes")
    if source.format == "parquet":
        hashed.drain()
        file.seek(0)
        return _parquet_rows(file, source)
    records = _count(BufferedReader(hashed, BLOCK), path, source)
    hashed.drain()
    if source.format in DELIMITERS:
        file.seek(0)
        check_header(content(file, path, source.encoding), source)
    return records


def _count(file: BufferedReader, path: str, source: SourceSettings) -> int:
    kind = source.format
    counter = CsvCounter(DELIMITERS[kind]) if kind in DELIMITERS else LineCounter()
    try:
        stored = decompressed(file, path)
        _check_mark(stored.peek(3)[:3], source)
        inside = converted(stored, source.encoding)
        while block := inside.read(SMALL_BLOCK):
            counter.feed(block)
    except EOFError:
        raise RejectedError("file_truncated", "the gzip stream ends before its end mark") from None
    except (gzip.BadGzipFile, zlib.error):
        raise RejectedError("file_not_gzip", "its name ends in .gz, its bytes are no sound gzip stream") from None
    return counter.records()


def _check_mark(start: bytes, source: SourceSettings) -> None:
    """Refuse a file whose byte order mark speaks against the source's encoding."""
    marked = "utf-16" if start[:2] in UTF_16_MARKS else UTF_8 if start == BYTE_ORDER_MARK else source.encoding
    if marked != source.encoding:
        told = f"its byte order mark says {marked}, the source's encoding is {source.encoding}"
        raise RejectedError("file_encoding", told)


def _parquet_rows(file: BufferedReader, source: SourceSettings) -> int:
    """The rows of a file that has the source's columns and whose pages can all be read."""
    try:
        names = pq.ParquetFile(file).schema_arrow.names
    except Exception as error:
        raise RejectedError("file_not_parquet", f"no Parquet footer ({type(error).__name__})") from None
    wanted = list(dict.fromkeys(source.columns.values()))
    if missing := [name for name in wanted if name not in names]:
        raise RejectedError("file_header", f"no column {', '.join(missing)}")
    file.seek(0)
    try:
        return sum(batch.num_rows for batch in parquet_batches(file, wanted))
    except Exception as error:
        raise RejectedError("file_not_parquet", f"a page cannot be read ({type(error).__name__})") from None
