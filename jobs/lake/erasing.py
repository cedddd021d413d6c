"""Rows taken out of a table for good: the files that have them are rewritten without them, in one commit.

What is append-only is opened for that commit and closed again. Past versions keep the rows until maintenance removes
their files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from pyspark.sql import DataFrame

from jobs.lake import row_files, tables
from jobs.lake.commits import Stamp
from jobs.lake.committing import committing
from jobs.lake.store import Lake
from jobs.lake.tables import Table
from udfs.data_files import DataFile, write_file

_READERS = 8  # of files at once
_APPEND_ONLY = "delta.appendOnly"
Rewrite = Callable[[pa.Table], pa.Table]


def erased_ids(lake: Lake) -> pa.ChunkedArray | None:
    """The `text_id` of texts that were erased; None where none was, as in a warehouse of an earlier version."""
    if not lake.catalog.exists(tables.ERASED):
        return None
    ids: pa.ChunkedArray = lake.arrow(tables.ERASED, "text_id")["text_id"]
    return ids if len(ids) else None


def erased_texts(lake: Lake) -> DataFrame | None:
    """As `erased_ids`, for joins of Spark's."""
    return None if erased_ids(lake) is None else lake.read(tables.ERASED).select("text_id")


def found_rows(lake: Lake, table: Table, column: str, values: pa.Array, columns: Sequence[str]) -> pa.Table:
    """Columns of the rows with one of the values in a column."""
    return lake.catalog.arrow.dataset(table).to_table(columns=list(columns), filter=pc.field(column).isin(values))


def each_file(lake: Lake, table: Table) -> Iterator[tuple[DataFile, pa.Table]]:
    """Every file of a table with its rows, one at a time."""
    folder = lake.catalog.arrow.folder(table)
    for file in lake.catalog.arrow.files(table):
        yield file, _read(folder, table, file)


def remove_rows(lake: Lake, table: Table, column: str, values: pa.Array, stamp: Stamp) -> int:
    """Take out the rows with one of the values in a column; how many there were.

    Raises:
        ConflictError: Another commit changed one of their files meanwhile; nothing was taken out.
    """

    def without(rows: pa.Table) -> pa.Table:
        return rows.filter(pc.invert(pc.is_in(rows[column], values)))

    files = having(lake, table, column, values)
    before = sum(file.rows or 0 for file in files) if all(file.rows is not None for file in files) else None
    written = rewrite(lake, table, files, without, stamp)
    return before - written if before is not None else len(files)


def rewrite(lake: Lake, table: Table, files: Sequence[DataFile], change: Rewrite, stamp: Stamp) -> int:
    """Put what `change` makes of each file's rows in its place, in one commit; how many rows were written."""
    if not files:
        return 0
    folder, made = lake.catalog.arrow.folder(table), list[DataFile]()
    told = json.dumps({"run_id": stamp.run_id, "job": stamp.job})  # no stamp: it makes no part of the table anew
    try:
        for file in files:
            made += write_file(change(_read(folder, table, file)), folder, file.partition)
        with opened_for_change(lake, table), committing(table, stamp):
            lake.catalog.arrow.exchange(table, made, files, told)
    except BaseException:
        row_files.remove(made, folder)
        raise
    return sum(file.rows or 0 for file in made)


@contextmanager
def opened_for_change(lake: Lake, table: Table) -> Iterator[None]:
    """Within it an append-only table takes a commit that removes rows."""
    if table.append_only:
        _set_append_only(lake, table, "false")
    try:
        yield
    finally:
        close_again(lake, table)


def close_again(lake: Lake, table: Table) -> None:
    """See that a table that is declared append-only is; a run that was killed may have left it open."""
    if table.append_only:
        _set_append_only(lake, table, "true")


def _set_append_only(lake: Lake, table: Table, value: str) -> None:
    now = lake.catalog.arrow.existing(table)
    if now.metadata().configuration.get(_APPEND_ONLY) != value:
        now.alter.set_table_properties({_APPEND_ONLY: value})


def having(lake: Lake, table: Table, column: str, values: pa.Array) -> list[DataFile]:
    """The files with a row of one of the values."""
    folder, files = lake.catalog.arrow.folder(table), lake.catalog.arrow.files(table)
    with ThreadPoolExecutor(_READERS) as pool:
        has = pool.map(partial(_has, folder, column, values), files)
        return [file for file, one in zip(files, has, strict=True) if one]


def _has(folder: pafs.FileSystem, column: str, values: pa.Array, file: DataFile) -> bool:
    with pq.ParquetFile(folder.open_input_file(unquote(file.path))) as parquet:
        groups = range(parquet.num_row_groups)
        return any(
            pc.any(pc.is_in(parquet.read_row_group(group, columns=[column])[column], values)).as_py()
            for group in groups
        )


def _read(folder: pafs.FileSystem, table: Table, file: DataFile) -> pa.Table:
    """All columns of a file, in the types that the table declares: Spark's own times would come back as nanoseconds."""
    with pq.ParquetFile(folder.open_input_file(unquote(file.path)), coerce_int96_timestamp_unit="us") as parquet:
        rows = parquet.read()
    declared = {field.name: field.type for field in table.columns}
    return rows.cast(pa.schema([field.with_type(declared.get(field.name, field.type)) for field in rows.schema]))
