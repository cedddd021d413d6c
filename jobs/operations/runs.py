"""`pingti runs`: what ran, when, how long, and how it ended."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobs.lake import tables
from jobs.lake.store import Lake


def show(lake: Lake, limit: int, console: Console) -> None:
    """Print the latest runs, the newest first."""
    rows = sorted(lake.rows(tables.RUNS), key=lambda row: row["started_at"], reverse=True)[:limit]
    table = Table(show_edge=False, header_style="bold")
    for name in ("started", "job", "outcome", "seconds", "rows", "run_id", "reason"):
        table.add_column(name, overflow="fold")
    zone = ZoneInfo(lake.timezone)  # as `pingti sql` shows times, whatever this machine's zone is
    for row in rows:
        counts = ", ".join(f"{name} {value:,}" for name, value in sorted(row["row_counts"].items()))
        outcome = f"[green]{row['outcome']}[/green]" if row["outcome"] == "done" else f"[red]{row['outcome']}[/red]"
        started = f"{row['started_at'].astimezone(zone):%Y-%m-%d %H:%M:%S}"
        table.add_row(
            started, row["job"], outcome, f"{row['seconds']:.1f}", counts, row["run_id"], Text(row["reason"] or "")
        )
    console.print(table)
