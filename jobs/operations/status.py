"""`pingti status`: the last nights, what is in force, and what is late; from logs and small tables, without Spark."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobs.ingestion import clean
from jobs.labels import label
from jobs.lake import registry, tables
from jobs.lake.store import Lake
from jobs.operations.nightly import students_of
from jobs.runtime.context import Context, Request
from jobs.scoring import score
from models.errors import PingtiError


def show(context: Context, limit: int, console: Console) -> None:
    """Print it all."""
    _nights(context.lake, limit, console)
    _in_force(context.lake, console)
    late = late_days(context)
    console.print("\n[bold]late[/bold]" if late else "\nnothing is late: every day is made from what is there")
    for line in late:
        console.print(f"  {line}", markup=False, highlight=False)


def late_days(context: Context) -> list[str]:
    """What `clean`, `score` and `label` would do now, of the tasks that have a student (to label, one in force)."""
    students = tuple(students_of(context.lake, context.tasks()))
    promoted = tuple(name for name in students if name in registry.live(context.lake))
    late: list[str] = []
    for job, tasks in ((clean.JOB, context.tasks()), (score.JOB, students), (label.JOB, promoted)):
        if not tasks:
            continue
        try:
            late += job.plan(context.for_job(job.name, Request(tasks=tasks))).steps
        except PingtiError as error:
            late.append(str(error))
    return late


def _nights(lake: Lake, limit: int, console: Console) -> None:
    nights = lake.rows(tables.RUNS, where=pc.field("job") == "nightly")
    shown = sorted(nights, key=lambda row: row["started_at"], reverse=True)[:limit]
    table = Table(show_edge=False, header_style="bold", title=f"the last {len(shown)} nights", title_justify="left")
    for name in ("started", "outcome", "seconds", "what was done"):
        table.add_column(name, overflow="fold")
    for row in shown:
        started = _minute(row["started_at"], lake)
        table.add_row(started, row["outcome"], f"{row['seconds']:.0f}", Text(row["reason"] or ""))
    console.print(table)


def _in_force(lake: Lake, console: Console) -> None:
    rows = {(row["task"], row["from_ts"]): row for row in lake.rows(tables.PROMOTIONS)}
    newest = {task: max(at for own, at in rows if own == task) for task, _ in rows}
    table = Table(show_edge=False, header_style="bold", title="\nin force", title_justify="left")
    for name in ("task", "model", "thresholds", "withheld", "since", "why"):
        table.add_column(name, overflow="fold")
    for task, at in sorted(newest.items()):
        row = rows[task, at]
        withheld = ", ".join(sorted(row["withheld"] or ())) or "–"
        version = str(row["threshold_version"])
        table.add_row(task, row["model_id"], version, withheld, _minute(at, lake), Text(row["reason"]))
    console.print(table)


def _minute(moment: datetime, lake: Lake) -> str:
    """A time of the tables in their own zone, as `pingti sql` shows it, whatever this machine's is."""
    return f"{moment.astimezone(ZoneInfo(lake.timezone)):%Y-%m-%d %H:%M}"
