"""Human labels in: files -> `annotations`. The same file twice changes nothing; what matches no text is set aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from jobs.ingestion.file_survey import ListedFile, survey_files
from jobs.lake import erasing, tables
from jobs.lake.commits import Scope
from jobs.lake.store import Lake
from jobs.lake.upserting import upsert
from jobs.runtime.context import Context
from jobs.runtime.executors import map_batches
from jobs.runtime.job import Done, Job, Work
from jobs.settings import Settings
from models.errors import DataError
from udfs.annotation_parsing import (
    ANNOTATION_FILES_DDL,
    PARSED,
    REASON_PREFIX,
    AnnotationFiles,
    AnnotationRules,
    AnnotationSettings,
    annotation_parser,
)
from udfs.readers.files import is_gzip, sized_files
from udfs.readers.formats import FORMATS
from udfs.readers.survey import Survey

_NOT_GZIP = ("file_empty", "file_truncated", "file_not_gzip")


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
    """Survey the files that `--file` names: one, a folder's, or those of a glob."""
    given = str(context.request.options["file"])
    listed = [ListedFile(_format(file.path), *file) for file in sized_files(given)]
    if not listed:
        raise DataError(f"--file: no file at {given}; give a {_suffixes()} file, a folder of them, or a glob")
    files = _surveyed(context.lake, context.settings.annotations, listed)
    fingerprint = context.fingerprint(
        files=sorted((PurePosixPath(file.survey.path).name, file.survey.sha256) for file in files),
        mapping=context.settings.annotations.model_dump(mode="json"),
        **context.versions(tables.TEXTS),
        labels={name: sorted(task.labels) for name, task in context.settings.tasks.items()},
        rules=context.settings.cleaning.version,
    )
    if context.unchanged(tables.ANNOTATIONS, Scope(), fingerprint):
        return Work()
    return Work(tuple(f"import the annotations of {file.survey.path}" for file in files), Import(files, fingerprint))


def execute(context: Context, work: Import) -> Done:
    """Parse, match and upsert; set aside what cannot be read or matches no text."""
    parsed = _parsed(context.spark, context.settings, work.files).localCheckpoint(eager=True)
    read = _check_count(parsed, work.files)
    matched = match(parsed.where("reason is null"), context.lake.read(tables.TEXTS)).localCheckpoint(eager=True)
    good = _latest(matched.where("dt is not null"))
    unmatched = matched.where("dt is null").withColumn("reason", F.lit(f"{REASON_PREFIX}unmatched"))
    if erasing.erased_texts(context.lake) is not None:  # which of them are an erased text's, their bytes alone may tell
        unmatched = unmatched.withColumn("raw", F.lit(None).cast("binary"))
    bad = parsed.where("reason is not null").unionByName(unmatched.select(*parsed.columns))
    set_aside = context.lake.append(
        _rejected(context.lake, context.run_id, bad),
        tables.REJECTED,
        context.stamp(),
        once=f"{context.job}/{work.fingerprint}",
    )
    annotations = good.withColumn("run_id", F.lit(context.run_id)).select(*tables.ANNOTATIONS.names)
    stamp = context.stamp(work.fingerprint)
    upsert(context.lake, annotations, tables.ANNOTATIONS, stamp, newer_by="annotated_at")
    counts = {row["reason"]: row["count"] for row in bad.groupBy("reason").count().collect()}
    for reason, number in sorted(counts.items()):
        context.reporter.say(f"  {number:,} annotations set aside: {reason.removeprefix(REASON_PREFIX)}")
    total = {"read": read, "set_aside": set_aside.rows, "annotations": read - sum(counts.values())}
    return Done(counts=total | counts, headline="annotations")


def _format(path: str) -> str:
    """The name of a file's format, by its suffix."""
    suffix = PurePosixPath(path[:-3] if is_gzip(path) else path).suffix.lower()
    if suffix.removeprefix(".") not in FORMATS:
        raise DataError(
            f"{path}: got the suffix {suffix!r}, expected {_suffixes()}; "
            "rename or convert the file, or name the others by a glob such as folder/*.csv"
        )
    return suffix.removeprefix(".")


