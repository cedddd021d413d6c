"""The tables' logs: newest versions, and what each commit says of itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from delta import DeltaTable
from pyspark.sql import Row, SparkSession

from jobs.lake.catalog import Catalog
from jobs.lake.commits import Commit, Scope, Stamp, commit_of, parsed
from jobs.lake.tables import Table

_HISTORY = 500  # commits looked back through; a nightly job makes a few a day
T = TypeVar("T")


class Log:
    """What the commits of the tables tell."""

    def __init__(self, spark: SparkSession, catalog: Catalog) -> None:
        self._spark = spark
        self._catalog = catalog
        self._kept: dict[tuple[str, object], tuple[str, Any]] = {}

    def version(self, table: Table) -> int:
        """The number of the newest commit."""
        self._catalog.require(table)
        newest = self._catalog.newest_commit(table)
        return int(newest.partition(".")[0]) if newest else int(self._history(table, 1)[0]["version"])

    def latest(self, table: Table, scope: Scope) -> Commit | None:
        """The newest commit that can have touched the scope, None where there is none."""
        for row in self._history(table, _HISTORY):
            signed = parsed(row["userMetadata"])
            if signed is not None and signed[1].overlaps(scope):
                return commit_of(row, *signed)
        return None

    def stamps(self, table: Table, limit: int = 50) -> list[Stamp]:
        """The stamps of the newest commits."""
        commits = (parsed(row["userMetadata"]) for row in self._history(table, limit))
        return [signed[0] for signed in commits if signed is not None]

    def commit_of_run(self, table: Table, stamp: Stamp) -> Commit | None:
        """The run's newest commit among the table's last."""
        for row in self._history(table, 20):
            signed = parsed(row["userMetadata"])
            if signed is not None and signed[0].run_id == stamp.run_id:
                return commit_of(row, *signed)
        return None

    def while_unchanged(self, table: Table, question: object, ask: Callable[[], T]) -> T:
        """An answer that only a commit can change, asked once a commit: most stages of a chain change one table."""
        newest = self._catalog.newest_commit(table)
        kept = self._kept.get((table.name, question))
        if kept is not None and kept[0] == newest:
            answer: T = kept[1]
            return answer
        answer = ask()
        if newest is not None:
            self._kept[table.name, question] = newest, answer
        return answer

    def _history(self, table: Table, limit: int) -> list[Row]:
        def ask() -> list[Row]:
            history = DeltaTable.forName(self._spark, self._catalog.name(table)).history(limit)
            rows: list[Row] = history.select("version", "userMetadata", "operationMetrics").collect()
            return rows

        self._catalog.require(table)
        return self.while_unchanged(table, limit, ask)
