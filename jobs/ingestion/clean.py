"""`raw_texts` -> `texts`: every raw text cleaned, hashed, and settled where a rule can; none is dropped."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs.lake import tables
from jobs.lake.commits import Scope
from jobs.runtime.job import Context, Days, Done, Job, Work
from models.errors import DataError
from udfs.build import same_build
from udfs.cleaning import CLEANED_DDL, text_cleaner


def plan(context: Context) -> Work:
    """Clean the days asked for, unless they were cleaned from the same raw texts by the same rules."""
    days = context.days(tables.RAW_TEXTS)
    version = context.lake.version(tables.RAW_TEXTS)
    fingerprint = context.fingerprint(raw_texts=version, rules=context.settings.cleaning.version)
    if context.unchanged(tables.TEXTS, Scope(days.first, days.last), fingerprint):
        return Work(())
    return Work((f"clean the texts of {days.first} to {days.last}",), (days, version, fingerprint))


def execute(context: Context, work: Work) -> Done:
    """Clean the days in one commit and check that no text was lost."""
    days, version, fingerprint = work.payload
    raw = raw_of(context.lake.read(tables.RAW_TEXTS), days)
    texts = clean(raw, context)
    expected = raw.count()
    stamp = context.stamp(fingerprint, expected=expected)
    commit = context.lake.replace(texts, tables.TEXTS, stamp, Scope(days.first, days.last))
    if not commit.whole:
        raise DataError(f"clean: {expected} raw texts gave {commit.rows} texts; run again, and report it if it stays")
    return Done(
        counts={"texts": commit.rows},
        inputs={"raw_texts": version},
        outputs={"texts": commit.version},
        headline="texts",
    )


def raw_of(raw_texts: DataFrame, days: Days) -> DataFrame:
    """The raw texts of some days, whenever they arrived."""
    return raw_texts.where(F.col("dt").between(days.first, days.last))


def clean(raw: DataFrame, context: Context) -> DataFrame:
    """Clean texts of raw ones, with how often each occurs on its day in its scene."""
    columns = ["text_id", "dt", "source", "source_id", "scene", "text", "text_b", "event_time"]
    cleaned = raw.select(*columns).mapInArrow(same_build(text_cleaner(context.settings.cleaning)), CLEANED_DDL)
    same = Window.partitionBy("dt", "scene", "text_hash")
    return cleaned.withColumn("occurrences", F.count("*").over(same).cast("int")).select(*tables.TEXTS.names)


JOB = Job("clean", plan, execute)
