"""Human labels in: CSV or JSONL -> `annotations`. The same file twice changes nothing; what matches no text is told."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs.lake import tables
from jobs.lake.commits import Scope
from jobs.runtime.context import Context
from jobs.runtime.job import Done, Job, Work
from jobs.settings import AnnotationSettings
from models import digests
from models.errors import DataError
from models.text.rules import Cleaner
from udfs.readers.files import decompressed, open_file, sized_files
from udfs.readers.record_spans import MAX_RECORD_BYTES

_TRUE, _FALSE = frozenset({"1", "true", "yes", "y", "是"}), frozenset({"0", "false", "no", "n", "否"})
_PARSED_DDL = (
    "file string, position bigint, raw binary, reason string, task string, label string, value boolean, "
    "annotator string, annotated_at timestamp, text_id string, source string, source_id string, text_hash string"
)


@dataclass(frozen=True, slots=True)
class Import:
    """The files to import."""

    files: tuple[Path, ...]
    fingerprint: str


def plan(context: Context) -> Work[Import]:
    """List the files that `--file` names: one, a folder's, or those of a glob."""
    given = str(context.request.options["file"])
    files = [Path(path) for path, _ in sized_files(given)]
    if not files:
        raise DataError(f"--file: no file at {given}; give a CSV, TSV or JSONL file, a folder of them, or a glob")
    contents = sorted((path.name, digests.of_file(path)) for path in files)
    mapping = context.settings.annotations.model_dump(mode="json")
    labels = {name: sorted(task.labels) for name, task in context.settings.tasks.items()}
    fingerprint = context.fingerprint(
        files=contents,
        mapping=mapping,
        texts=context.lake.log.version(tables.TEXTS),
        labels=labels,
        rules=context.settings.cleaning.version,
    )
    if context.unchanged(tables.ANNOTATIONS, Scope(), fingerprint):
        return Work()
    return Work(tuple(f"import the annotations of {path}" for path in files), Import(tuple(files), fingerprint))


def execute(context: Context, work: Import) -> Done:
    """Parse, match and upsert; set aside what cannot be read or matches no text."""
    cleaner = Cleaner(context.settings.cleaning)
    known = {(name, label) for name, task in context.settings.tasks.items() for label in task.labels}
    zone = ZoneInfo(context.settings.session.timezone)
    files, fingerprint = work.files, work.fingerprint
    mapping = context.settings.annotations
    rows = [row for path in files for row in _parsed(path, mapping, cleaner, known, zone)]
    parsed = context.spark.createDataFrame(rows, _PARSED_DDL).localCheckpoint(eager=True)
    matched = match(parsed.where("reason is null"), context.lake.read(tables.TEXTS)).localCheckpoint(eager=True)
    good = _latest(matched.where("dt is not null"))
    unmatched = matched.where("dt is null").withColumn("reason", F.lit("annotation_unmatched"))
    bad = parsed.where("reason is not null").unionByName(unmatched.select(*parsed.columns))
    set_aside = context.lake.append(
        _rejected(context, bad), tables.REJECTED, context.stamp(), once=f"{context.job}/{fingerprint}"
    )
    annotations = good.withColumn("run_id", F.lit(context.run_id)).select(*tables.ANNOTATIONS.names)
    context.lake.upsert(annotations, tables.ANNOTATIONS, context.stamp(fingerprint))
    counts = {row["reason"]: row["count"] for row in bad.groupBy("reason").count().collect()}
    for reason, number in sorted(counts.items()):
        context.reporter.say(f"  {number:,} annotations set aside: {reason.removeprefix(tables.ANNOTATION_REASON)}")
    total = {"read": len(rows), "set_aside": set_aside.rows, "annotations": len(rows) - sum(counts.values())}
    return Done(counts=total | counts, headline="annotations")


def _parsed(path: Path, *how: Any) -> list[tuple[Any, ...]]:
    if path.suffix == ".gz" and not path.stat().st_size:  # gzip itself takes it for an empty file
        raise DataError(f"{path}: not whole gzip data (0 bytes); bring the file again")
    try:
        return list(_parse(path, *how))
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: not whole gzip data ({type(error).__name__}); bring the file again") from None


