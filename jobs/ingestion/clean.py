"""`raw_texts` -> `texts`: every raw text cleaned, hashed, and settled where a rule can; none is dropped."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs.lake import tables
from jobs.lake.commits import Scope
from jobs.runtime.context import Context, Days
from jobs.runtime.executors import map_batches
from jobs.runtime.job import Done, Job, Work
from models.errors import DataError
from models.text.rules import CleaningSettings
from udfs.cleaning import CLEANED, text_cleaner


@dataclass(frozen=True, slots=True)
class Cleaning:
    """The days to clean."""

    days: Days
    fingerprint: str


def plan(context: Context) -> Work[Cleaning]:
    """Clean the days asked for, unless they were cleaned from the same raw texts by the same rules."""
    days = context.days(tables.RAW_TEXTS)
    fingerprint = context.fingerprint(**context.versions(tables.RAW_TEXTS), rules=context.settings.cleaning.version)
    if context.unchanged(tables.TEXTS, Scope(days.first, days.last), fingerprint):
        return Work()
    return Work((f"clean the texts of {days.first} to {days.last}",), Cleaning(days, fingerprint))


def execute(context: Context, work: Cleaning) -> Done:
    """Clean the days in one commit and check that no text was lost."""
    days = work.days
    raw = raw_of_days(context.lake.read(tables.RAW_TEXTS), days)
    texts = clean(raw, context.settings.cleaning)
    expected = raw.count()
    stamp = context.stamp(work.fingerprint, expected=expected)
    commit = context.lake.replace(texts, tables.TEXTS, stamp, Scope(days.first, days.last))
    if not commit.whole:
        raise DataError(f"clean: {expected} raw texts gave {commit.rows} texts; run again, and report it if it stays")
    return Done(counts={"texts": commit.rows}, headline="texts")


def raw_of_days(raw_texts: DataFrame, days: Days) -> DataFrame:
    """The raw texts of some days, whenever they arrived."""
    return raw_texts.where(F.col("dt").between(days.first, days.last))


def clean(raw: DataFrame, settings: CleaningSettings) -> DataFrame:
    """Clean texts of raw ones, with how often each occurs on its day in its scene."""
    columns = ["text_id", "dt", "source", "source_id", "scene", "text", "text_b", "event_time"]
    cleaned = map_batches(raw.select(*columns), text_cleaner(settings), CLEANED)
    same = Window.partitionBy("dt", "scene", "text_hash")
    return cleaned.withColumn("occurrences", F.count("*").over(same).cast("int")).select(*tables.TEXTS.names)


JOB = Job("clean", plan, execute, reads=(tables.RAW_TEXTS,), writes=(tables.TEXTS,))
