"""`raw_texts` -> `texts`: every raw text cleaned, hashed, and settled where a rule can; none is dropped."""

from __future__ import annotations

from dataclasses import replace

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs.days.raw_days import RawDays
from jobs.lake import tables
from jobs.lake.upserting import upsert
from jobs.runtime import daily
from jobs.runtime.context import Context
from jobs.runtime.daily import DailyWork, PartRecipe
from jobs.runtime.executors import map_batches
from jobs.runtime.job import Done, Job, Work
from models.errors import DataError
from models.text.rules import CleaningSettings
from udfs.cleaning import CLEANED, text_cleaner


def plan(context: Context) -> Work[DailyWork]:
    """Clean the days asked for whose raw texts, rules or clean texts changed since they were cleaned."""
    raw = RawDays(context.lake)
    recipe = PartRecipe(context.settings.cleaning.version, ((raw, ""),))
    work = daily.plan(context, tables.TEXTS, {"": recipe}, lambda days, _: f"clean the texts of {days}")

    def remember() -> None:
        raw.remember(context.stamp())
        if work.remember is not None:
            work.remember()

    return replace(work, remember=remember)


def execute(context: Context, work: DailyWork) -> Done | None:
    """Clean the days in one commit and check that no text was lost."""
    if daily.already_committed(context, work, lambda: _annotations_follow(context, work)):
        return None
    raw = context.lake.read(tables.RAW_TEXTS).where(daily.on_days(work.days))
    arrivals = RawDays(context.lake).arrivals(work.days)
    if arrivals is not None:  # else every file of the history is looked into for rows of these days
        raw = raw.where(F.col("arrived_dt").isin(sorted(arrivals)))
    texts = clean(raw, context.settings.cleaning)
    expected = raw.count()
    stamp = context.stamp(work.fingerprint, expected=expected)
    commit = context.lake.replace(texts, tables.TEXTS, stamp, work.scope)
    if not commit.whole:
        raise DataError(f"clean: {expected} raw texts gave {commit.rows} texts; run again, and report it if it stays")
    _annotations_follow(context, work)
    daily.record(context, work, commit.version)
    return Done(counts={"texts": commit.rows, "days": len(work.days)}, headline="texts")


def _annotations_follow(context: Context, work: DailyWork) -> None:
    """Annotations are of texts, whatever rules clean them: they take the hashes that their texts have now."""
    lake, days = context.lake, set(work.days)
    if not days & set(lake.arrow(tables.ANNOTATIONS, "dt").column("dt").unique().to_pylist()):
        return
    texts = lake.read(tables.TEXTS).where(daily.on_days(days)).select("text_id", F.col("text_hash").alias("now"))
    annotations = lake.read(tables.ANNOTATIONS).where(daily.on_days(days))
    moved = annotations.join(texts, "text_id").where("now <> text_hash").withColumn("text_hash", F.col("now"))
    upsert(lake, moved.select(*tables.ANNOTATIONS.names), tables.ANNOTATIONS, context.stamp())


def clean(raw: DataFrame, settings: CleaningSettings) -> DataFrame:
    """Clean texts of raw ones, with how often each occurs on its day in its scene."""
    columns = ["text_id", "dt", "source", "source_id", "scene", "text", "text_b", "event_time"]
    cleaned = map_batches(raw.select(*columns), text_cleaner(settings), CLEANED)
    same = Window.partitionBy("dt", "scene", "text_hash")
    return cleaned.withColumn("occurrences", F.count("*").over(same).cast("int")).select(*tables.TEXTS.names)


JOB = Job("clean", plan, execute, reads=(tables.RAW_TEXTS,), writes=(tables.TEXTS, tables.ANNOTATIONS))
