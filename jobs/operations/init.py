"""`pingti init`: make the tables that are not there yet. No other job makes one."""

from __future__ import annotations

from jobs.lake import tables
from jobs.runtime.job import Context, Done, Job, Work


def plan(context: Context) -> Work:
    """The declared tables that are not there yet."""
    missing = tuple(context.lake.missing())
    return Work(tuple(f"make the table {name}" for name in missing), missing)


def execute(context: Context, work: Work) -> Done:
    """Make them."""
    made = context.lake.init([tables.BY_NAME[name] for name in work.payload])
    return Done(counts={"tables": len(made)}, headline="tables")


JOB = Job("init", plan, execute)
