"""Reading and writing the tables: one place, one way.

Every write is one Delta commit whose `userMetadata` says which run made it, what it covers and from what it was
computed. Bookkeeping is read back from there (`jobs.lake.log`), so that data and bookkeeping cannot disagree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

from delta import DeltaTable
from delta import exceptions as delta_errors
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lake import stop_points
from jobs.lake.catalog import Catalog
from jobs.lake.commits import Commit, Scope, Stamp, metadata
from jobs.lake.log import Log
from jobs.lake.schema_check import conform, frame_of_rows
from jobs.lake.tables import Table
from jobs.settings import LakeSettings
from models.errors import ConflictError

# In Python none of Delta's conflicts is a subclass of the one that is called their base.
_CONFLICTS = (
    delta_errors.DeltaConcurrentModificationException, delta_errors.ConcurrentWriteException,
    delta_errors.MetadataChangedException, delta_errors.ProtocolChangedException,
    delta_errors.ConcurrentAppendException, delta_errors.ConcurrentDeleteReadException,
    delta_errors.ConcurrentDeleteDeleteException, delta_errors.ConcurrentTransactionException,
)  # fmt: skip
_USER_METADATA = "spark.databricks.delta.commitInfo.userMetadata"


class Lake:
    """The tables of one schema, through one session.

    Attributes:
        spark: The session.
        catalog: Where the tables are.
        log: What their commits say.
        bundles: The folder of sealed bundles and teachers.
    """

    def __init__(self, spark: SparkSession, settings: LakeSettings, timezone: str) -> None:
        self.spark = spark
        self.catalog = Catalog(spark, settings, timezone)
        self.log = Log(spark, self.catalog)
        self.bundles = Path(settings.bundles).resolve()

    # --- reading ------------------------------------------------------------------------------------------------

    def read(self, table: Table) -> DataFrame:
        """The table as it is now."""
        return self.spark.table(self.catalog.require(table))

    def days(self, table: Table) -> list[date]:
        """The days that a table has rows of, rising."""

        def ask() -> list[date]:
            return sorted(row["dt"] for row in self.read(table).select("dt").distinct().collect())

        return self.log.while_unchanged(table, "days", ask)

    def frame(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> DataFrame:
        """Rows as a frame with the columns that the table declares; what a row leaves out is null."""
        return frame_of_rows(self.spark, table, rows)

    # --- writing ------------------------------------------------------------------------------------------------

    def append(
        self, frame: DataFrame, table: Table, stamp: Stamp, *, once: str | None = None, scope: Scope | None = None
    ) -> Commit:
        """Add rows in one commit; with `once` the same name adds nothing a second time (Delta's transaction id)."""
        options = {"txnAppId": once, "txnVersion": "1"} if once else {}
        return self._write(frame, table, stamp, scope or Scope(), "append", options) or self._no_commit(table, stamp)

    def append_rows(
        self, table: Table, rows: Sequence[Mapping[str, Any]], stamp: Stamp, *, once: str | None = None,
        scope: Scope | None = None,
    ) -> Commit:  # fmt: skip
        """`append` of a few rows of the driver's."""
        return self.append(self.frame(table, rows), table, stamp, once=once, scope=scope)

    def append_after(
        self, frame: DataFrame, table: Table, stamp: Stamp, version: int, scope: Scope | None = None, sequence: str = ""
    ) -> Commit:
        """Add rows in one commit, unless another such append was made after this version of the table.

        Delta lets any two appends pass side by side. What decides by the rows that are there (which files are loaded,
        which ids came earlier) must not: these appends take turns, by a transaction id that a `sequence` shares.

        Raises:
            ConflictError: Another one was first.
        """
        options = {"txnAppId": f"{table.name}/{sequence}in turn", "txnVersion": str(version + 1)}
        commit = self._write(frame, table, stamp, scope or Scope(), "append", options)
        if commit is None or commit.version <= version:  # Delta skips a turn that was taken before this append began
            raise self._conflict(table, "its turn was taken")
        return commit

    def replace(self, frame: DataFrame, table: Table, stamp: Stamp, scope: Scope, *, gathered: bool = True) -> Commit:
        """Put these rows in place of all rows of the scope, in one commit.

        Gathered, the rows of a partition are brought together first, into few files; every row is shuffled for it. Not
        gathered, each task writes what it has: for rows that come by partition already.
        """
        options = {"replaceWhere": scope.predicate(), "optimizeWrite": str(gathered).lower()}
        return self._write(frame, table, stamp, scope, "overwrite", options) or self._no_commit(table, stamp)

    def upsert(self, frame: DataFrame, table: Table, stamp: Stamp) -> Commit:
        """Insert rows with a new key, update those whose values differ, leave the rest; `frame` has each key once.

        Where nothing differs no commit is made: the same file twice changes nothing.
        """
        frame = conform(frame, table)
        same_key = " AND ".join(f"t.{name} = s.{name}" for name in table.key)
        compared = [name for name in table.names if name not in (*table.key, "run_id", "file")]
        equal = [F.col(f"s.{name}").eqNullSafe(F.col(f"t.{name}")) for name in (*table.key, *compared)]
        changed = frame.alias("s").join(self.read(table).alias("t"), equal, "left_anti")
        rows = changed.localCheckpoint(eager=True)
        if rows.isEmpty():
            return self._no_commit(table, stamp)
        name = self.catalog.name(table)
        with self._committing(table, stamp):
            self.spark.conf.set(_USER_METADATA, metadata(stamp, Scope()))
            try:
                merge = DeltaTable.forName(self.spark, name).alias("t").merge(rows.alias("s"), same_key)
                merge.whenMatchedUpdateAll().whenNotMatchedInsertAll().execute()
            finally:
                self.spark.conf.unset(_USER_METADATA)
        return self.log.commit_of_run(table, stamp) or self._no_commit(table, stamp)

    def _write(
        self, frame: DataFrame, table: Table, stamp: Stamp, scope: Scope, mode: str, options: dict[str, str]
    ) -> Commit | None:
        """One commit; None where Delta skipped it, because its transaction id was there already."""
        frame = conform(frame, table)
        name = self.catalog.require(table)  # a table is made by init, never by a first write
        with self._committing(table, stamp):
            writer = frame.write.format("delta").mode(mode).options(**options)
            writer.option("userMetadata", metadata(stamp, scope)).saveAsTable(name)
        return self.log.commit_of_run(table, stamp)

    @contextmanager
    def _committing(self, table: Table, stamp: Stamp) -> Iterator[None]:
        stop_points.reach(f"{stamp.job}:{table.name}:before_commit")
        try:
            yield
        except _CONFLICTS as error:
            raise self._conflict(table, type(error).__name__) from None
        stop_points.reach(f"{stamp.job}:{table.name}:after_commit")

    def _conflict(self, table: Table, how: str) -> ConflictError:
        return ConflictError(
            f"{self.catalog.name(table)}: another run wrote the same part first ({how}); "
            "nothing of this run was committed, run it again"
        )

    def _no_commit(self, table: Table, stamp: Stamp) -> Commit:
        """What a write that added no row tells: an earlier one had made it all."""
        return Commit(self.log.version(table), 0, stamp.fingerprint, expected=stamp.expected)