def _suffixes() -> str:
    """The suffixes of all formats, in words."""
    *texts, last = [f".{name}" for name, known in FORMATS.items() if known.is_text]
    others = [f".{name}" for name, known in FORMATS.items() if not known.is_text]
    return f"{', '.join(texts)} or {last} (or these with .gz), or {' or '.join(others)}"


def _surveyed(lake: Lake, settings: AnnotationSettings, listed: Sequence[ListedFile]) -> tuple[AnnotationFile, ...]:
    """The files with their surveys; an error names those that are refused whole, for then nothing is imported."""
    layouts = {file.source_name: AnnotationFiles(file.source_name, settings) for file in listed}
    files = tuple(AnnotationFile(file.source_name, survey) for file, survey in survey_files(lake, layouts, listed))
    if refused := [_refusal(file.survey) for file in files if file.survey.refused]:
        raise DataError(f"{'; '.join(refused)}; nothing was imported")
    return files


def _refusal(survey: Survey) -> str:
    reason = f"{survey.refused}: {survey.detail}"
    if is_gzip(survey.path) and survey.refused in _NOT_GZIP:
        return f"{survey.path}: not whole gzip data ({reason}); bring the file again"
    return f"{survey.path}: {reason}; mend the file, or the annotations section of the settings"


def _parsed(spark: SparkSession, settings: Settings, files: Sequence[AnnotationFile]) -> DataFrame:
    """Every record of the files (`PARSED`), read and cleaned by the executors, a task a file."""
    labels = {name: frozenset(task.labels) for name, task in settings.tasks.items()}
    limits = settings.ingest.limits(datetime.now(UTC))
    rules = AnnotationRules(settings.annotations, labels, settings.session.timezone, limits)
    named = [(file.survey.path, file.format) for file in files]
    frame = spark.createDataFrame(named, ANNOTATION_FILES_DDL).repartition(len(named))
    return map_batches(frame, annotation_parser(rules, settings.cleaning), PARSED)


def _check_count(parsed: DataFrame, files: Sequence[AnnotationFile]) -> int:
    counted, read = sum(file.survey.records for file in files), parsed.count()
    if counted != read:
        raise DataError(
            f"annotate: the files hold {counted} records by their bytes, {read} were parsed; "
            "nothing was imported: a file changed under way, run it again"
        )
    return read


def match(parsed: DataFrame, texts: DataFrame) -> DataFrame:
    """Parsed annotations with the `text_id`, `text_hash` and `dt` of their text; null where none matches.

    By `text_id`, else by source and the source's id, else by source and clean text (of a pair both):
    then the earliest such text.
    """
    known = texts.select("text_id", "text_hash", "dt")
    identified = texts.where("source_id is not null")
    identified = identified.select("source", "source_id", F.col("text_id").alias("by_source_id"))
    first = Window.partitionBy("source", "text_hash").orderBy("dt", "text_id")
    spelt = texts.join(F.broadcast(parsed.select("text_hash").distinct()), "text_hash", "left_semi")
    earliest = spelt.withColumn("nth", F.row_number().over(first)).where("nth = 1")
    earliest = earliest.select("source", "text_hash", F.col("text_id").alias("by_text"))
    candidates = parsed.join(identified, ["source", "source_id"], "left")
    candidates = candidates.join(earliest, ["source", "text_hash"], "left")
    chosen = F.coalesce("text_id", "by_source_id", F.when(F.col("source_id").isNull(), F.col("by_text")))
    matched = candidates.withColumn("text_id", chosen).drop("by_source_id", "by_text", "text_hash")
    return matched.join(known, "text_id", "left")


def _latest(matched: DataFrame) -> DataFrame:
    """One row a key: an annotator's last word."""
    order = Window.partitionBy(*tables.ANNOTATIONS.key).orderBy(
        F.col("annotated_at").desc_nulls_last(), F.col("file").desc(), F.col("position").desc()
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
