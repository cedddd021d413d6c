"""The live files of a table by cell, as its log lists them, and which of their changes changed no row."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import date

from pyspark.sql import functions as F

from jobs.days.signatures import Cell, of_path, together, without, written
from jobs.lake.commit_actions import FileAction
from jobs.lake.store import Lake
from jobs.lake.tables import Table

Told = tuple[Cell, str]
"""A cell, and a signature that was written down of it."""


class LiveFiles:
    """The files of a table that is partitioned by day, and maybe by a column more.

    A table that is left to Spark has one signature for all its cells, its version: each commit is news everywhere.
    """

    def __init__(self, lake: Lake, table: Table) -> None:
        self._lake, self.table = lake, table
        self._column = next((name for name in table.partition if name != "dt"), None)

    def signatures(self) -> Mapping[Cell, str]:
        """By cell that has files."""
        return self._lake.log.while_unchanged(self.table, "signatures", self._signatures)

    def made_by(self, version: int) -> Mapping[Cell, str]:
        """By cell, the files that one commit added."""
        if self._by_spark:
            return self.signatures()
        actions = self._lake.catalog.arrow.actions(self.table, version)
        return _sums((self._cell(action.partition), action.path) for action in actions or () if action.added)

    def rearranged(self, told: Iterable[Told]) -> set[Told]:
        """Those of the cells whose files are other ones than was written down, but whose rows are the same.

        Commits that say of themselves that they changed no row (OPTIMIZE) are taken back, the newest first, until a
        cell's files are those written down, or a commit changed its rows, or was cleaned away: all such are news.
        """
        open_cells: dict[Cell, set[str]] = defaultdict(set)
        for cell, signature in told:
            open_cells[cell].add(signature)
        if not open_cells or self._by_spark:
            return set()
        now = {cell: int(signature or "0", 16) for cell, signature in self.signatures().items()}
        states = {cell: now.get(cell, 0) for cell in open_cells}
        found: set[Told] = set()
        version = self._lake.log.version(self.table)
        while open_cells and version >= 0:
            actions = self._lake.catalog.arrow.actions(self.table, version)
            if actions is None:
                break
            self._take_back(actions, states, open_cells)
            for cell in [cell for cell in open_cells if written(states[cell]) in open_cells[cell]]:
                found.add((cell, written(states[cell])))
                del open_cells[cell]
            version -= 1
        return found

    def _take_back(
        self, actions: Iterable[FileAction], states: dict[Cell, int], open_cells: dict[Cell, set[str]]
    ) -> None:
        touched: dict[Cell, list[FileAction]] = defaultdict(list)
        for action in actions:
            touched[self._cell(action.partition)].append(action)
        for cell in touched.keys() & open_cells.keys():
            own = touched[cell]
            if any(action.changes for action in own):
                del open_cells[cell]
                continue
            before = without(states[cell], (of_path(action.path) for action in own if action.added))
            states[cell] = together([before, *(of_path(action.path) for action in own if not action.added)])

    @property
    def _by_spark(self) -> bool:
        return self._lake.catalog.left_to_spark(self.table) is not None

    def _signatures(self) -> Mapping[Cell, str]:
        if self._by_spark:
            columns = ["dt", *([self._column] if self._column else [])]
            rows = self._lake.read(self.table).select(*[F.col(name) for name in columns]).distinct().collect()
            version = f"version {self._lake.log.version(self.table)}"
            return {Cell(row[0], row[1] if self._column else ""): version for row in rows}
        files = self._lake.catalog.arrow.files(self.table)
        return _sums((self._cell(file.partition), file.path) for file in files)

    def _cell(self, partition: Mapping[str, str | None]) -> Cell:
        return Cell(date.fromisoformat(partition["dt"] or ""), (partition[self._column] or "") if self._column else "")


def _sums(files: Iterable[tuple[Cell, str]]) -> dict[Cell, str]:
    by_cell: dict[Cell, list[int]] = defaultdict(list)
    for cell, path in files:
        by_cell[cell].append(of_path(path))
    return {cell: written(together(signatures)) for cell, signatures in by_cell.items()}
