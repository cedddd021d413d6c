"""Human labels out: `annotations` -> a CSV, TSV or JSONL file that `annotate import` reads back as it was."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO
from zoneinfo import ZoneInfo

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake import tables
from jobs.lake.store import Lake
from jobs.runtime.context import Context, Days
from jobs.runtime.job import Done, Job, Work
from models.errors import SettingsError
from models.folders import replaced_file
from udfs.readers.formats import DELIMITED
from udfs.readers.spreadsheet_cells import escaped

COLUMNS = ("task", "label", "value", "annotator", "annotated_at", "text_id")
_DELIMITERS = {f".{name}": delimiter for name, delimiter in DELIMITED.items()}
_OWNER_ONLY = 0o600  # texts of pupils may be in it


def plan(context: Context) -> Work[Path]:
    """Always writes: the file is of now."""
    file = Path(context.request.options["file"])
    if file.suffix not in (*_DELIMITERS, ".jsonl"):
        raise SettingsError(f"--file: got {file}, expected a name that ends with .csv, .tsv or .jsonl")
    if not file.parent.is_dir():
        raise SettingsError(f"--file: {file.parent} is no folder; make it first")
    return Work((f"write the annotations of {', '.join(context.tasks())} to {file}",), file)


def execute(context: Context, work: Path) -> Done:
    """Write beside and rename: the file is there whole, or as it was before."""
    zone = ZoneInfo(context.settings.session.timezone)
    with_text = bool(context.request.options.get("with_text"))
    frame = chosen(context.lake, context.tasks(), context.request.days, with_text=with_text)
    records = (_record(row.asDict(), zone) for row in frame.toLocalIterator())
    with replaced_file(work) as partial:
        rows = write(partial, work.suffix, frame.columns, records)
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


def write(file: Path, suffix: str, columns: Sequence[str], records: Iterable[Mapping[str, Any]]) -> int:
    """Write the records in the form that the suffix names; returns how many there were.

    Cells begin with a byte order mark: without it Chinese spreadsheets take them for GBK, and save them as such.
    """
    rows = 0
    encoding = "utf-8" if suffix == ".jsonl" else "utf-8-sig"
    with open(file, "w", encoding=encoding, newline="", opener=_private) as out:
        put = _lines(out) if suffix == ".jsonl" else _cells(out, columns, _DELIMITERS[suffix])
        for record in records:
            put(record)
            rows += 1
    return rows


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, _OWNER_ONLY)


def _lines(out: TextIO) -> Callable[[Mapping[str, Any]], object]:
    return lambda record: out.write(json.dumps(record, ensure_ascii=False) + "\n")


def _cells(out: TextIO, columns: Sequence[str], delimiter: str) -> Callable[[Mapping[str, Any]], object]:
    writer = csv.DictWriter(out, columns, delimiter=delimiter, lineterminator="\n")
    writer.writeheader()

    def put(record: Mapping[str, Any]) -> object:
        cells = {name: escaped(cell) if isinstance(cell, str) else cell for name, cell in record.items()}
        return writer.writerow({**cells, "value": "true" if record["value"] else "false"})

    return put


JOB = Job("annotate export", plan, execute, reads=(tables.ANNOTATIONS, tables.TEXTS))
