"""Reading records out of files on the executors: every record becomes a row, good or rejected with its reason.

Spark's own readers lose rows in silence by default (embedded newlines, broken encodings, swapped columns), so the
bytes are read here and every record is accounted for.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from io import BufferedReader
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq

from models import digests
from models.errors import DataError
from udfs.sources import IngestSettings, SourceSettings, open_file

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
_MILLISECONDS_FROM = 100_000_000_000  # epoch numbers from here on are milliseconds (seconds reach it in the year 5138)

Batches = Iterator[pa.RecordBatch]


class _RejectedError(Exception):
    """A record that cannot be taken, with its reason code; never its content."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


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
            yield start, record, lambda record=record: _json_object(record)  # type: ignore[misc]


def _json_object(record: bytes) -> Mapping[str, Any]:
    if len(record) >= MAX_RECORD_BYTES:
        raise _RejectedError("too_long", f"a record of {MAX_RECORD_BYTES} bytes or more")
    try:
        value = json.loads(record.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise _RejectedError("not_utf8", f"byte {error.start} of the record") from None
    except (ValueError, RecursionError):
        raise _RejectedError("malformed", "not a JSON value") from None
    if not isinstance(value, dict):
        raise _RejectedError("malformed", f"a JSON {type(value).__name__}, not an object")
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
    reader = csv.reader(lines, delimiter="\t" if source.format == "tsv" else ",")
    header = next(reader, None)
    missing = sorted(set(source.columns.values()) - set(header or ()))
    if missing:
        raise DataError(f"header: no column {', '.join(missing)}; mend sources.*.columns, or the file")
    lines.taken.clear()
    start = lines.position
    for fields in reader:
        raw, lines.taken = b"".join(lines.taken).rstrip(b"\r\n"), []
        if fields:
            yield start, raw, lambda fields=fields: _named(header or [], fields)  # type: ignore[misc]
        start = lines.position


def _named(header: list[str], fields: list[str]) -> Mapping[str, Any]:
    if len(fields) != len(header):
        raise _RejectedError("malformed", f"{len(fields)} fields, the header has {len(header)}")
    return dict(zip(header, fields, strict=True))


def _parquet(file: BufferedReader, first: int, last: int, source: SourceSettings) -> Iterator[Parsed]:
    position = 0
    for batch in pq.ParquetFile(file).iter_batches(_BATCH_ROWS, columns=sorted(set(source.columns.values()))):
        for values in batch.to_pylist():
            raw = json.dumps(values, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass")
            yield position, raw, lambda values=values: values  # type: ignore[misc]
            position += 1


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
        row |= _values(parse(), source, limits)
    except _RejectedError as rejected:
        return row | {"reason": rejected.reason, "detail": rejected.detail, "raw": raw[:MAX_RAW_BYTES]}
    own = row["source_id"] if row["source_id"] is not None else f"\0{load_id}\0{position}"
    return row | {"text_id": digests.of_source(row["source"], own)}


def _values(record: Mapping[str, Any], source: SourceSettings, limits: IngestSettings) -> dict[str, Any]:
    found: dict[str, Any] = {ours: value for ours, value in source.constants.items()}
    for ours, theirs in source.columns.items():
        found[ours] = record.get(theirs)
    text = found["text"]
    if text is None or text == "":
        raise _RejectedError("no_text", "the text is missing, null or empty")
    identifier = found.get("source_id")
    if isinstance(identifier, int) and not isinstance(identifier, bool):
        identifier = str(identifier)
    strings = {"text": text, "scene": found["scene"], "source": found["source"], "source_id": identifier}
    for name, value in strings.items():
        if not isinstance(value, str) and not (name == "source_id" and value is None):
            raise _RejectedError("wrong_type", f"{name} is {type(value).__name__}, expected a string")
        _check_encoding(name, value)
    if len(text) > limits.max_text_chars:
        raise _RejectedError("too_long", f"{len(text)} characters, at most {limits.max_text_chars} are taken")
    return strings | {"event_time": _moment(found["event_time"], source.timezone)}


def _check_encoding(name: str, value: str | None) -> None:
    """Surrogates are bytes that were not UTF-8 (below U+DC00 + 256, by surrogateescape), or lone halves from JSON."""
    if value is None or value.isascii():
        return
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        code = ord(value[error.start])
        if 0xDC80 <= code <= 0xDCFF:
            raise _RejectedError("not_utf8", f"{name}, character {error.start}") from None
        raise _RejectedError("lone_surrogate", f"{name}, character {error.start}") from None


def _moment(value: Any, zone: str) -> datetime:
    try:
        if isinstance(value, str):
            value = float(value) if value.replace(".", "", 1).isdigit() else datetime.fromisoformat(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return datetime.fromtimestamp(value / 1000 if abs(value) >= _MILLISECONDS_FROM else value, UTC)
        if isinstance(value, datetime):
            return value if value.tzinfo else value.replace(tzinfo=ZoneInfo(zone))
    except (ValueError, OverflowError, OSError):
        raise _RejectedError("wrong_type", "event_time is not a time") from None
    raise _RejectedError("wrong_type", f"event_time is {type(value).__name__}, expected a time")
