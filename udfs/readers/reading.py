"""Reading records out of files on the executors: every record becomes a row, good or rejected with its reason.

Spark's own readers lose rows in silence by default (embedded newlines, broken encodings, swapped columns), so the
bytes are read here and every record is accounted for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from models import digests
from udfs.readers.file_format import FileLayout
from udfs.readers.files import open_file
from udfs.readers.formats import FORMATS
from udfs.readers.record_spans import RecordSpan, RejectedError
from udfs.readers.records import values_of
from udfs.readers.sources import RecordLimits, SourceSettings
from udfs.readers.survey import Survey

RECORDS = pa.schema([
    ("file", pa.string()), ("position", pa.int64()), ("length", pa.int64()), ("sha256", pa.string()),
    ("reason", pa.string()), ("detail", pa.string()), ("raw", pa.binary()), ("text_id", pa.string()),
    ("source", pa.string()), ("source_id", pa.string()), ("scene", pa.string()), ("text", pa.string()),
    ("text_b", pa.string()),
    ("event_time", pa.timestamp("us", tz="UTC")), ("load_id", pa.string()),
])  # fmt: skip
RANGES_DDL = "source_name string, file string, load_id string, first bigint, last bigint, size bigint"
_BATCH_ROWS = 4096
_BATCH_BYTES = 2 << 20  # of texts, as Python holds them; Arrow and its readers hold them ten times over

Batches = Iterator[pa.RecordBatch]


def record_reader(sources: Mapping[str, SourceSettings], limits: RecordLimits) -> Callable[[Batches], Batches]:
    """A batch function from file ranges (`RANGES_DDL`) to records (`RECORDS`)."""

    def read(batches: Batches) -> Batches:
        for batch in batches:
            for row in batch.to_pylist():
                source, load_id = sources[row["source_name"]], row["load_id"]
                yield from read_range(row["file"], row["first"], row["last"], load_id, source, limits, row["size"])

    return read


def read_range(
    path: str, first: int, last: int, load_id: str, source: SourceSettings, limits: RecordLimits,
    size: int | None = None,
) -> Batches:  # fmt: skip
    """The records that begin in bytes `first` to `last`, or all of a file that does not split.

    `size` is where the file ended when it was surveyed: what came to it since is left alone.
    """
    spans = read_spans(path, source, first, last, size)
    return in_batches((_row(path, span, load_id, source, limits) for span in spans), RECORDS)


def refused_records(files: Iterable[tuple[str, Survey]]) -> pa.Table:
    """A record (`RECORDS`) for each file that is refused whole, by load and survey. Its bytes stay where they are."""
    rows = [
        {
            "file": survey.path, "position": 0, "load_id": load_id, "reason": survey.refused, "detail": survey.detail,
            "sha256": survey.sha256, "length": survey.size,
        }
        for load_id, survey in files
        if survey.refused
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, RECORDS)


def read_spans(
    path: str, layout: FileLayout, first: int = 0, last: int | None = None, size: int | None = None
) -> Iterator[RecordSpan]:
    """The records, not parsed yet, that begin in bytes `first` to `last`, or all of a file that does not split."""
    file_format = FORMATS[layout.format]
    if not file_format.splits(path, layout.encoding):
        first, last = 0, None
    with open_file(path, size) as file:
        yield from file_format.read(file, path, layout, first, last)


def in_batches(rows: Iterable[dict[str, Any]], schema: pa.Schema) -> Batches:
    """Rows as batches of a bounded number of rows and of bytes, in their columns `raw` and `text`."""
    pending: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        pending.append(row)
        size += len(row.get("raw") or b"") + 4 * len(row.get("text") or "")
        if len(pending) == _BATCH_ROWS or size > _BATCH_BYTES:
            yield pa.RecordBatch.from_pylist(pending, schema)
            pending, size = [], 0
    if pending:
        yield pa.RecordBatch.from_pylist(pending, schema)


def _row(path: str, span: RecordSpan, load_id: str, source: SourceSettings, limits: RecordLimits) -> dict[str, Any]:
    row: dict[str, Any] = {"file": path, "position": span.position, "load_id": load_id}
    row |= {"length": span.length, "sha256": span.sha256}
    try:
        row |= values_of(span.parse(), source, limits)
    except RejectedError as rejected:
        return row | {"reason": rejected.reason, "detail": rejected.detail, "raw": span.head}
    source_id = row["source_id"] if row["source_id"] is not None else f"\0{load_id}\0{span.position}"
    return row | {"text_id": digests.of_source(row["source"], source_id)}