def _parse(
    path: Path, mapping: AnnotationSettings, cleaner: Cleaner, known: set[tuple[str, str]], zone: ZoneInfo
) -> Iterator[tuple[Any, ...]]:
    for position, given in enumerate(_records(path)):
        raw = json.dumps(given, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass")
        record = named(given, mapping)
        value = str(record.get("value", "")).strip().lower()
        key = (str(record.get("task")), str(record.get("label")))
        reason = None
        if key not in known:
            reason = "annotation_unknown_label"
        elif value not in _TRUE | _FALSE:
            reason = "annotation_wrong_value"
        elif not record.get("annotator") or not (record.get("text_id") or record.get("source")):
            reason = "annotation_incomplete"
        text, other = (cleaner.clean(str(one)) if one else None for one in (record.get("text"), record.get("text_b")))
        when = _moment(record.get("annotated_at"), zone)
        yield (
            str(path), position, raw, reason, *key, value in _TRUE, str(record.get("annotator") or ""), when,
            record.get("text_id") or None, record.get("source") or None, record.get("source_id") or None,
            digests.of_text(text, other) if text else None,
        )  # fmt: skip


def named(record: Mapping[str, Any], mapping: AnnotationSettings) -> Mapping[str, Any]:
    """A file's record under our names, its label under our label's; what no mapping mentions keeps its name."""
    found = dict(record)
    found.update({ours: record.get(theirs) for ours, theirs in mapping.columns.items()})
    found.update(mapping.constants.items())
    label = found.get("label")
    return found | {"label": mapping.labels.get(label, label) if isinstance(label, str) else label}


def _records(path: Path) -> Iterator[Mapping[str, Any]]:
    kind = path.suffixes[-2] if path.suffix == ".gz" and len(path.suffixes) > 1 else path.suffix
    with open_file(str(path)) as stored:
        plain = decompressed(stored, str(path))
        file = io.TextIOWrapper(plain, encoding="utf-8-sig", newline="", errors="replace")
        if kind in (".csv", ".tsv"):
            csv.field_size_limit(MAX_RECORD_BYTES)
            yield from csv.DictReader(file, delimiter="," if kind == ".csv" else "\t")
        elif kind == ".jsonl":
            for line in file:
                if line.strip():
                    try:
                        value = json.loads(line)
                    except ValueError:
                        value = {}
                    yield value if isinstance(value, dict) else {}
        else:
            raise DataError(
                f"{path}: got the suffix {kind!r}, expected .csv, .tsv or .jsonl (or these with .gz); "
                "rename or convert the file, or name the others by a glob such as folder/*.csv"
            )


def _moment(value: Any, zone: ZoneInfo) -> datetime | None:
    try:
        when = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return when if when.tzinfo else when.replace(tzinfo=zone)


def match(parsed: DataFrame, texts: DataFrame) -> DataFrame:
    """Parsed annotations with the `text_id`, `text_hash` and `dt` of their text; null where none matches.

    By `text_id`, else by source and the source's id, else by source and clean text (of a pair both):
    then the earliest such text.
    """
    known = texts.select("text_id", "text_hash", "dt")
    own = texts.select("source", "source_id", F.col("text_id").alias("by_source_id")).where("source_id is not null")
    first = Window.partitionBy("source", "text_hash").orderBy("dt", "text_id")
    spelt = texts.join(F.broadcast(parsed.select("text_hash").distinct()), "text_hash", "left_semi")
    earliest = spelt.withColumn("nth", F.row_number().over(first)).where("nth = 1")
    earliest = earliest.select("source", "text_hash", F.col("text_id").alias("by_text"))
    found = parsed.join(own, ["source", "source_id"], "left").join(earliest, ["source", "text_hash"], "left")
    chosen = F.coalesce("text_id", "by_source_id", F.when(F.col("source_id").isNull(), F.col("by_text")))
    matched = found.withColumn("text_id", chosen).drop("by_source_id", "by_text", "text_hash")
    return matched.join(known, "text_id", "left")


def _latest(matched: DataFrame) -> DataFrame:
    """One row a key: an annotator's last word."""
    order = Window.partitionBy(*tables.ANNOTATIONS.key).orderBy(
        F.col("annotated_at").desc_nulls_last(), F.col("file").desc(), F.col("position").desc()
    )
    return matched.withColumn("nth", F.row_number().over(order)).where("nth = 1").drop("nth")


def _rejected(context: Context, bad: DataFrame) -> DataFrame:
    """What is set aside for the first time; a record keeps the reason it was first set aside for."""
    there = context.lake.read(tables.REJECTED).select("sha256", "file", "position")
    named = bad.select(
        "file", "position", F.current_date().alias("arrived_dt"), "reason", F.lit(None).cast("string").alias("detail"),
        F.length("raw").cast("bigint").alias("length"), F.sha2("raw", 256).alias("sha256"), "raw",
        F.left(F.sha2("raw", 256), F.lit(32)).alias("load_id"), F.lit(context.run_id).alias("run_id"),
    )  # fmt: skip
    return named.join(there, ["sha256", "file", "position"], "left_anti").select(*tables.REJECTED.names)


JOB = Job(
    "annotate import",
    plan,
    execute,
    reads=(tables.TEXTS,),
    writes=(tables.ANNOTATIONS, tables.REJECTED),
)
