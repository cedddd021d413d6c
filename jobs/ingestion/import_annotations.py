"""Human labels in: files -> `annotations`. The same file twice changes nothing; what matches no text is set aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from jobs.ingestion import annotation_checks
from jobs.ingestion.annotation_matching import match
from jobs.ingestion.file_survey import ListedFile, survey_files
from jobs.ingestion.named_files import listed_at, refusal_of
from jobs.lake import erasing, tables
from jobs.lake.commits import Scope
from jobs.lake.store import Lake
from jobs.lake.upserting import upsert
from jobs.runtime.context import Context
from jobs.runtime.executors import map_batches
from jobs.runtime.job import Done, Job, Work
from jobs.settings import Settings
from models import digests
from models.errors import DataError
from udfs.annotation_parsing import (
    ANNOTATION_FILES_DDL,
    PARSED,
    REASON_PREFIX,
    AnnotationRules,
    annotation_parser,
)
from udfs.readers.survey import Survey

IMPORTING_VERSION = "1"
"""Raised where the same files, settings and texts give other annotations."""


@dataclass(frozen=True, slots=True)
class AnnotationFile:
    """A file to import: its format, and what a survey says of it."""

    format: str
    survey: Survey


@dataclass(frozen=True, slots=True)
class Import:
    """The files to import, and a digest of all that decides what comes of them."""

    files: tuple[AnnotationFile, ...]
    fingerprint: str


def plan(context: Context) -> Work[Import]:
    """Survey the files that `--file` names: one or several, each a file, a folder's, or those of a glob."""
    given = context.request.options["file"]
    listed = listed_at([str(place) for place in given] if isinstance(given, list) else [str(given)])
    files = _surveyed(context.lake, context.settings, listed)
    decides = {
        "importing": IMPORTING_VERSION,
        "files": sorted((PurePosixPath(file.survey.path).name, file.survey.sha256) for file in files),
        "mapping": context.settings.annotations.model_dump(mode="json"),
        "labels": {name: sorted(task.labels) for name, task in context.settings.tasks.items()},
        "rules": context.settings.cleaning.version, **context.versions(tables.TEXTS),
    }  # fmt: skip
    fingerprint = digests.of_json(decides, chars=32)
    if context.unchanged(tables.ANNOTATIONS, Scope(), fingerprint):
        return Work()
    return Work(tuple(f"import the annotations of {file.survey.path}" for file in files), Import(files, fingerprint))


def execute(context: Context, work: Import) -> Done:
    """Parse, match and upsert; set aside what cannot be read or matches no text, and leave out files of mostly such."""
    settings = context.settings.annotations
    parsed = _parsed(context.spark, context.settings, work.files).localCheckpoint(eager=True)
    read = _check_count(parsed, work.files)
    said = parsed.where("reason is null and label is not null")
    matched = match(said, context.lake.read(tables.TEXTS), settings.several_days).localCheckpoint(eager=True)
    bad = parsed.where("reason is not null").unionByName(_without_text(context.lake, matched).select(*parsed.columns))
    outcomes = annotation_checks.outcomes(parsed, bad, [file.survey for file in work.files])
    left_out = [outcome for outcome in outcomes if outcome.is_refused(settings.max_set_aside_share)]
    good = matched.where("dt is not null").where(~F.col("file").isin([outcome.path for outcome in left_out]))
    set_aside = context.lake.append(
        _rejected(context.lake, context.run_id, bad),
        tables.REJECTED,
        context.stamp(),
        once=f"{context.job}/{work.fingerprint}",
    )
    annotations = _latest(good).withColumn("run_id", F.lit(context.run_id)).select(*tables.ANNOTATIONS.names)
    # Where files are left out the work is not done: the same command ends the same way again.
    stamp = context.stamp() if left_out else context.stamp(work.fingerprint)
    upsert(context.lake, annotations, tables.ANNOTATIONS, stamp, newer_by="annotated_at")
    counts = annotation_checks.counts(outcomes, left_out)
    for name, number in sorted(counts.items()):
        context.reporter.say(f"  {number:,} {annotation_checks.in_words(name)}")
    total = {"read": read, "set_aside": set_aside.rows, "annotations": good.count()}
    error = annotation_checks.refusal(left_out, settings.max_set_aside_share, everything=len(left_out) == len(outcomes))
    return Done(counts=total | counts, headline="annotations", reason=str(error) if error else None, error=error)


