"""Reading and writing the tables: one place, one way.

Every write is one Delta commit whose `userMetadata` says which run made it, what it covers and from what it was
computed. Bookkeeping is read back from there, so that data and bookkeeping cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

from delta import DeltaTable
from delta import exceptions as delta_errors
from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from jobs.lake import stop_points, tables
from jobs.lake.commits import Commit, Scope, Stamp, commit_of, metadata, parsed
from jobs.lake.schema_check import conform
from jobs.lake.tables import Table
from jobs.settings import LakeSettings
from models.errors import ConflictError, DataError, SettingsError

_HISTORY = 500  # commits looked back through; a nightly job makes a few a day
# In Python none of Delta's conflicts is a subclass of the one that is called their base.
_CONFLICTS = (
    delta_errors.DeltaConcurrentModificationException, delta_errors.ConcurrentWriteException,
    delta_errors.MetadataChangedException, delta_errors.ProtocolChangedException,
    delta_errors.ConcurrentAppendException, delta_errors.ConcurrentDeleteReadException,
    delta_errors.ConcurrentDeleteDeleteException, delta_errors.ConcurrentTransactionException,
)  # fmt: skip
# Every file holds digests of the whole range: their least and greatest rule out none, and cost a comparison a row.
_DIGESTS = ("text_id", "text_hash")
T = TypeVar("T")
_USER_METADATA = "spark.databricks.delta.commitInfo.userMetadata"


class Lake:
    """The tables of one schema, through one session."""

    def __init__(self, spark: SparkSession, settings: LakeSettings, timezone: str) -> None:
        self.spark = spark
        self.schema_name = settings.schema_name
        for name, place in (("location", settings.location), ("bundles", settings.bundles)):
            if "://" in (place or ""):
                raise SettingsError(
                    f"lake.{name}: {place} is no path that every machine has mounted; give one, or leave lake.location "
                    "out and let the catalog place the tables"
                )
        self.root = Path(settings.location).resolve() if settings.location else None
        self.bundles = Path(settings.bundles).resolve()
        self._timezone = timezone
        self._in_zone: set[str] = set()
        self._kept: dict[tuple[str, object], tuple[str, Any]] = {}

    # --- tables -----------------------------------------------------------------------------------------------

    def init(self, wanted: Sequence[Table] = tables.ALL) -> list[str]:
        """Make the tables that are not there yet; returns their names."""
        missing = [table for table in wanted if not self._exists(table)]
        with ThreadPoolExecutor(4) as pool:  # a creation waits for the disk more than for the processor
            list(pool.map(self._create, missing))
        return [table.name for table in missing]

    def missing(self) -> list[str]:
        """The declared tables that are not there yet."""
        return [table.name for table in tables.ALL if not self._exists(table)]

    def name(self, table: Table) -> str:
        """The table's name in SQL."""
        return f"{self.schema_name}.{table.name}"

    def read(self, table: Table) -> DataFrame:
        """The table as it is now."""
        if not self._registered(table):
            raise DataError(f"{self.name(table)}: no such table; run `pingti init` first")
        return self.spark.table(self.name(table))

    def version(self, table: Table) -> int:
        """The number of the newest commit."""
        return int(self._history(table, 1)[0]["version"])

    def days(self, table: Table) -> list[date]:
        """The days that a table has rows of, rising."""

        def ask() -> list[date]:
            return sorted(row["dt"] for row in self.read(table).select("dt").distinct().collect())

        return self._while_unchanged(table, "days", ask)

    def _exists(self, table: Table) -> bool:
        """Whether the table was made, here or in another session."""
        if self.root is not None:
            # A kill may leave the folder of the log without a commit in it.
            return any((self.root / table.name / "_delta_log").glob("*.json"))
        return bool(self.spark.catalog.tableExists(self.name(table)))

    def _registered(self, table: Table) -> bool:
        """Make the catalog know the table, which the embedded one forgets between sessions."""
        if self.spark.catalog.tableExists(self.name(table)):
            if table.name not in self._in_zone:
                self._check_place(table)
        else:
            if self.root is None or not self._exists(table):
                return False
            location = self._location(table)
            self.spark.sql(f"CREATE SCHEMA IF NOT EXISTS {self.schema_name}")
            self.spark.sql(f"CREATE TABLE IF NOT EXISTS {self.name(table)} USING DELTA LOCATION '{location}'")
        if table.name not in self._in_zone:
            self._check_zone(table)
            self._in_zone.add(table.name)
        return True

    def _check_place(self, table: Table) -> None:
        """A catalog that outlives sessions may know the table at another place."""
        if self.root is None:
            return
        # Delta's own DESCRIBE DETAIL would read the log for it, a second a table.
        told = {
            row["col_name"]: row["data_type"]
            for row in self.spark.sql(f"DESCRIBE EXTENDED {self.name(table)}").collect()
        }
        place = Path(unquote(urlsplit(told["Location"]).path))
        if place != self.root / table.name:
            raise SettingsError(
                f"{self.name(table)}: the catalog has it at {place}, lake.location says {self.root / table.name}; "
                "choose another lake.schema_name, or leave lake.location out"
            )

    def _check_zone(self, table: Table) -> None:
        rows = self.spark.sql(f"SHOW TBLPROPERTIES {self.name(table)}").collect()
        zone = {row["key"]: row["value"] for row in rows}.get("pingti.timezone")
        if zone != self._timezone:
            raise SettingsError(
                f"{self.name(table)}: its days are days of {zone}, the settings say {self._timezone}; "
                "set session.timezone to the table's zone, or use another warehouse"
            )

    def _location(self, table: Table) -> str:
        location = str(self.root / table.name) if self.root else ""
        if "'" in location or "\\" in location:
            raise SettingsError(f"lake.location: {location} has a quote or backslash; choose a plainer path")
        return location

    def _create(self, table: Table) -> None:
        self.spark.sql(f"CREATE SCHEMA IF NOT EXISTS {self.schema_name}")
        indexed = ", ".join(dict.fromkeys(name for name in (*table.key, "dt", "load_id") if self._indexed(table, name)))
        properties = [f"'pingti.timezone' = '{self._timezone}'"]
        # Statistics over texts would copy pupils' words into the log; over keys and days they serve.
        properties += [
            f"'delta.dataSkippingStatsColumns' = '{indexed}'" if indexed else "'delta.dataSkippingNumIndexedCols' = '0'"
        ]
        properties += ["'delta.appendOnly' = 'true'"] if table.append_only else []
        partition = f"PARTITIONED BY ({', '.join(table.partition)})" if table.partition else ""
        location = f"LOCATION '{self._location(table)}'" if self.root else ""
        comment = table.comment.replace("'", "\\'")
        self.spark.sql(
            f"CREATE TABLE IF NOT EXISTS {self.name(table)} ({table.columns}) USING DELTA {partition} {location} "
            f"COMMENT '{comment}' TBLPROPERTIES ({', '.join(properties)})"
        )

    @staticmethod
    def _indexed(table: Table, name: str) -> bool:
        return name in table.names and name not in (*table.partition, *_DIGESTS)

    # --- writing ----------------------------------------------------------------------------------------------

    def append(
        self,
        frame: DataFrame,
        table: Table,
        stamp: Stamp,
        *,
        once: str | None = None,
        scope: Scope | None = None,
    ) -> Commit:
        """Add rows in one commit; with `once` the same name adds nothing a second time (Delta's transaction id)."""
        options = {"txnAppId": once, "txnVersion": "1"} if once else {}
        return self._write(frame, table, stamp, scope or Scope(), "append", options) or self._nothing(table, stamp)

    def append_after(
        self, frame: DataFrame, table: Table, stamp: Stamp, version: int, scope: Scope | None = None, turn: str = ""
    ) -> Commit:
        """Add rows in one commit, unless another such append was made after this version of the table.

        Delta lets any two appends pass side by side. What decides by the rows that are there (which files are loaded,
        which ids came earlier) must not: these appends take turns, by a transaction id that a `turn` shares.

        Raises:
            ConflictError: Another one was first.
        """
        options = {"txnAppId": f"{table.name}/{turn}in turn", "txnVersion": str(version + 1)}
        commit = self._write(frame, table, stamp, scope or Scope(), "append", options)
        if commit is None or commit.version <= version:  # Delta skips a turn that was taken before this append began
            raise self._overtaken(table, "its turn was taken")
        return commit

    def replace(self, frame: DataFrame, table: Table, stamp: Stamp, scope: Scope, *, gathered: bool = True) -> Commit:
        """Put these rows in place of all rows of the scope, in one commit.

        Gathered, the rows of a partition are brought together first, into few files; every row is shuffled for it. Not
        gathered, each task writes what it has: for rows that come by partition already.
        """
        options = {"replaceWhere": scope.predicate(), "optimizeWrite": str(gathered).lower()}
        return self._write(frame, table, stamp, scope, "overwrite", options) or self._nothing(table, stamp)

    def upsert(self, frame: DataFrame, table: Table, stamp: Stamp) -> Commit:
        """Insert rows with a new key, update those whose values differ, leave the rest; `frame` has each key once.

        Where nothing differs no commit is made: the same file twice changes nothing.
        """
        frame = conform(frame, table)
        same_key = " AND ".join(f"t.{name} = s.{name}" for name in table.key)
        compared = [name for name in table.names if name not in (*table.key, "run_id", "file")]
        current = self.read(table)
        equal = [F.col(f"s.{name}").eqNullSafe(F.col(f"t.{name}")) for name in (*table.key, *compared)]
        changed = frame.alias("s").join(current.alias("t"), equal, "left_anti")
        rows = changed.localCheckpoint(eager=True)
        if rows.isEmpty():
            return self._nothing(table, stamp)
        with self._committing(table, stamp):
            self.spark.conf.set(_USER_METADATA, metadata(stamp, Scope()))
            try:
                merge = DeltaTable.forName(self.spark, self.name(table)).alias("t").merge(rows.alias("s"), same_key)
                merge.whenMatchedUpdateAll().whenNotMatchedInsertAll().execute()
            finally:
                self.spark.conf.unset(_USER_METADATA)
        return self._read_back(table, stamp) or self._nothing(table, stamp)

    def _write(
        self, frame: DataFrame, table: Table, stamp: Stamp, scope: Scope, mode: str, options: dict[str, str]
    ) -> Commit | None:
        """One commit; None where Delta skipped it, because its transaction id was there already."""
        frame = conform(frame, table)
        self.read(table)  # a table is made by init, never by a first write
        with self._committing(table, stamp):
            writer = frame.write.format("delta").mode(mode).options(**options)
            writer.option("userMetadata", metadata(stamp, scope)).saveAsTable(self.name(table))
        return self._read_back(table, stamp)

    @contextmanager
    def _committing(self, table: Table, stamp: Stamp) -> Iterator[None]:
        stop_points.reach(f"{stamp.job}:{table.name}:before_commit")
        try:
            yield
        except _CONFLICTS as error:
            raise self._overtaken(table, type(error).__name__) from None
        stop_points.reach(f"{stamp.job}:{table.name}:after_commit")

    def _overtaken(self, table: Table, how: str) -> ConflictError:
        return ConflictError(
            f"{self.name(table)}: another run wrote the same part first ({how}); "
            "nothing of this run was committed, run it again"
        )

    # --- bookkeeping, read back from the commits --------------------------------------------------------------

    def latest(self, table: Table, scope: Scope) -> Commit | None:
        """The newest commit that can have touched the scope, None where there is none."""
        for row in self._history(table, _HISTORY):
            found = parsed(row["userMetadata"])
            if found is not None and found[1].overlaps(scope):
                return commit_of(row, *found)
        return None

    def stamps(self, table: Table, limit: int = 50) -> list[Stamp]:
        """The stamps of the newest commits."""
        told = (parsed(row["userMetadata"]) for row in self._history(table, limit))
        return [found[0] for found in told if found is not None]

    def _nothing(self, table: Table, stamp: Stamp) -> Commit:
        """What a write tells that added no row: an earlier one had made it all."""
        return Commit(self.version(table), 0, stamp.fingerprint, expected=stamp.expected)

    def _read_back(self, table: Table, stamp: Stamp) -> Commit | None:
        """The run's newest commit among the table's last."""
        for row in self._history(table, 20):
            found = parsed(row["userMetadata"])
            if found is not None and found[0].run_id == stamp.run_id:
                return commit_of(row, *found)
        return None

    def _history(self, table: Table, limit: int) -> list[Row]:
        def ask() -> list[Row]:
            history = DeltaTable.forName(self.spark, self.name(table)).history(limit)
            rows: list[Row] = history.select("version", "userMetadata", "operationMetrics").collect()
            return rows

        self.read(table)
        return self._while_unchanged(table, limit, ask)

    def _while_unchanged(self, table: Table, question: object, ask: Callable[[], T]) -> T:
        """An answer that only a commit can change, asked once a commit: most stages of a chain change one table."""
        newest = self._newest_commit(table)
        known = self._kept.get((table.name, question))
        if known is not None and known[0] == newest:
            answer: T = known[1]
            return answer
        answer = ask()
        if newest is not None:
            self._kept[table.name, question] = newest, answer
        return answer

    def _newest_commit(self, table: Table) -> str | None:
        """The name of the table's last commit as its folder lists it; None where the catalog keeps the place."""
        if self.root is None:
            return None
        return max((path.name for path in (self.root / table.name / "_delta_log").glob("*.json")), default=None)
