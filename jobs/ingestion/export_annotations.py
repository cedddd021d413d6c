"""Human labels out: `annotations` -> a CSV, TSV or JSONL file that `annotate import` reads back as it was."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake import tables
from jobs.lake.store import Lake
from jobs.runtime.context import Context, Days
from jobs.runtime.job import Done, Job, Work
from models.folders import replaced_file
from udfs.row_writing import writable, write_rows

COLUMNS = ("task", "label", "value", "annotator", "annotated_at", "text_id")


def plan(context: Context) -> Work[Path]:
    """Always writes: the file is of now."""
    file = writable(Path(context.request.options["file"]))
    return Work((f"write the annotations of {', '.join(context.tasks())} to {file}",), file)


def execute(context: Context, work: Path) -> Done:
    """Write beside and rename: the file is there whole, or as it was before."""
    zone = ZoneInfo(context.settings.session.timezone)
    with_text = bool(context.request.options.get("with_text"))
    frame = chosen(context.lake, context.tasks(), context.request.days, with_text=with_text)
    records = (_record(row.asDict(), zone) for row in frame.toLocalIterator())
    with replaced_file(work) as partial:
        rows = write_rows(partial, work.suffix, frame.columns, records)
    return Done(counts={"annotations": rows}, headline="annotations")


def chosen(lake: Lake, tasks: Sequence[str], days: Days | None, *, with_text: bool) -> DataFrame:
    """The annotations of some tasks and days, in the order of their key; with their texts where asked for."""
    annotations = lake.read(tables.ANNOTATIONS).where(F.col("task").isin(*tasks))
    if days is not None:
        annotations = annotations.where(F.col("dt").between(days.first, days.last))
    columns = list(COLUMNS)
    if with_text:
        texts = lake.read(tables.TEXTS).select("text_id", "text", "text_b")
        annotations = annotations.join(texts, "text_id", "left")
        columns += ["text", "text_b"]
    return annotations.orderBy(*tables.ANNOTATIONS.key).select(*columns)


def _record(row: dict[str, Any], zone: ZoneInfo) -> dict[str, Any]:
    """A row as it is written; times with their offset."""
    when = row["annotated_at"]  # naive, in the driver's own zone, as Spark hands it over
    return row | {"annotated_at": when.astimezone(zone).isoformat() if when else None}


JOB = Job("annotate export", plan, execute, reads=(tables.ANNOTATIONS, tables.TEXTS))
