"""Reading records out of files on the executors: every record becomes a row, good or rejected with its reason.

Spark's own readers lose rows in silence by default (embedded newlines, broken encodings, swapped columns), so the
bytes are read here and every record is accounted for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from io import BufferedReader
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from models import digests
from udfs.readers.counting import BYTE_ORDER_MARK
from udfs.readers.delimited import delimited
from udfs.readers.files import BLOCK, SMALL_BLOCK, content, open_file
from udfs.readers.record_spans import MAX_RAW_BYTES, MAX_RECORD_BYTES, Found, LongRecord
from udfs.readers.records import RejectedError, values_of
from udfs.readers.sources import IngestSettings, SourceSettings

RECORDS = pa.schema([
    ("file", pa.string()), ("position", pa.int64()), ("length", pa.int64()), ("sha256", pa.string()),
    ("reason", pa.string()), ("detail", pa.string()), ("raw", pa.binary()), ("text_id", pa.string()),
    ("source", pa.string()), ("source_id", pa.string()), ("scene", pa.string()), ("text", pa.string()),
    ("text_b", pa.string()),
    ("event_time", pa.timestamp("us", tz="UTC")), ("load_id", pa.string()),
])  # fmt: skip
RANGES_DDL = "source_name string, file string, load_id string, first bigint, last bigint"
_BATCH_ROWS = 4096
_BATCH_BYTES = 2 << 20  # of texts, as Python holds them; Arrow and its readers hold them ten times over

Batches = Iterator[pa.RecordBatch]


def record_reader(sources: Mapping[str, SourceSettings], limits: IngestSettings) -> Callable[[Batches], Batches]:
    """A batch function from file ranges (`RANGES_DDL`) to records (`RECORDS`)."""

    def read(batches: Batches) -> Batches:
        for batch in batches:
            for row in batch.to_pylist():
                source = sources[row["source_name"]]
                yield from read_range(row["file"], row["first"], row["last"], row["load_id"], source, limits)

    return read


def read_range(
    path: str, first: int, last: int, load_id: str, source: SourceSettings, limits: IngestSettings
) -> Batches:
    """The records that begin in bytes `first` to `last`, or all of a file that does not split."""
    rows: list[dict[str, Any]] = []
    size = 0
    with open_file(path) as file:
        for found in _found(content(file, path, source.encoding), first, last if source.splits(path) else None, source):
            rows.append(_row(path, found, load_id, source, limits))
            size += len(rows[-1].get("raw") or b"") + 4 * len(rows[-1].get("text") or "")
            if len(rows) == _BATCH_ROWS or size > _BATCH_BYTES:
                yield pa.RecordBatch.from_pylist(rows, RECORDS)
                rows, size = [], 0
    if rows:
        yield pa.RecordBatch.from_pylist(rows, RECORDS)


def _found(file: BufferedReader, first: int, last: int | None, source: SourceSettings) -> Iterator[Found]:
    if source.format == "jsonl":
        return _json_lines(file, first, last, source.undecodable)
    if source.format == "parquet":
        return _parquet(file, sorted(set(source.columns.values())))
    return delimited(file, source)


def _json_lines(file: BufferedReader, first: int, last: int | None, undecodable: str) -> Iterator[Found]:
    """A line belongs to the range in which its first byte lies; `last` None is the end of the file."""
    position = first
    if first:
        file.seek(first - 1)
        position = first - 1 + _rest_of_line(file, LongRecord())
    while (last is None or position < last) and (line := file.readline(MAX_RECORD_BYTES)):
        start, position = position, position + len(line)
        record = line.removeprefix(BYTE_ORDER_MARK if start == 0 else b"")
        start += len(line) - len(record)
        if len(line) == MAX_RECORD_BYTES and not line.endswith(b"\n"):
            long = LongRecord()
            long.add(record)
            position += _rest_of_line(file, long)
            if long.filled:
                yield Found(start, long.head, long.parse, long)
        elif stripped := record.strip():
            yield Found(start + record.index(stripped), stripped, partial(_json_object, stripped, undecodable))


def _rest_of_line(file: BufferedReader, long: LongRecord) -> int:
    """Read up to the line's end, which is not part of the record; the bytes read."""
    count = 0
    while piece := file.readline(SMALL_BLOCK):
        count += len(piece)
        long.add(piece.removesuffix(b"\n"))
        if piece.endswith(b"\n"):
            break
    return count


def _json_object(record: bytes, undecodable: str) -> Mapping[str, Any]:
    try:
        value = json.loads(record.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise RejectedError(undecodable, f"byte {error.start} of the record") from None
    except (ValueError, RecursionError):
        raise RejectedError("malformed", "not a JSON value") from None
    if not isinstance(value, dict):
        raise RejectedError("malformed", f"a JSON {type(value).__name__}, not an object")
    return value


def _parquet(file: BufferedReader, columns: list[str]) -> Iterator[Found]:
    """Rows of a Parquet file; their position is their number."""
    position = 0
    for batch in parquet_batches(file, columns):
        for values in _rows_of(batch):
            raw = json.dumps(values, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass")
            yield Found(position, raw, partial(dict, values))
            position += 1


def parquet_batches(file: BufferedReader, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Some columns of a Parquet file, in batches of bounded size."""
    parquet = pq.ParquetFile(file, buffer_size=BLOCK, pre_buffer=False)  # the defaults hold whole column chunks
    for number in range(parquet.num_row_groups):
        group = parquet.metadata.row_group(number)
        rows = max(1, min(_BATCH_ROWS, _BATCH_BYTES * group.num_rows // max(group.total_byte_size, 1)))
        yield from parquet.iter_batches(rows, row_groups=[number], columns=columns, use_threads=False)


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


def _row(path: str, found: Found, load_id: str, source: SourceSettings, limits: IngestSettings) -> dict[str, Any]:
    long = found.long
    row: dict[str, Any] = {"file": path, "position": found.position, "load_id": load_id}
    row["length"] = long.length if long else len(found.raw)
    row["sha256"] = long.sha256 if long else hashlib.sha256(found.raw).hexdigest()
    try:
        row |= values_of(found.parse(), source, limits)
    except RejectedError as rejected:
        return row | {"reason": rejected.reason, "detail": rejected.detail, "raw": found.raw[:MAX_RAW_BYTES]}
    own = row["source_id"] if row["source_id"] is not None else f"\0{load_id}\0{found.position}"
    return row | {"text_id": digests.of_source(row["source"], own)}
