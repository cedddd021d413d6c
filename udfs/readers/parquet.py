"""Parquet: rows in batches of bounded size; a record's position is the number of its row."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import partial
from io import BufferedReader
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from udfs.readers.file_format import FileLayout, Format, check_not_empty
from udfs.readers.files import BLOCK
from udfs.readers.record_spans import RecordSpan, RejectedError
from udfs.readers.text_encoding import Encoding, undecodable

_BATCH_ROWS = 4096
_BATCH_BYTES = 2 << 20  # as the file has them; Arrow holds them ten times over


class _Parquet:
    @property
    def is_text(self) -> bool:
        return False

    def splits(self, path: str, encoding: Encoding) -> bool:
        return False

    def surrogate_reason(self, encoding: Encoding) -> str:
        return undecodable(encoding)

    def check(self, file: BufferedReader, path: str, layout: FileLayout) -> None:
        """Refuse a file without a footer, or without one of the columns."""
        check_not_empty(file)
        try:
            names = pq.ParquetFile(file).schema_arrow.names
        except Exception as error:
            raise RejectedError("file_not_parquet", f"no Parquet footer ({type(error).__name__})") from None
        if missing := [name for name in dict.fromkeys(layout.required_columns) if name not in names]:
            raise RejectedError("file_header", f"no column {', '.join(missing)}")

    def count(self, file: BufferedReader, path: str, layout: FileLayout) -> int:
        """The rows of a file whose pages can all be read."""
        try:
            return sum(batch.num_rows for batch in _batches(file, layout))
        except Exception as error:
            raise RejectedError("file_not_parquet", f"a page cannot be read ({type(error).__name__})") from None

    def read(
        self, file: BufferedReader, path: str, layout: FileLayout, first: int, last: int | None
    ) -> Iterator[RecordSpan]:
        """All rows; the bytes of each are its values as JSON."""
        position = 0
        for batch in _batches(file, layout):
            for values in _rows(batch):
                raw = json.dumps(values, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass")
                yield RecordSpan(position, raw, partial(dict, values))
                position += 1


def _batches(file: BufferedReader, layout: FileLayout) -> Iterator[pa.RecordBatch]:
    # The defaults hold whole column chunks, and read the times of Spark's and Hive's files as nanoseconds, which end in
    # the year 2262.
    parquet = pq.ParquetFile(file, buffer_size=BLOCK, pre_buffer=False, coerce_int96_timestamp_unit="us")
    columns = _columns(layout, parquet.schema_arrow.names)
    instants = _int96(parquet)
    for number in range(parquet.num_row_groups):
        group = parquet.metadata.row_group(number)
        rows = max(1, min(_BATCH_ROWS, _BATCH_BYTES * group.num_rows // max(group.total_byte_size, 1)))
        for batch in parquet.iter_batches(rows, row_groups=[number], columns=columns, use_threads=False):
            yield _in_utc(batch, instants)


def _int96(parquet: pq.ParquetFile) -> frozenset[str]:
    """The columns of the type INT96: their times are instants in UTC (SPARK-12297), though nothing in the file says so.

    A time of another type and without a zone is one of the source's zone.
    """
    columns = (parquet.schema.column(at) for at in range(len(parquet.schema)))
    return frozenset(column.path for column in columns if column.physical_type == "INT96")


def _in_utc(batch: pa.RecordBatch, instants: frozenset[str]) -> pa.RecordBatch:
    for at, name in enumerate(batch.schema.names):
        if name in instants:
            batch = batch.set_column(at, name, batch.column(at).cast(pa.timestamp("us", "UTC")))
        elif pa.types.is_timestamp(batch.schema.field(at).type):  # what is finer than Python has is cut off
            zone = batch.schema.field(at).type.tz
            batch = batch.set_column(at, name, batch.column(at).cast(pa.timestamp("us", zone), safe=False))
    return batch


def _columns(layout: FileLayout, names: Sequence[str]) -> list[str]:
    return sorted({*layout.required_columns, *(name for name in layout.optional_columns if name in names)})


def _rows(batch: pa.RecordBatch) -> list[dict[str, Any]]:
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


PARQUET: Format = _Parquet()
