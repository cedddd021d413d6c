"""Reading records out of files on the executors: every record becomes a row, good or rejected with its reason.

Spark's own readers lose rows in silence by default (embedded newlines, broken encodings, swapped columns), so the
bytes are read here and every record is accounted for.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from io import BufferedReader
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from models import digests
from models.errors import DataError
from udfs.records import RejectedError, values_of
from udfs.sources import DELIMITERS, IngestSettings, SourceSettings, open_file

RECORD_DDL = (
    "file string, position bigint, length bigint, sha256 string, reason string, detail string, raw binary, "
    "text_id string, source string, source_id string, scene string, text string, event_time timestamp, load_id string"
)
RECORDS = pa.schema([
    ("file", pa.string()), ("position", pa.int64()), ("length", pa.int64()), ("sha256", pa.string()),
    ("reason", pa.string()), ("detail", pa.string()), ("raw", pa.binary()), ("text_id", pa.string()),
    ("source", pa.string()), ("source_id", pa.string()), ("scene", pa.string()), ("text", pa.string()),
    ("event_time", pa.timestamp("us", tz="UTC")), ("load_id", pa.string()),
])  # fmt: skip
RANGES_DDL = "source_name string, file string, load_id string, first bigint, last bigint"
MAX_RAW_BYTES = 64 << 10
MAX_RECORD_BYTES = 32 << 20
_BATCH_ROWS = 4096

Batches = Iterator[pa.RecordBatch]


def record_reader(sources: Mapping[str, SourceSettings], limits: IngestSettings) -> Callable[[Batches], Batches]:
    """A batch function from file ranges (`RANGES_DDL`) to records (`RECORD_DDL`)."""

    def read(batches: Batches) -> Batches:
        for batch in batches:
            for row in batch.to_pylist():
                source = sources[row["source_name"]]
                yield from read_range(row["file"], row["first"], row["last"], row["load_id"], source, limits)

    return read


def read_range(
    path: str, first: int, last: int, load_id: str, source: SourceSettings, limits: IngestSettings
) -> Batches:
    """The records that begin in bytes `first` to `last` (JSONL), or all of a file (the other formats)."""
    rows: list[dict[str, Any]] = []
    with open_file(path) as file:
        for position, raw, parse in _RECORDS[source.format](file, first, last, source):
            rows.append(_row(path, position, raw, parse, load_id, source, limits))
            if len(rows) == _BATCH_ROWS:
                yield pa.RecordBatch.from_pylist(rows, RECORDS)
                rows = []
    if rows:
        yield pa.RecordBatch.from_pylist(rows, RECORDS)


Parsed = tuple[int, bytes, Callable[[], Mapping[str, Any]]]


def _json_lines(file: BufferedReader, first: int, last: int, _: SourceSettings) -> Iterator[Parsed]:
    """A line belongs to the range in which its first byte lies."""
    position = first
    if first:
        file.seek(first - 1)
        position = first - 1 + len(file.readline())
    while position < last and (line := file.readline(MAX_RECORD_BYTES)):
        start, position = position, position + len(line)
        whole = line.endswith(b"\n") or len(line) < MAX_RECORD_BYTES
        while not whole:
            more = file.readline(MAX_RECORD_BYTES)
            position += len(more)
            whole = more.endswith(b"\n") or not more
        record = line.removeprefix(b"\xef\xbb\xbf" if start == 0 else b"").strip()
        if record:
            yield start + line.index(record), record, lambda record=record: _json_object(record)  # type: ignore[misc]


def _json_object(record: bytes) -> Mapping[str, Any]:
    if len(record) >= MAX_RECORD_BYTES:
        raise RejectedError("too_long", f"a record of {MAX_RECORD_BYTES} bytes or more")
    try:
        value = json.loads(record.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise RejectedError("not_utf8", f"byte {error.start} of the record") from None
    except (ValueError, RecursionError):
        raise RejectedError("malformed", "not a JSON value") from None
    if not isinstance(value, dict):
        raise RejectedError("malformed", f"a JSON {type(value).__name__}, not an object")
    return value


class _Lines:
    """Feeds the csv module line by line and knows where each began. Bytes that are not UTF-8 become surrogates."""

    def __init__(self, file: BufferedReader) -> None:
        self._file = file
        self.position = 0
        self.taken: list[bytes] = []

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._file.readline()
        if not line:
            raise StopIteration
        if self.position == 0:
            self.position, line = (
                len(line) - len(line.removeprefix(b"\xef\xbb\xbf")),
                line.removeprefix(b"\xef\xbb\xbf"),
            )
        self.position += len(line)
        self.taken.append(line)
        return line.decode("utf-8", "surrogateescape")


def _delimited(file: BufferedReader, first: int, last: int, source: SourceSettings) -> Iterator[Parsed]:
    lines = _Lines(file)
    csv.field_size_limit(MAX_RECORD_BYTES)
    reader = csv.reader(lines, delimiter=DELIMITERS[source.format].decode())
    header = next(_fields(reader), None) or []
    missing = sorted(set(source.columns.values()) - set(header))
    if missing:
        raise DataError(f"header: no column {', '.join(missing)}; mend sources.*.columns, or the file")
    lines.taken.clear()
    start = lines.position
    for fields in _fields(reader):
        raw, lines.taken = b"".join(lines.taken).rstrip(b"\r\n"), []
        if fields != []:
            yield start, raw, lambda fields=fields: _named(header, fields)  # type: ignore[misc]
        start = lines.position


def _fields(reader: Iterator[list[str]]) -> Iterator[list[str] | None]:
    """The fields of each record; None where csv cannot tell them (a bare carriage return, a field past its limit)."""
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield None


def _named(header: list[str], fields: list[str] | None) -> Mapping[str, Any]:
    if fields is None:
        raise RejectedError("malformed", "a carriage return outside quotes, or a field past the limit")
    if len(fields) != len(header):
        raise RejectedError("malformed", f"{len(fields)} fields, the header has {len(header)}")
    return dict(zip(header, fields, strict=True))


def _parquet(file: BufferedReader, first: int, last: int, source: SourceSettings) -> Iterator[Parsed]:
    position = 0
    for batch in pq.ParquetFile(file).iter_batches(_BATCH_ROWS, columns=sorted(set(source.columns.values()))):
        for values in _rows_of(batch):
            raw = json.dumps(values, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass")
            yield position, raw, lambda values=values: values  # type: ignore[misc]
            position += 1


def _rows_of(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """The rows of a batch. Strings that are not UTF-8 come out with surrogates, as those of the other formats."""
    try:
        return batch.to_pylist()  # type: ignore[no-any-return]
    except UnicodeDecodeError:
        columns = []
        for column in batch.columns:
            text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
            values = (column.cast(pa.large_binary()) if text else column).to_pylist()
            columns.append([v.decode("utf-8", "surrogateescape") if text and v is not None else v for v in values])
        return [dict(zip(batch.schema.names, row, strict=True)) for row in zip(*columns, strict=True)]


_RECORDS: dict[str, Callable[[BufferedReader, int, int, SourceSettings], Iterator[Parsed]]] = {
    "jsonl": _json_lines, "csv": _delimited, "tsv": _delimited, "parquet": _parquet,
}  # fmt: skip


def _row(
    path: str,
    position: int,
    raw: bytes,
    parse: Callable[[], Mapping[str, Any]],
    load_id: str,
    source: SourceSettings,
    limits: IngestSettings,
) -> dict[str, Any]:
    row: dict[str, Any] = {"file": path, "position": position, "length": len(raw), "load_id": load_id}
    row["sha256"] = hashlib.sha256(raw).hexdigest()
    try:
        row |= values_of(parse(), source, limits)
    except RejectedError as rejected:
        return row | {"reason": rejected.reason, "detail": rejected.detail, "raw": raw[:MAX_RAW_BYTES]}
    own = row["source_id"] if row["source_id"] is not None else f"\0{load_id}\0{position}"
    return row | {"text_id": digests.of_source(row["source"], own)}
