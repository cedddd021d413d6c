"""Delta tables without Spark: opened by delta-rs, read into Arrow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as pafs
from deltalake import DeltaTable, Schema
from deltalake.exceptions import DeltaError, TableNotFoundError

from jobs.lake.commit_actions import FileAction, read_actions
from jobs.lake.commit_history import CommitHistory, CommitInfo
from jobs.lake.commits import Scope
from jobs.lake.table_features import beyond_ours
from jobs.lake.tables import Table
from udfs.data_files import DataFile
from udfs.storage import Storage, is_uri


class UnopenedError(Exception):
    """There may be a table, but delta-rs does not open it: its place or its protocol is not for it."""


class ArrowReader:
    """The tables at their places.

    `place` says where a table lies, as a URI or a path (None: nobody knows), and `storage_options` how object stores
    are reached, as delta-rs names it; it is asked only of a URI.
    """

    def __init__(self, place: Callable[[Table], str | None], storage_options: Callable[[], Mapping[str, str]]) -> None:
        self._place = place
        self._options = storage_options
        self._opened: dict[str, DeltaTable] = {}
        self._histories: dict[str, CommitHistory] = {}

    def opened(self, table: Table) -> DeltaTable | None:
        """The table as it is now, None where there is none yet. A folder without a commit is none.

        Raises:
            UnopenedError: It may be there, and cannot be opened.
        """
        known = self._opened.get(table.name)
        if known is not None:
            known.update_incremental()
            return known
        place = self._place(table) or ""
        if not is_uri(place) and not (place and (Path(place) / "_delta_log").is_dir()):
            return None
        options = self._reached_by(place)
        if is_uri(place) and not options:  # delta-rs would ask a cloud's machines for credentials, for long
            raise UnopenedError(f"it lies at {place.partition('://')[0]}://, and nothing says how delta-rs reaches it")
        try:
            self._opened[table.name] = DeltaTable(place, storage_options=options)
        except TableNotFoundError:
            return None
        except (DeltaError, OSError, ValueError) as error:
            raise UnopenedError(f"delta-rs does not open it: {str(error).splitlines()[0]}") from None
        return self._opened[table.name]

    def existing(self, table: Table) -> DeltaTable:
        """The table as it is now.

        Raises:
            LookupError: There is none.
        """
        found = self.opened(table)
        if found is None:
            raise LookupError(f"{table.name}: no table at {self._place(table)}")
        return found

    def folder(self, table: Table) -> pafs.FileSystem:
        """The folder of an existing table."""
        return self.storage(table).open()

    def storage(self, table: Table) -> Storage:
        """Where a table lies, for tasks to open."""
        place = self._place(table) or ""
        return Storage(place, self._reached_by(place))

    def _reached_by(self, place: str) -> dict[str, str]:
        return dict(self._options()) if is_uri(place) else {}

    def refusal(self, table: Table) -> str | None:
        """Why its rows are left to Spark, None where they need not be."""
        return beyond_ours(self.existing(table).protocol())

    def make(self, table: Table, place: str, properties: Mapping[str, str]) -> None:
        """Make the table, empty, unless it is there."""
        DeltaTable.create(
            place, Schema.from_arrow(table.columns), mode="ignore", partition_by=list(table.partition),
            configuration=dict(properties), description=table.comment,
            storage_options=self._reached_by(place),
            raise_if_key_not_exists=False,
        )  # fmt: skip

    def add_columns(self, table: Table, columns: Sequence[str]) -> None:
        """Add declared columns to a table that an earlier version made."""
        declared = Schema.from_arrow(table.columns).fields
        self.existing(table).alter.add_columns([field for field in declared if field.name in columns])

    # --- reading ------------------------------------------------------------------------------------------------

    def dataset(self, table: Table) -> ds.Dataset:
        """The table as it is now, for whoever reads it in batches; in the types of its files.

        By Arrow's own file system: delta-rs's is Python's, and a thread that gives it back when the interpreter ends
        aborts the process (27 of 40 short runs did).
        """
        return self.existing(table).to_pyarrow_dataset(filesystem=self.folder(table))

    def rows(self, table: Table, columns: Sequence[str] | None = None, where: pc.Expression | None = None) -> pa.Table:
        """Rows of the table as it is now, with the declared columns (or those named) that it has."""
        dataset = self.dataset(table)
        wanted = [table.columns.field(name) for name in (columns or table.names) if name in dataset.schema.names]
        rows = dataset.to_table(columns=[field.name for field in wanted], filter=where)
        return rows.cast(pa.schema([field.with_nullable(True) for field in wanted]))

    def files(self, table: Table, scope: Scope = Scope()) -> list[DataFile]:  # noqa: B008
        """The live files that lie in a scope, with their partition values as text."""
        actions = pa.table(self.existing(table).get_add_actions(flatten=False))
        told = [name for name in ("path", "size_bytes", "num_records", "partition") if name in actions.column_names]
        found = []
        for action in actions.select(told).to_pylist():
            values = (action.get("partition") or {}).items()
            partition = {name: None if value is None else str(value) for name, value in values}
            if scope.holds(partition):
                found.append(DataFile(action["path"], action["size_bytes"], action.get("num_records"), partition))
        return found

    def history(self, table: Table, limit: int) -> list[CommitInfo]:
        """What the newest commits say of themselves (`commitInfo`, with `version`), the newest first."""
        newest = self.existing(table).version()
        return self._histories.setdefault(table.name, CommitHistory()).newest(self.folder(table), newest, limit)

    def actions(self, table: Table, version: int) -> list[FileAction] | None:
        """The files that a commit added and removed; None where the log was cleaned of it."""
        return read_actions(self.folder(table), version)
