"""`pingti maintain`: old rounds' texts dropped, small days compacted, records tidied, files and log kept in bounds.

No row of a day changes by it, so the next night has no news from it. Each step stands for itself: a run that was killed
is run again. What a run beside it may still read stays for `maintenance.retention_days`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow.compute as pc

from jobs.days import tidying
from jobs.days.raw_days import RawDays
from jobs.lake import file_care, tables
from jobs.lake.commits import Scope
from jobs.lake.file_care import Partition
from jobs.lake.store import Lake
from jobs.lake.tables import Table
from jobs.runtime.context import Context
from jobs.runtime.job import Done, Job, Work

COUNTS = ("rounds_expired", "partitions_compacted", "records_dropped", "files_removed", "checkpoints")


@dataclass(frozen=True, slots=True)
class Care:
    """What is to be done.

    Attributes:
        rounds: Whose copied rows are dropped.
        compact: The partitions of each table that have many small files.
        records: Whether records of days are superseded.
        before: The moment since which no version may lose a file.
        remove: How many files each table does not need.
        checkpoints: The tables whose log grew long.
    """

    rounds: tuple[str, ...]
    compact: Mapping[Table, list[Partition]]
    records: bool
    before: datetime
    remove: Mapping[Table, int]
    checkpoints: tuple[Table, ...]


def plan(context: Context) -> Work[Care]:
    """Look at the logs and list the files of every table; no row of a text is read."""
    lake, settings = context.lake, context.settings.maintenance
    before = file_care.days_ago(settings.retention_days)
    own = [table for table in tables.ALL if lake.catalog.exists(table) and lake.catalog.left_to_spark(table) is None]
    rounds = expired_rounds(lake, settings.keep_rounds)
    compact = {
        table: file_care.small_partitions(lake.catalog.arrow.files(table), settings.small_files) for table in own
    }
    superseded, gone = tidying.superseded(lake), tidying.files_gone(lake)
    remove = {table: len(file_care.unneeded_files(lake, table, before)) for table in own}
    checkpoints = tuple(table for table in own if file_care.needs_checkpoint(lake, table))
    steps = [f"drop the copied texts of {len(rounds)} old rounds: {', '.join(rounds)}"] if rounds else []
    steps += [f"compact {len(found)} partitions of {table.name}" for table, found in compact.items() if found]
    if superseded + gone:
        steps.append(f"drop {superseded + gone} superseded records of days")
    steps += [
        f"remove {count} files of {table.name} that no version since {before:%Y-%m-%d} needs"
        for table, count in remove.items()
        if count
    ]
    steps += [f"sum up the log of {table.name}" for table in checkpoints]
    for table in tables.ALL:
        if table not in own and lake.catalog.exists(table):
            context.reporter.say(
                f"  {table.name}: left to Spark ({lake.catalog.left_to_spark(table)}); VACUUM it there"
            )
    compacted = {table: found for table, found in compact.items() if found}
    return Work(tuple(steps), Care(rounds, compacted, superseded + gone > 0, before, remove, checkpoints))


def execute(context: Context, work: Care) -> Done:
    """Do it, in an order in which each step finds what the ones before it left."""
    lake, counts = context.lake, Counter(dict.fromkeys(COUNTS, 0))
    if work.rounds:
        scope = Scope(column="round_id", values=work.rounds)
        lake.replace_rows(tables.ROUND_SAMPLES, [], context.stamp(), scope)
        counts["rounds_expired"] = len(work.rounds)
    for table, partitions in work.compact.items():
        if file_care.compact(lake, table, partitions):
            counts["partitions_compacted"] += len(partitions)
        else:
            context.reporter.say(f"  {table.name}: another run wrote it meanwhile; compacted next time")
    # While the log still tells that a compaction changed no row: after this the records say so themselves.
    _remember_raw_files(context)
    counts["records_dropped"] = tidying.tidy_made_days(lake, context.stamp())
    counts["records_dropped"] += tidying.tidy_raw_file_days(lake, context.stamp())
    for table in work.remove:
        paths = file_care.unneeded_files(lake, table, work.before)
        counts["files_removed"] += file_care.remove_files(lake, table, paths)
        counts["checkpoints"] += file_care.keep_log(lake, table)
    return Done(counts=dict(counts), headline="files_removed")


def expired_rounds(lake: Lake, keep: int) -> tuple[str, ...]:
    """The finished rounds that still have copied rows, and whose student neither is nor may come in force.

    May come: one that ever was (a rollback names it), its task's newest, and those of the newest `keep` rounds.
    """
    if lake.catalog.left_to_spark(tables.ROUND_SAMPLES) is not None:
        return ()
    students = lake.rows(tables.MODELS, "model_id", "task", "created_at", where=pc.field("role") == "student")
    newest = {row["task"]: row["model_id"] for row in sorted(students, key=lambda row: row["created_at"])}
    in_force = {row["model_id"] for row in lake.rows(tables.PROMOTIONS, "model_id")}
    rounds = lake.rows(tables.ROUNDS, "round_id", "task", "student", "number", "model_id")
    there = {file.partition["round_id"] for file in lake.catalog.arrow.files(tables.ROUND_SAMPLES)}
    kept = {*newest.values(), *in_force}
    expired = {row["round_id"] for row in _older(rounds, keep) if row["model_id"] not in kept}
    return tuple(sorted(expired & there))


def _older(rounds: Iterable[dict[str, Any]], keep: int) -> list[dict[str, Any]]:
    """All rounds but the newest of each task and kind of student."""
    by_student: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in sorted(rounds, key=lambda row: row["number"]):
        by_student[row["task"], row["student"]].append(row)
    return [row for own in by_student.values() for row in own[:-keep]]


def _remember_raw_files(context: Context) -> None:
    """Read which days the compacted files of raw texts are of, while it is quiet; the night need not."""
    if context.lake.catalog.left_to_spark(tables.RAW_TEXTS) is None:
        raw = RawDays(context.lake)
        raw.signatures()
        raw.remember(context.stamp())


JOB = Job(
    "maintain", plan, execute, reads=(tables.ROUNDS, tables.MODELS, tables.PROMOTIONS),
    writes=(tables.ROUND_SAMPLES, tables.MADE_DAYS, tables.RAW_FILE_DAYS), needs_session=False,
)  # fmt: skip
