"""Delta tables without Spark: opened by delta-rs, read into Arrow, and committed file by file.

A commit is a compare-and-swap: delta-rs writes the version after the one that was looked at, or nothing. It never
retries by itself, for its own check lets two stale overwrites of a partition without files both win, and an append
survive beside an overwrite; what may be tried again is decided here, on a fresh look at the table.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
from deltalake import CommitProperties, DeltaTable, Schema, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction, RemoveAction

from jobs.lake.commit_history import CommitHistory, CommitInfo
from jobs.lake.commits import Scope
from jobs.lake.table_features import beyond_ours
from jobs.lake.tables import Table
from udfs.data_files import DataFile
from udfs.storage import Storage, is_uri

TRIES = 100
"""How often a commit is tried where others write the table all the time, but never its part."""
MANY_FILES = 100
"""Of a table of the driver's rows; more are gathered into one."""


class OvertakenError(Exception):
    """Another commit was first, and touched what this one is about."""


class UnopenedError(Exception):
    """There may be a table, but delta-rs does not open it: its place or its protocol is not for it."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a writer looked at before it began: a version, and the live files of its scope."""

    version: int
    files: frozenset[str]


class ArrowTables:
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

    def rows(self, table: Table, columns: Sequence[str] | None = None, where: pc.Expression | None = None) -> pa.Table:
        """Rows of the table as it is now, with the declared columns (or those named) that it has."""
        # Arrow's own file system: delta-rs's is Python's, and a thread that gives it back when the interpreter ends
        # aborts the process (27 of 40 short runs did).
        dataset = self.existing(table).to_pyarrow_dataset(filesystem=self.folder(table))
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

    def snapshot(self, table: Table, scope: Scope) -> Snapshot:
        """The table as it is now, for a commit that is to come after work of some length."""
        files = frozenset(file.path for file in self.files(table, scope))
        return Snapshot(self._opened[table.name].version(), files)

    # --- committing ---------------------------------------------------------------------------------------------

    def append(self, table: Table, files: Sequence[DataFile], metadata: str, *, once: str | None = None) -> int | None:
        """Add files in one commit; its version, or None where a commit of the same name `once` was made before."""

        def attempt(now: DeltaTable) -> bool:
            if once is not None and now.transaction_version(once) is not None:
                return False
            turns = [Transaction(once, 1)] if once is not None else []
            self._commit(now, table, files, (), metadata, turns)
            return True

        return self._tried(table, attempt)

    def append_after(
        self, table: Table, files: Sequence[DataFile], metadata: str, *, version: int, sequence: str
    ) -> int:
        """Add files in one commit, unless another append of the sequence was made after `version`.

        Raises:
            OvertakenError: There was one.
        """

        def attempt(now: DeltaTable) -> bool:
            if (now.transaction_version(sequence) or 0) > version:
                raise OvertakenError("its turn was taken")
            self._commit(now, table, files, (), metadata, [Transaction(sequence, version + 1)])
            return True

        return self._made(self._tried(table, attempt))

    def replace(self, table: Table, files: Sequence[DataFile], metadata: str, *, scope: Scope, since: Snapshot) -> int:
        """Put files in place of all that lie in the scope, unless that changed after `since`.

        Raises:
            OvertakenError: It did.
        """
        outside = [file.path for file in files if not scope.holds(file.partition)]
        if outside:
            raise ValueError(f"{table.name}: {outside[0]} lies outside {scope.predicate()}")

        def attempt(now: DeltaTable) -> bool:
            live = self.files(table, scope)
            if now.version() != since.version and frozenset(file.path for file in live) != since.files:
                raise OvertakenError("its part of the table changed meanwhile")
            self._commit(now, table, files, live, metadata, [])
            return True

        return self._made(self._tried(table, attempt))

    def gather(self, table: Table) -> None:
        """Bring the rows of many small files together, in a commit that changes none: `runs` gets a file a run.

        Only of tables without partitions. Where it fails, it waits for the next time: the rows are committed.
        """
        now = self.existing(table)
        if not table.partition and len(now.file_uris()) > MANY_FILES:
            with suppress(DeltaError):
                now.optimize.compact(commit_properties=CommitProperties({"isBlindAppend": False}, 0))

    def _tried(self, table: Table, attempt: Callable[[DeltaTable], bool]) -> int | None:
        """Attempt a commit on the newest version until it is made, or an attempt finds that it must not be."""
        for tried in range(TRIES):
            now = self.existing(table)
            seen = now.version()
            try:
                return seen + 1 if attempt(now) else None
            except CommitFailedError:
                now.update_incremental()
                if now.version() == seen:
                    raise  # nobody took the version: something else is wrong
                time.sleep(min(0.001 * tried, 0.05))
        raise OvertakenError(f"others committed first {TRIES} times")

    def _made(self, version: int | None) -> int:
        assert version is not None  # only an append by name may find nothing to do
        return version

    def _commit(
        self, now: DeltaTable, table: Table, files: Sequence[DataFile], removed: Sequence[DataFile], metadata: str,
        turns: list[Transaction],
    ) -> None:  # fmt: skip
        moment = int(time.time() * 1000)
        added = [AddAction(f.path, f.size, dict(f.partition), moment, True, f.statistics()) for f in files]
        gone = [RemoveAction(unquote(file.path), True, moment, file.size, dict(file.partition)) for file in removed]
        told: dict[str, Any] = {"userMetadata": metadata, "isBlindAppend": not removed}
        told["operationMetrics"] = {"numFiles": str(len(files)), "numOutputRows": str(sum(f.rows or 0 for f in files))}
        properties = CommitProperties(told, 0, turns)
        now.create_write_transaction(
            [*added, *gone], "append", Schema.from_arrow(table.columns), list(table.partition),
            commit_properties=properties,
        )  # fmt: skip
