"""The tables' logs: newest versions, and what each commit says of itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pyspark.sql import SparkSession

from jobs.lake import spark_log
from jobs.lake.arrow_reader import UnopenedError
from jobs.lake.catalog import Catalog
from jobs.lake.commits import Commit, Scope, Stamp, commit_of, parsed
from jobs.lake.tables import Table

_HISTORY = 500  # commits looked back through; a nightly job makes a few a day
T = TypeVar("T")


class Log:
    """What the commits of the tables tell, whoever made them."""

    def __init__(self, session: Callable[[], SparkSession], catalog: Catalog) -> None:
        self._session = session
        self._catalog = catalog
        self._kept: dict[tuple[str, object], tuple[int, Any]] = {}

    def version(self, table: Table) -> int:
        """The number of the newest commit."""
        self._catalog.require(table)
        try:
            return self._catalog.arrow.existing(table).version()
        except UnopenedError:
            return int(self._by_spark(table, 1)[0]["version"])

    def latest(self, table: Table, scope: Scope) -> Commit | None:
        """The newest commit that can have touched the scope, None where there is none."""
        for row in self._history(table):
            signed = parsed(row.get("userMetadata"))
            if signed is not None and signed[1].overlaps(scope):
                return commit_of(row, *signed)
        return None

    def stamps(self, table: Table, limit: int = 50) -> list[Stamp]:
        """The stamps of the newest commits."""
        commits = (parsed(row.get("userMetadata")) for row in self._history(table)[:limit])
        return [signed[0] for signed in commits if signed is not None]

    def commit_of_run(self, table: Table, stamp: Stamp) -> Commit | None:
        """The run's newest commit of a table."""
        for row in self._history(table):
            signed = parsed(row.get("userMetadata"))
            if signed is not None and signed[0].run_id == stamp.run_id:
                return commit_of(row, *signed)
        return None

    def while_unchanged(self, table: Table, question: object, ask: Callable[[], T]) -> T:
        """An answer that only a commit can change, asked once a commit: most stages of a chain change one table."""
        version = self.version(table)
        kept = self._kept.get((table.name, question))
        if kept is not None and kept[0] == version:
            answer: T = kept[1]
            return answer
        answer = ask()
        self._kept[table.name, question] = version, answer
        return answer

    def _history(self, table: Table) -> list[Mapping[str, Any]]:
        """The newest commits, the newest first."""

        def ask() -> list[Mapping[str, Any]]:
            try:
                return list(self._catalog.arrow.history(table, _HISTORY))
            except UnopenedError:
                return self._by_spark(table, _HISTORY)

        return self.while_unchanged(table, "history", ask)

    def _by_spark(self, table: Table, limit: int) -> list[Mapping[str, Any]]:
        return spark_log.history(self._session, self._catalog.register(table), limit)
