"""Reading and writing the tables: one place, one way.

Every write is one Delta commit whose `userMetadata` says which run made it, what it covers and from what it was
computed. Bookkeeping is read back from there (`jobs.lake.log`), so that data and bookkeeping cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import cached_property
from typing import Any, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, SparkSession

from jobs.lake import row_files, storage_options
from jobs.lake.arrow_tables import Snapshot
from jobs.lake.catalog import Catalog
from jobs.lake.commits import Commit, Scope, Stamp, metadata
from jobs.lake.committing import committing, conflict, turn_of
from jobs.lake.log import Log
from jobs.lake.model_store import ModelStore
from jobs.lake.schema_check import conform, conformed_rows, frame_of_rows
from jobs.lake.tables import Table
from jobs.settings import LakeSettings
from udfs.data_files import DataFile

Rows: TypeAlias = Sequence[Mapping[str, Any]] | pa.Table
"""Rows that the driver holds."""


class Lake:
    """The tables of one schema.

    Large frames are read and written by Spark. Rows of the driver's, and files that tasks wrote, are committed by
    delta-rs, without a session, wherever `Catalog.left_to_spark` has no reason against it.

    Attributes:
        catalog: Where the tables are.
        log: What their commits say.
        bundles: Where teachers and sealed students lie.
        timezone: The zone that cuts days.
    """

    def __init__(self, session: Callable[[], SparkSession], settings: LakeSettings, timezone: str) -> None:
        self._start, self._settings, self.timezone = session, settings, timezone
        options = storage_options.resolver(settings, lambda: self.spark)
        self.catalog = Catalog(lambda: self.spark, settings, timezone, options)
        self.log = Log(lambda: self.spark, self.catalog)
        self.bundles = ModelStore(settings.bundles, options)

    @cached_property
    def spark(self) -> SparkSession:
        """The session, started when it is first asked for."""
        started = self._start()
        storage_options.tell_spark(started, self._settings)
        return started

    @property
    def running(self) -> SparkSession | None:
        """The session, if it was started."""
        return self.__dict__.get("spark")

    # --- reading ------------------------------------------------------------------------------------------------

    def read(self, table: Table) -> DataFrame:
        """The table as it is now."""
        self.catalog.require(table)
        return self.catalog.frame(table)

    def rows(self, table: Table, *columns: str, where: pc.Expression | None = None) -> list[dict[str, Any]]:
        """`arrow` as a dict a row: times are in UTC, lists are lists, maps are dicts."""
        rows: list[dict[str, Any]] = self.arrow(table, *columns, where=where).to_pylist(maps_as_pydicts="strict")
        return rows

    def arrow(self, table: Table, *columns: str, where: pc.Expression | None = None) -> pa.Table:
        """Rows of a table that the driver holds whole, in no order; without a session where that can be.

        Args:
            table: Which.
            columns: Of these; of all without any.
            where: Which rows; all by default.
        """
        if self.catalog.left_to_spark(table) is None:
            return self.catalog.arrow.rows(table, columns, where)
        found = self.read(table).toArrow()
        return (found if where is None else found.filter(where)).select(columns or table.names)

    def days(self, table: Table, column: str = "dt") -> dict[date, int | None]:
        """How many rows a table has of each day that it is partitioned by, rising; None where its log does not say."""

        def ask() -> dict[date, int | None]:
            if self.catalog.left_to_spark(table) is not None:
                counted = self.read(table).groupBy(column).count().collect()
                return {row[column]: row["count"] for row in sorted(counted)}
            days: dict[date, int | None] = {}
            for file in self.catalog.arrow.files(table):
                day = date.fromisoformat(file.partition[column] or "")
                so_far = days.get(day, 0)
                days[day] = None if file.rows is None or so_far is None else so_far + file.rows
            return {day: days[day] for day in sorted(days) if days[day] != 0}

        return self.log.while_unchanged(table, ("days", column), ask)

    def frame(self, table: Table, rows: Rows) -> DataFrame:
        """Rows as a frame with the columns that the table declares; what a row leaves out is null."""
        return frame_of_rows(self.spark, table, rows.to_pylist() if isinstance(rows, pa.Table) else rows)

    # --- writing rows -------------------------------------------------------------------------------------------

    def append_rows(
        self, table: Table, rows: Sequence[Mapping[str, Any]], stamp: Stamp, *, once: str | None = None,
        scope: Scope | None = None,
    ) -> Commit:  # fmt: skip
        """Add a few rows of the driver's in one commit; with `once` the same name adds nothing a second time."""
        if self.catalog.left_to_spark(table) is not None:
            return self.append(self.frame(table, rows), table, stamp, once=once, scope=scope)

        def commit(files: Sequence[DataFile], told: str) -> int | None:
            return self.catalog.arrow.append(table, files, told, once=once)

        return self._commit_rows(table, rows, stamp, scope or Scope(), commit)

    def append_rows_after(
        self, table: Table, rows: Rows, stamp: Stamp, version: int, scope: Scope | None = None
    ) -> Commit:
        """Add rows as `append_after` adds a frame's."""
        if self.catalog.left_to_spark(table) is not None:
            return self.append_after(self.frame(table, rows), table, stamp, version, scope)

        def commit(files: Sequence[DataFile], told: str) -> int:
            return self.catalog.arrow.append_after(table, files, told, version=version, sequence=turn_of(table))

        return self._commit_rows(table, rows, stamp, scope or Scope(), commit)

    def replace_rows(
        self, table: Table, rows: Rows, stamp: Stamp, scope: Scope, since: Snapshot | None = None
    ) -> Commit:
        """Put these rows in place of all rows of the scope, unless that changed after `since`, in one commit."""
        if self.catalog.left_to_spark(table) is not None:
            return self.replace(self.frame(table, rows), table, stamp, scope)
        looked_at = since or self.catalog.arrow.snapshot(table, scope)

        def commit(files: Sequence[DataFile], told: str) -> int:
            return self.catalog.arrow.replace(table, files, told, scope=scope, since=looked_at)

        return self._commit_rows(table, rows, stamp, scope, commit)

    def replace_files(
        self, table: Table, files: Sequence[DataFile], stamp: Stamp, scope: Scope, since: Snapshot
    ) -> Commit:
        """Put files that tasks wrote in place of all rows of the scope, unless that changed after `since`."""
        with committing(table, stamp):
            version = self.catalog.arrow.replace(table, files, metadata(stamp, scope), scope=scope, since=since)
        return Commit(version, _rows_of(files), stamp.fingerprint, scope, stamp.expected)

    def append_files_after(
        self, files: Sequence[DataFile], table: Table, stamp: Stamp, version: int, scope: Scope | None = None,
        sequence: str = "",
    ) -> Commit:  # fmt: skip
        """Add files that tasks wrote as `append_after` adds a frame."""
        with committing(table, stamp):
            made = self.catalog.arrow.append_after(
                table, files, metadata(stamp, scope or Scope()), version=version, sequence=turn_of(table, sequence)
            )
        return Commit(made, _rows_of(files), stamp.fingerprint, scope or Scope(), stamp.expected)

    def _commit_rows(
        self, table: Table, rows: Rows, stamp: Stamp, scope: Scope,
        commit: Callable[[Sequence[DataFile], str], int | None],
    ) -> Commit:  # fmt: skip
        """Write the rows to files, a partition each, and commit them; no file stays of what was not committed."""
        conformed = rows if isinstance(rows, pa.Table) else conformed_rows(table, rows)
        folder = self.catalog.arrow.folder(table)
        with committing(table, stamp), row_files.written(table, conformed, folder) as files:
            version = commit(files, metadata(stamp, scope))
            if version is None:
                row_files.remove(files, folder)
        if version is None:
            return self.no_commit(table, stamp)
        self.catalog.arrow.gather(table)
        return Commit(version, conformed.num_rows, stamp.fingerprint, scope, stamp.expected)

    # --- writing frames -----------------------------------------------------------------------------------------

    def append(
        self, frame: DataFrame, table: Table, stamp: Stamp, *, once: str | None = None, scope: Scope | None = None
    ) -> Commit:
        """Add rows in one commit; with `once` the same name adds nothing a second time (Delta's transaction id)."""
        options = {"txnAppId": once, "txnVersion": "1"} if once else {}
        return self._write(frame, table, stamp, scope or Scope(), "append", options) or self.no_commit(table, stamp)

    def append_after(
        self, frame: DataFrame, table: Table, stamp: Stamp, version: int, scope: Scope | None = None, sequence: str = ""
    ) -> Commit:
        """Add rows in one commit, unless another such append was made after this version of the table.

        Delta lets any two appends pass side by side. What decides by the rows that are there (which files are loaded,
        which ids came earlier) must not: these appends take turns, by a transaction id that a `sequence` shares.

        Raises:
            ConflictError: Another one was first.
        """
        options = {"txnAppId": turn_of(table, sequence), "txnVersion": str(version + 1)}
        commit = self._write(frame, table, stamp, scope or Scope(), "append", options)
        if commit is None or commit.version <= version:  # Delta skips a turn that was taken before this append began
            raise conflict(table, "its turn was taken")
        return commit

    def replace(self, frame: DataFrame, table: Table, stamp: Stamp, scope: Scope, *, gathered: bool = True) -> Commit:
        """Put these rows in place of all rows of the scope, in one commit.

        Gathered, the rows of a partition are brought together first, into few files; every row is shuffled for it. Not
        gathered, each task writes what it has: for rows that come by partition already.
        """
        options = {"replaceWhere": scope.predicate(), "optimizeWrite": str(gathered).lower()}
        return self._write(frame, table, stamp, scope, "overwrite", options) or self.no_commit(table, stamp)

    def _write(
        self, frame: DataFrame, table: Table, stamp: Stamp, scope: Scope, mode: str, options: dict[str, str]
    ) -> Commit | None:
        """One commit; None where Delta skipped it, because its transaction id was there already."""
        frame = conform(frame, table)
        before = self.log.version(table)  # a table is made by init, never by a first write
        with committing(table, stamp):
            writer = frame.write.format("delta").mode(mode).options(**options)
            writer = writer.option("userMetadata", metadata(stamp, scope))
            if self.catalog.root is None:
                writer.saveAsTable(self.catalog.name(table))
            else:
                writer.save(self.catalog.place(table))
        commit = self.log.commit_of_run(table, stamp)
        return commit if commit is not None and commit.version > before else None

    def no_commit(self, table: Table, stamp: Stamp) -> Commit:
        """What a write that added no row tells: an earlier one had made it all."""
        return Commit(self.log.version(table), 0, stamp.fingerprint, expected=stamp.expected)


def _rows_of(files: Sequence[DataFile]) -> int:
    return sum(file.rows or 0 for file in files)
