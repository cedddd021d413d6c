"""Delta tables without Spark: opened by delta-rs, read into Arrow, and committed file by file.

A commit is a compare-and-swap: delta-rs writes the version after the one that was looked at, or nothing. It never
retries by itself, for its own check lets two stale overwrites of a partition without files both win, and an append
survive beside an overwrite; what may be tried again is decided here, on a fresh look at the table.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from deltalake import CommitProperties, DeltaTable, Schema, Transaction
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.transaction import AddAction, RemoveAction

from jobs.lake.arrow_reader import ArrowReader
from jobs.lake.commits import Scope
from jobs.lake.tables import Table
from udfs.data_files import DataFile

TRIES = 100
"""How often a commit is tried where others write the table all the time, but never its part."""
MANY_FILES = 100
"""Of a table of the driver's rows; more are gathered into one."""


class OvertakenError(Exception):
    """Another commit was first, and touched what this one is about."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a writer looked at before it began: a version, and the live files of its scope."""

    version: int
    files: frozenset[str]


class ArrowTables(ArrowReader):
    """The tables at their places, to read and to commit to."""

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
        """Put files in place of all that lie in the scope, unless its rows changed after `since`.

        Raises:
            OvertakenError: It did.
        """
        outside = [file.path for file in files if not scope.holds(file.partition)]
        if outside:
            raise ValueError(f"{table.name}: {outside[0]} lies outside {scope.predicate()}")

        def attempt(now: DeltaTable) -> bool:
            live = self.files(table, scope)
            files_changed = now.version() != since.version and frozenset(file.path for file in live) != since.files
            if files_changed and not self._only_rearranged(table, range(since.version + 1, now.version() + 1), scope):
                raise OvertakenError("its part of the table changed meanwhile")
            self._commit(now, table, files, live, metadata, [])
            return True

        return self._made(self._tried(table, attempt))

    def exchange(self, table: Table, files: Sequence[DataFile], removed: Sequence[DataFile], metadata: str) -> int:
        """Put files in place of some of the table's, whatever came beside them.

        Raises:
            OvertakenError: One of those is not the table's any more.
        """

        def attempt(now: DeltaTable) -> bool:
            live = {file.path for file in self.files(table)}
            if any(file.path not in live for file in removed):
                raise OvertakenError("its part of the table changed meanwhile")
            self._commit(now, table, files, removed, metadata, [])
            return True

        return self._made(self._tried(table, attempt))

    def _only_rearranged(self, table: Table, versions: Iterable[int], scope: Scope) -> bool:
        """Whether commits say of themselves that they changed no row of a scope (compaction)."""
        told = (self.actions(table, version) for version in versions)
        return all(
            actions is not None and not any(one.changes and scope.holds(one.partition) for one in actions)
            for actions in told
        )

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
