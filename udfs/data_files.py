"""Parquet files of Delta tables, written by whoever has the rows: a task on an executor, or the driver.

A file belongs to no table before a commit names it; one whose commit never comes is removed by maintenance.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import uuid4

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

_UNSAFE = re.compile(r"[^A-Za-z0-9._=-]")


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file of a table.

    Attributes:
        path: Below the table's place.
        size: Bytes.
        rows: Of the file; None where the log does not say.
        partition: Its partition values, as text.
    """

    path: str
    size: int
    rows: int | None
    partition: Mapping[str, str | None]

    def statistics(self) -> str:
        """What the log keeps of the file, as JSON."""
        return json.dumps({"numRecords": self.rows})


def write_file(
    rows: pa.Table, folder: pafs.FileSystem, partition: Mapping[str, str | None], *, prefix: str = "part"
) -> DataFile:
    """Write rows of one partition to a file of their own in a table's folder; partition columns are not in it."""
    path = f"{folder_of(partition)}{prefix}-{uuid4()}.zstd.parquet"
    kept = rows.select([name for name in rows.column_names if name not in partition])
    if partition:
        folder.create_dir(path.rpartition("/")[0])
    with folder.open_output_stream(path) as stream:
        pq.write_table(kept, stream, compression="zstd", write_statistics=False)
    return DataFile(path, folder.get_file_info(path).size, rows.num_rows, dict(partition))


def folder_of(partition: Mapping[str, str | None]) -> str:
    """The folder of a partition, with plain characters only: a path in the log is a URI, where others are escaped."""
    return "".join(f"{_UNSAFE.sub('-', f'{name}={value}')}/" for name, value in partition.items())
