"""What each day of a table was made from, written down beside it; and which days have news since.

The files of inputs and outputs are compared as the tables' logs list them, so that another tool's commit is news too.
The record outlives the log, which is cleaned after a month. It is written after the data: a run that was killed between
the two makes its days again, to the same end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Protocol

import pyarrow.compute as pc

from jobs.days.live_files import LiveFiles, Told
from jobs.days.signatures import Cell
from jobs.lake import tables
from jobs.lake.commits import Stamp
from jobs.lake.store import Lake
from jobs.lake.tables import Table


class Source(Protocol):
    """A table that days are made from."""

    @property
    def table(self) -> Table:
        """Which."""

    def signatures(self) -> Mapping[Cell, str]:
        """What it holds, by cell."""

    def rearranged(self, told: Iterable[Told]) -> set[Told]:
        """Which of the cells have the rows that they had when their signature was written down."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a cell is made from.

    Attributes:
        decides: A digest of the settings, models and rules that decide it.
        inputs: The signatures of what it reads of its day, by (table, part).
        about: What else is to be known of it, as JSON; it decides nothing.
    """

    decides: str
    inputs: Mapping[tuple[str, str], str] = field(default_factory=dict)
    about: str | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A cell as it was made: by which recipe, and the signature of the files that came out."""

    recipe: Recipe
    outputs: str


@dataclass(frozen=True, slots=True)
class News:
    """The cells to make, each with its reason; and records to renew, whose files were only rearranged."""

    pending: Mapping[Cell, str]
    renewed: Mapping[Cell, Made]


def read(lake: Lake, table: Table) -> dict[Cell, Made]:
    """What was written down of a table's cells, each as it was made last."""
    rows = lake.rows(tables.MADE_DAYS, where=pc.field("table_name") == table.name)
    rows.sort(key=lambda row: row["made_at"])
    return {
        Cell(row["dt"], row["part"]): Made(Recipe(row["decides"], _parsed(row["inputs"]), row["about"]), row["outputs"])
        for row in rows
    }


def write(lake: Lake, table: Table, cells: Mapping[Cell, Made], stamp: Stamp) -> None:
    """Write down what cells were made from."""
    now = datetime.now(UTC)
    rows = [
        {
            "table_name": table.name, "dt": cell.day, "part": cell.part, "decides": made.recipe.decides,
            "inputs": {"/".join(name): value for name, value in made.recipe.inputs.items()}, "outputs": made.outputs,
            "about": made.recipe.about, "made_at": now, "run_id": stamp.run_id,
        }
        for cell, made in sorted(cells.items())
    ]  # fmt: skip
    if rows:
        lake.append_rows(tables.MADE_DAYS, rows, stamp)


def record(lake: Lake, table: Table, recipes: Mapping[Cell, Recipe], version: int, stamp: Stamp) -> None:
    """Write down that a commit made these cells, and what came out: the files that this very commit added."""
    outputs = LiveFiles(lake, table).made_by(version)
    write(lake, table, {cell: Made(recipe, outputs.get(cell, "")) for cell, recipe in recipes.items()}, stamp)


def stands(lake: Lake, table: Table, cells: Iterable[Cell], version: int) -> bool:
    """Whether what a commit made of the cells is what they hold now."""
    files = LiveFiles(lake, table)
    made, now = files.made_by(version), files.signatures()
    return all(made.get(cell, "") == now.get(cell, "") for cell in cells)


def news(
    recipes: Mapping[Cell, Recipe], made: Mapping[Cell, Made], outputs: Source, inputs: Iterable[Source], *,
    again: bool = False,
) -> News:  # fmt: skip
    """Which cells are to be made: those never made, and those whose recipe or files changed.

    Args:
        recipes: By cell, what it would be made from now.
        made: By cell, what it was made from.
        outputs: The table that is made.
        inputs: The tables that it is made from.
        again: Make them all.
    """
    pending: dict[Cell, str] = {}
    doubts: dict[Cell, list[tuple[Source, Told]]] = {}
    sources = {source.table.name: source for source in inputs}
    now = outputs.signatures()
    for cell, recipe in recipes.items():
        was = made.get(cell)
        if again or was is None:
            pending[cell] = "again" if again else "new"
        elif was.recipe.decides != recipe.decides:
            pending[cell] = "its settings or models changed"
        else:
            doubts[cell] = [
                (sources[name[0]], (Cell(cell.day, name[1]), was.recipe.inputs.get(name, "")))
                for name, signature in recipe.inputs.items()
                if was.recipe.inputs.get(name, "") != signature
            ]
            if was.outputs != now.get(cell, ""):
                doubts[cell].append((outputs, (cell, was.outputs)))
    same = _rearranged(doubt for found in doubts.values() for doubt in found)
    renewed: dict[Cell, Made] = {}
    for cell, found in doubts.items():
        changed = [source for source, told in found if (source.table.name, told) not in same]
        if changed:
            pending[cell] = _reason(changed, outputs)
        elif found:
            renewed[cell] = Made(recipes[cell], now.get(cell, ""))
    return News(pending, renewed)


def _rearranged(doubts: Iterable[tuple[Source, Told]]) -> set[tuple[str, Told]]:
    by_source: dict[str, tuple[Source, set[Told]]] = {}
    for source, told in doubts:
        by_source.setdefault(source.table.name, (source, set()))[1].add(told)
    return {(name, told) for name, (source, asked) in by_source.items() for told in source.rearranged(asked)}


def _reason(changed: Iterable[Source], outputs: Source) -> str:
    names = sorted({source.table.name for source in changed})
    if names == [outputs.table.name]:
        return f"another tool changed its {names[0]}"
    return f"its {' and '.join(name for name in names if name != outputs.table.name)} changed"


def _parsed(inputs: Mapping[str, str]) -> dict[tuple[str, str], str]:
    names = {name: name.partition("/") for name in inputs}
    return {(first, part): inputs[name] for name, (first, _, part) in names.items()}


def described(pending: Mapping[Cell, str], sentence: Callable[[str, str], str]) -> tuple[str, ...]:
    """What would be made, in words: a sentence for each part and reason, of its days."""
    grouped: dict[tuple[str, str], list[date]] = defaultdict(list)
    for cell, reason in sorted(pending.items()):
        grouped[cell.part, reason].append(cell.day)
    return tuple(f"{sentence(in_words(days), part)}: {reason}" for (part, reason), days in grouped.items())


def in_words(days: Iterable[date]) -> str:
    """Days as ranges: `2026-03-01 to 2026-03-04, 2026-03-09`."""
    return ", ".join(str(first) if first == last else f"{first} to {last}" for first, last in runs(days))


def runs(days: Iterable[date]) -> list[tuple[date, date]]:
    """Days as runs without a gap, rising."""
    found: list[tuple[date, date]] = []
    for day in sorted(set(days)):
        if found and (day - found[-1][1]).days == 1:
            found[-1] = found[-1][0], day
        else:
            found.append((day, day))
    return found