def _without_text(lake: Lake, matched: DataFrame) -> DataFrame:
    """The records that no text fits, or texts of several days or sources; all annotations of a record are of one."""
    lost = matched.where("dt is null and part = 0").withColumn(
        "reason",
        F.concat(F.lit(REASON_PREFIX), F.when(F.col("ambiguous"), F.lit("ambiguous")).otherwise(F.lit("unmatched"))),
    )
    told = "texts of several days or sources: a column dt or event_time, source, or an id says which"
    lost = lost.withColumn("detail", F.when(F.col("ambiguous"), F.lit(told)))
    if erasing.erased_ids(lake) is not None:  # which of them are an erased text's, their bytes alone may tell
        lost = lost.withColumn("raw", F.lit(None).cast("binary"))
    return lost


def rules_of(settings: Settings) -> AnnotationRules:
    """What makes a record annotations, by the settings and as of now."""
    labels = {name: frozenset(task.labels) for name, task in settings.tasks.items()}
    limits = settings.ingest.limits(datetime.now(UTC))
    return AnnotationRules(settings.annotations, labels, settings.session.timezone, limits)


def _surveyed(lake: Lake, settings: Settings, listed: Sequence[ListedFile]) -> tuple[AnnotationFile, ...]:
    """The files with their surveys; an error names those that are refused whole, for then nothing is imported."""
    rules = rules_of(settings)
    layouts = {file.source_name: rules.layout(file.source_name) for file in listed}
    files = tuple(AnnotationFile(file.source_name, survey) for file, survey in survey_files(lake, layouts, listed))
    if refused := [refusal_of(file.survey, "annotations") for file in files if file.survey.refused]:
        raise DataError(f"{'; '.join(refused)}; nothing was imported")
    return files


def _parsed(spark: SparkSession, settings: Settings, files: Sequence[AnnotationFile]) -> DataFrame:
    """Every record of the files (`PARSED`), read and cleaned by the executors, a task a file."""
    named = [(file.survey.path, file.format) for file in files]
    frame = spark.createDataFrame(named, ANNOTATION_FILES_DDL).repartition(len(named))
    return map_batches(frame, annotation_parser(rules_of(settings), settings.cleaning), PARSED)


def _check_count(parsed: DataFrame, files: Sequence[AnnotationFile]) -> int:
    counted, read = sum(file.survey.records for file in files), parsed.where("part = 0").count()
    if counted != read:
        raise DataError(
            f"annotate: the files hold {counted} records by their bytes, {read} were parsed; "
            "nothing was imported: a file changed under way, run it again"
        )
    return read


def _latest(matched: DataFrame) -> DataFrame:
    """One row a key: an annotator's last word."""
    order = Window.partitionBy(*tables.ANNOTATIONS.key).orderBy(
        F.col("annotated_at").desc_nulls_last(), F.col("file").desc(), F.col("position").desc(), F.col("part").desc()
    )
    return matched.withColumn("nth", F.row_number().over(order)).where("nth = 1").drop("nth")


def _rejected(lake: Lake, run_id: str, bad: DataFrame) -> DataFrame:
    """What is set aside for the first time; a record keeps the reason it was first set aside for."""
    there = lake.read(tables.REJECTED).select("sha256", "file", "position")
    named = bad.select(
        "file", "position", F.current_date().alias("arrived_dt"), "reason", "detail", "length", "sha256", "raw",
        F.left("sha256", F.lit(32)).alias("load_id"), F.lit(run_id).alias("run_id"),
        F.lit(None).cast("string").alias("text_id"),
    )  # fmt: skip
    return named.join(there, ["sha256", "file", "position"], "left_anti").select(*tables.REJECTED.names)


JOB = Job(
    "annotate import",
    plan,
    execute,
    reads=(tables.TEXTS,),
    writes=(tables.ANNOTATIONS, tables.REJECTED),
)
