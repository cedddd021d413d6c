"""Upserts: the driver merges and commits what it can hold; Spark does the rest."""

from __future__ import annotations

from pyspark.sql import DataFrame

from jobs.lake import driver_share, merging
from jobs.lake.arrow_tables import Snapshot
from jobs.lake.commits import Commit, Scope, Stamp, metadata
from jobs.lake.committing import committing
from jobs.lake.schema_check import conform
from jobs.lake.store import Lake
from jobs.lake.tables import Table


def upsert(lake: Lake, frame: DataFrame, table: Table, stamp: Stamp, *, newer_by: str | None = None) -> Commit:
    """Insert rows with a new key, update those whose values differ, leave the rest.

    Where nothing differs no commit is made: the same file twice changes nothing.

    Args:
        lake: The tables.
        frame: Has each key once.
        table: Into which.
        stamp: Of the commit.
        newer_by: A column of times; an older row changes nothing either (`merging`).

    Raises:
        ConflictError: Another commit was first.
    """
    frame = conform(frame, table)
    since = _held_by_driver(lake, table)
    if since is not None:
        rows = frame.limit(driver_share.DRIVER_ROWS + 1).toArrow()
        if rows.num_rows <= driver_share.DRIVER_ROWS:
            merged = merging.merged_rows(lake.arrow(table), rows, table, newer_by)
            if merged is None:
                return lake.no_commit(table, stamp)
            return lake.replace_rows(table, merged, stamp, Scope(), since)
    changed = merging.changed_rows(frame, lake.read(table), table, newer_by).localCheckpoint(eager=True)
    if changed.isEmpty():
        return lake.no_commit(table, stamp)
    with committing(table, stamp):
        merging.merge(lake.catalog.delta(table), changed, table, metadata(stamp, Scope()), newer_by)
    return lake.log.commit_of_run(table, stamp) or lake.no_commit(table, stamp)


def _held_by_driver(lake: Lake, table: Table) -> Snapshot | None:
    """A table as it is now, if the driver can hold its rows and commit them."""
    if table.partition or lake.catalog.left_to_spark(table) is not None:
        return None
    since = lake.catalog.arrow.snapshot(table, Scope())
    counts = (file.rows for file in lake.catalog.arrow.files(table))
    rows = sum(driver_share.DRIVER_ROWS + 1 if count is None else count for count in counts)
    return since if rows <= driver_share.DRIVER_ROWS else None
