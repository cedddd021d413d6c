"""Parquet files of Delta tables, written by whoever has the rows: a task on an executor, or the driver.

A file belongs to no table before a commit names it; one whose commit never comes is removed by maintenance.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from uuid import uuid4

import pyarrow as pa
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from udfs.storage import Storage, has_folders

Batches = Iterator[pa.RecordBatch]

FILES = pa.schema([("path", pa.string()), ("size", pa.int64()), ("rows", pa.int64()), ("partition", pa.string())])
"""What tasks that write files tell of them; partition values as JSON."""
ROLL_BYTES = 128 << 20
"""A file that is larger is closed, and the next row begins another."""
_UNSAFE = re.compile(r"[^A-Za-z0-9._=-]")


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file of a table.

    Attributes:
        path: Below the table's place, as the log has it.
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


class PartitionWriter:
    """Writes the rows of one partition to files of its own; partition columns are not in them.

    Rows are kept until `flush` makes a row group of them: small ones would cost a reader more than they save here.

    Args:
        folder: The table's.
        partition: The partition's values, as text.
        distinct: Columns whose values hardly repeat: neither dictionaries nor statistics are tried for them.
    """

    def __init__(
        self, folder: pafs.FileSystem, partition: Mapping[str, str | None], distinct: Sequence[str] = ()
    ) -> None:
        self.kept_bytes = 0
        self._folder, self._partition, self._distinct = folder, dict(partition), frozenset(distinct)
        self._kept: list[pa.RecordBatch] = []
        self._files: list[DataFile] = []
        self._path, self._rows = "", 0
        self._stream: pa.NativeFile | None = None
        self._writer: pq.ParquetWriter | None = None

    def write(self, batch: pa.RecordBatch) -> None:
        """Take rows in."""
        kept = batch.select([name for name in batch.schema.names if name not in self._partition])
        self._kept.append(kept)
        self.kept_bytes += kept.nbytes

    def flush(self) -> None:
        """Write the kept rows as a row group, if there are any."""
        if not self._kept:
            return
        rows = pa.Table.from_batches(self._kept)
        self._kept, self.kept_bytes = [], 0
        if self._writer is None:
            self._open(rows.schema)
        assert self._writer is not None
        assert self._stream is not None
        self._writer.write_table(rows, row_group_size=max(rows.num_rows, 1))
        self._rows += rows.num_rows
        if self._stream.tell() > ROLL_BYTES:
            self._close()

    def close(self) -> list[DataFile]:
        """Write what is left; the files."""
        self.flush()
        self._close()
        return self._files

    def abandon(self) -> None:
        """Remove the files again: nobody will commit them."""
        paths = [file.path for file in self._files]
        if self._stream is not None:
            self._stream.close()
            paths.append(self._path)
        for path in paths:
            self._folder.delete_file(path)

    def _open(self, schema: pa.Schema) -> None:
        self._path, self._rows = f"{folder_of(self._partition)}part-{uuid4()}.zstd.parquet", 0
        if self._partition and has_folders(self._folder):
            self._folder.create_dir(self._path.rpartition("/")[0])
        self._stream = self._folder.open_output_stream(self._path)
        repeating = [name for name in schema.names if name not in self._distinct]
        self._writer = pq.ParquetWriter(
            self._stream, schema, compression="zstd", use_dictionary=repeating, write_statistics=repeating
        )

    def _close(self) -> None:
        if self._writer is None or self._stream is None:
            return
        self._writer.close()
        size = self._stream.tell()
        self._stream.close()
        self._files.append(DataFile(self._path, size, self._rows, self._partition))
        self._writer = self._stream = None


def write_file(rows: pa.Table, folder: pafs.FileSystem, partition: Mapping[str, str | None]) -> list[DataFile]:
    """Write a few rows of one partition; no file for no rows."""
    writer = PartitionWriter(folder, partition)
    for batch in rows.to_batches():
        writer.write(batch)
    return writer.close()


def to_files(
    function: Callable[[Batches], Batches], storage: Storage, partition: Sequence[str], distinct: Sequence[str] = ()
) -> Callable[[Batches], Batches]:
    """A batch function's rows to files instead; each of its batches is of one partition, in order.

    Returns:
        A batch function that gives what it wrote (`FILES`). Nothing stays of a task that fails.
    """

    def write(batches: Batches) -> Batches:
        folder = storage.open()
        writers: list[tuple[dict[str, str | None], PartitionWriter]] = []
        try:
            for batch in function(batches):
                if batch.num_rows == 0:
                    continue
                values = {name: str(batch.column(name)[0].as_py()) for name in partition}
                if not writers or writers[-1][0] != values:
                    if writers:
                        writers[-1][1].close()
                    writers.append((dict(values), PartitionWriter(folder, values, distinct)))
                writers[-1][1].write(batch)
            files = [file for _, writer in writers for file in writer.close()]
        except BaseException:
            for _, writer in writers:
                writer.abandon()
            raise
        rows = [{**asdict(file), "partition": json.dumps(dict(file.partition))} for file in files]
        yield pa.RecordBatch.from_pylist(rows, FILES)

    return write


def files_of(told: pa.Table) -> list[DataFile]:
    """The files that tasks told of (`FILES`)."""
    return [DataFile(**row | {"partition": json.loads(row["partition"])}) for row in told.to_pylist()]


def folder_of(partition: Mapping[str, str | None]) -> str:
    """The folder of a partition, with plain characters only: a path in the log is a URI, where others are escaped."""
    return "".join(f"{_UNSAFE.sub('-', f'{name}={value}')}/" for name, value in partition.items())
