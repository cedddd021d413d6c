"""Jobs that make a table day by day: which days they make, in one commit, and what is written down of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import reduce

from pyspark.sql import Column
from pyspark.sql import functions as F

from jobs.days import made_days
from jobs.days.live_files import LiveFiles
from jobs.days.made_days import Recipe, Source
from jobs.days.signatures import Cell
from jobs.lake.commits import Scope
from jobs.lake.tables import Table
from jobs.runtime.context import Context
from jobs.runtime.job import Work
from models import digests
from models.errors import DataError


@dataclass(frozen=True, slots=True)
class DailyWork:
    """The cells that a run makes, and what from."""

    table: Table
    recipes: Mapping[Cell, Recipe]

    @property
    def fingerprint(self) -> str:
        """Names all of it."""
        cells = [
            [str(cell.day), cell.part, recipe.decides, sorted([*name, value] for name, value in recipe.inputs.items())]
            for cell, recipe in sorted(self.recipes.items())
        ]
        return digests.of_json(cells, chars=32)

    @property
    def days(self) -> tuple[date, ...]:
        """Of all its cells, rising."""
        return tuple(sorted({cell.day for cell in self.recipes}))

    @property
    def parts(self) -> tuple[str, ...]:
        """Of all its cells, sorted."""
        return tuple(sorted({cell.part for cell in self.recipes}))

    def days_of(self, part: str) -> frozenset[date]:
        """Of a part's cells."""
        return frozenset(cell.day for cell in self.recipes if cell.part == part)

    def holds(self, column: str) -> Column:
        """Whether a row with `dt` and its part in `column` is of one of the cells."""
        return reduce(Column.__or__, [(F.col(column) == part) & on_days(self.days_of(part)) for part in self.parts])

    @property
    def scope(self) -> Scope:
        """What the run's one commit replaces: parts that have the same days stand together."""
        column = next((name for name in self.table.partition if name != "dt"), None)
        parts: dict[tuple[tuple[date, date], ...], list[str]] = defaultdict(list)
        for part in self.parts:
            parts[tuple(made_days.runs(self.days_of(part)))].append(part)
        boxes = [
            Scope(first, last, column, tuple(values)) if column else Scope(first, last)
            for runs, values in parts.items()
            for first, last in runs
        ]
        return Scope.union(boxes)


@dataclass(frozen=True, slots=True)
class PartRecipe:
    """What a part of each day is made from.

    Attributes:
        decides: A digest of the settings, models and rules that decide it.
        reads: The tables it reads, with the part of their day; the days of the first are the days that are made.
        about: What else is to be known of it, as JSON.
    """

    decides: str
    reads: tuple[tuple[Source, str], ...]
    about: str | None = None

    def of(self, day: date, signatures: Mapping[str, Mapping[Cell, str]]) -> Recipe:
        """The recipe of one day, from what the tables hold (by table and cell)."""
        inputs = {
            (source.table.name, part): signatures[source.table.name].get(Cell(day, part), "")
            for source, part in self.reads
        }
        return Recipe(self.decides, inputs, self.about)


def plan(
    context: Context, table: Table, parts: Mapping[str, PartRecipe], sentence: Callable[[str, str], str]
) -> Work[DailyWork]:
    """The work on the days asked for that have news, told by `sentence` of days and part.

    A day whose inputs are all gone is made once more, empty.

    Raises:
        DataError: There is no day, and never was.
    """
    lake, made = context.lake, made_days.read(context.lake, table)
    sources = {source.table.name: source for recipe in parts.values() for source, _ in recipe.reads}
    # Asked once: each time a source looks at its table's log, which in an object store is a request.
    signatures = {name: source.signatures() for name, source in sources.items()}
    recipes: dict[Cell, Recipe] = {}
    for part, recipe in parts.items():
        source, own = recipe.reads[0]
        there = {cell.day for cell in signatures[source.table.name] if cell.part == own}
        before = {cell.day for cell in made if cell.part == part}
        recipes |= {Cell(day, part): recipe.of(day, signatures) for day in there | before}
    if not recipes:
        first = next(iter(sources.values())).table
        raise DataError(f"{lake.catalog.name(first)} is empty; run the job before this one first")
    asked = {cell: recipe for cell, recipe in recipes.items() if context.asked(cell.day)}
    again = bool(context.request.options.get("again"))
    found = made_days.news(asked, made, LiveFiles(lake, table), sources.values(), again=again)

    def remember() -> None:
        made_days.write(lake, table, found.renewed, context.stamp())

    if not found.pending:
        return Work(remember=remember)
    work = DailyWork(table, {cell: asked[cell] for cell in found.pending})
    return Work(made_days.described(found.pending, sentence), work, remember)


def already_committed(context: Context, work: DailyWork, follow: Callable[[], None] | None = None) -> bool:
    """Whether a run that was killed before it could write so down made exactly this, and it still stands.

    It is written down then, after what `follow`s such a commit.
    """
    latest = context.lake.log.latest(work.table, work.scope)
    if context.request.options.get("again") or latest is None or not latest.whole:
        return False
    if latest.fingerprint != work.fingerprint or not latest.scope.covers(work.scope):
        return False
    if not made_days.stands(context.lake, work.table, work.recipes, latest.version):
        return False
    if follow is not None:
        follow()
    record(context, work, latest.version)
    return True


def record(context: Context, work: DailyWork, version: int) -> None:
    """Write down that a commit made the cells."""
    made_days.record(context.lake, work.table, work.recipes, version, context.stamp())


def on_days(days: Iterable[date]) -> Column:
    """Whether a row is of one of the days."""
    return reduce(Column.__or__, [F.col("dt").between(first, last) for first, last in made_days.runs(days)])
