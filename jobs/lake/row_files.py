"""A few rows of the driver's as files of a table: a file a partition, and none left of what was not committed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs

from jobs.lake.tables import Table
from udfs.data_files import DataFile, write_file


@contextmanager
def written(table: Table, rows: pa.Table, folder: pafs.FileSystem) -> Iterator[list[DataFile]]:
    """The rows' files in the table's folder, for a commit within; it ends with an error where none was made."""
    files = [file for values, part in _partitions(table, rows) for file in write_file(part, folder, values)]
    try:
        yield files
    except BaseException:
        remove(files, folder)
        raise


def remove(files: list[DataFile], folder: pafs.FileSystem) -> None:
    """Remove files that no commit names."""
    for file in files:
        folder.delete_file(file.path)


def _partitions(table: Table, rows: pa.Table) -> Iterator[tuple[dict[str, str | None], pa.Table]]:
    """The rows of each partition with its values as text; a table without partitions has one, even of no rows."""
    if not table.partition:
        yield {}, rows
        return
    columns = list(table.partition)
    for values in rows.select(columns).group_by(columns).aggregate([]).to_pylist():
        same = (pc.equal(rows[name], pa.scalar(value, rows[name].type)) for name, value in values.items())
        yield {name: str(value) for name, value in values.items()}, rows.filter(reduce(pc.and_, same))
