"""`pingti init`: make the tables that are not there yet, and add the columns that an earlier version did not have.

No other job makes or changes a table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jobs.lake import tables
from jobs.lake.tables import Table
from jobs.runtime import session
from jobs.runtime.context import Context
from jobs.runtime.job import Done, Job, Work


@dataclass(frozen=True, slots=True)
class Setup:
    """The tables to make, and the columns to add to others, by the table's name."""

    missing: tuple[Table, ...]
    columns: Mapping[str, tuple[str, ...]]


def plan(context: Context) -> Work[Setup]:
    """The declared tables and columns that are not there yet.

    Raises:
        SchemaError: A table of another version differs in more than columns that may be null.
    """
    setup = Setup(tuple(context.lake.catalog.missing()), context.lake.catalog.outdated())
    steps = [f"make the table {table.name}" for table in setup.missing]
    steps += [f"add to {name} of an earlier version: {', '.join(added)}" for name, added in setup.columns.items()]
    return Work(tuple(steps), setup)


def execute(context: Context, work: Setup) -> Done:
    """Make them."""
    made = context.lake.catalog.make(work.missing)
    for name, columns in work.columns.items():
        context.lake.catalog.add_columns(tables.BY_NAME[name], columns)
        context.reporter.say(f"  {name}: an earlier version made it; added {', '.join(columns)}")
    if session.catalog_stays(context.settings.session):
        for table in tables.ALL:
            context.lake.catalog.register(table)  # for those who query it by name
    added = sum(len(columns) for columns in work.columns.values())
    return Done(counts={"tables": len(made), "columns": added}, headline="tables")


JOB = Job("init", plan, execute, needs_session=False)
