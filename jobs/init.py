"""`pingti init`: make the tables that are not there yet. No other job makes one."""

from __future__ import annotations

from jobs.runtime.job import Context


def run(context: Context) -> list[str]:
    """Make the missing tables; returns their names."""
    with context.reporter.stage("init", context.spark):
        return context.lake.init()
