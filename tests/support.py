"""What tests of jobs share: frames by declaration, seeded lakes, contexts, and rows that are easy to compare."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from jobs.lake.commits import Commit, Stamp
from jobs.lake.schema_check import frame_of_rows
from jobs.lake.store import Lake
from jobs.lake.tables import Table
from jobs.runtime.context import Context, Days, Request, make_context, quiet_reporter
from jobs.runtime.job import Done, Job
from jobs.settings import LakeSettings, Settings
from models import digests

DAY = date(2026, 3, 2)
STAMP = Stamp("seed", "seed")
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def day(number: int) -> date:
    """The day `number` days after `DAY`."""
    return DAY + timedelta(days=number)


def frame(spark: SparkSession, table: Table, *rows: Mapping[str, Any]) -> DataFrame:
    """A frame with the columns the table declares; what a row leaves out is null."""
    return frame_of_rows(spark, table, rows)


def add(lake: Lake, table: Table, *rows: Mapping[str, Any]) -> Commit:
    """Rows appended to a table."""
    return lake.append_rows(table, rows, STAMP)


def fill(lake: Lake, content: Mapping[Table, Iterable[Mapping[str, Any]]]) -> Lake:
    """Several tables filled, a commit each."""
    for table, rows in content.items():
        add(lake, table, *rows)
    return lake


def context_of(
    lake: Lake, job: str = "test", *, days: Days | None = None, task: str | None = None,
    options: Mapping[str, Any] | None = None, **settings: Any,
) -> Context:  # fmt: skip
    """A quiet context over the lake, with these settings."""
    place = LakeSettings(
        schema_name=lake.catalog.schema_name, location=str(lake.catalog.root), bundles=lake.bundles.place
    )
    request = Request(days, task, options or {})
    return make_context(
        job, Settings.model_validate({"lake": place, **settings}), lambda: lake.spark, request, quiet_reporter()
    )


def do(job: Job[Any], context: Context) -> Done | None:
    """Plan and do a job, without its row in `runs`; None where nothing was left to do."""
    work = job.plan(context)
    if work.remember is not None:
        work.remember()
    return job.execute(context, work.required()) if work.steps else None


def rows_of(frame: DataFrame, *columns: str) -> list[tuple[Any, ...]]:
    """The columns of all rows, sorted; nulls are written as None and sort first."""
    rows = [tuple(row) for row in (frame.select(*columns) if columns else frame).collect()]
    return sorted(rows, key=lambda row: tuple((value is not None, str(value)) for value in row))


def versions(lake: Lake, *tables: Table) -> dict[str, int]:
    """The newest commit of each table."""
    return {table.name: lake.log.version(table) for table in tables}


def text_row(text_id: str, text: str | None = None, **values: Any) -> dict[str, Any]:
    """A row of `texts`; by default a chat of `DAY` that no rule settled, whose text is its id."""
    text = text_id if text is None else text
    when = values.get("dt", DAY)
    return {
        "text_id": text_id, "dt": when, "source": "chat", "scene": "live_chat", "text": text,
        "text_hash": digests.of_text(text), "length": len(text), "clean_version": "1", "settled": [], "occurrences": 1,
        "event_time": datetime(when.year, when.month, when.day, 4, tzinfo=UTC),
    } | values  # fmt: skip


def rule(task: str, outcome: str, label: str | None = None, name: str = "rule") -> dict[str, Any]:
    """An entry of `settled`."""
    return {"task": task, "label": label, "outcome": outcome, "rule": name}


def model_row(model_id: str, labels: Iterable[str], **values: Any) -> dict[str, Any]:
    """A row of `models`: a student of the task its name begins with."""
    return {
        "model_id": model_id, "task": model_id.split("/")[0], "kind": "textcnn", "role": "student",
        "labels": list(labels), "path": "/nowhere", "digests": {}, "clean_version": "1", "settings": "{}",
        "created_at": NEW_YEAR, "run_id": "seed",
    } | values  # fmt: skip


def round_row(model_id: str, round_id: str, **values: Any) -> dict[str, Any]:
    """A row of `rounds`: the first of a task, which ended well."""
    window = {"first": NEW_YEAR.date(), "last": NEW_YEAR.date()}
    return {
        "round_id": round_id, "task": model_id.split("/")[0], "student": "textcnn", "number": 1, "model_id": model_id,
        "teacher_id": "seed", "sampling": "annotated", "scheme": "offline", "seed": 1,
        "layout": dict.fromkeys(("train", "threshold", "test", "gate"), window), "inputs": {}, "row_counts": {},
        "metrics": both_f1(0.8, 0.8), "losses": [], "decision": "promote", "next_sampling": None, "reason": "seed",
        "settings": "{}", "seconds": 1.0, "run_id": "seed",
    } | values  # fmt: skip


def both_f1(student: float, undistilled: float, gold: str = "teacher", part: str = "test") -> list[dict[str, Any]]:
    """A round's metrics: macro F1 of its student, and of the same one without distillation."""
    return [
        {"model": model, "gold": gold, "part": part, "precision": f1, "recall": f1, "f1": f1}
        for model, f1 in (("student", student), ("undistilled", undistilled))
    ]


def threshold_row(model_id: str, label: str, value: float, **values: Any) -> dict[str, Any]:
    """A row of `thresholds`: version 1, for every scene."""
    return {
        "model_id": model_id, "label": label, "scene": "*", "version": 1, "value": value, "method": "target",
        "gold": "teacher", "created_at": NEW_YEAR, "run_id": "seed",
    } | values  # fmt: skip


def promotion_row(model_id: str, from_ts: datetime, version: int = 1, **values: Any) -> dict[str, Any]:
    """A row of `promotions`."""
    return {
        "task": model_id.split("/")[0], "from_ts": from_ts, "model_id": model_id, "threshold_version": version,
        "reason": "seed", "run_id": "seed",
    } | values  # fmt: skip


def score_row(text_id: str, model_id: str, probs: list[float] | None, **values: Any) -> dict[str, Any]:
    """A row of `student_scores` for a text of `DAY`."""
    return {
        "text_id": text_id, "dt": DAY, "model_id": model_id, "scene": "live_chat", "probs": probs,
        "error": "no_text" if probs is None else None, "clean_version": "1",
    } | values  # fmt: skip


def teacher_score(model_id: str, text: str, *chances: float) -> dict[str, Any]:
    """A row of `teacher_scores`: a teacher's probabilities of a text, each label by itself."""
    return {
        "model_id": model_id, "text_hash": digests.of_text(text), "bucket": 0, "cls": [], "projection_version": "1",
        "logits": [math.log(chance / (1 - chance)) for chance in chances],
    }  # fmt: skip


def sample_row(round_id: str, text: str, **values: Any) -> dict[str, Any]:
    """A row of `round_samples`, of a text whose id is the text."""
    return {
        "round_id": round_id, "text_id": text, "text_hash": digests.of_text(text), "text": text, "position": 0,
        "split": "train", "reasons": [], "weight": 1.0, "hard": [1.0],
    } | values  # fmt: skip


def annotation_row(task: str, label: str, text: str, value: bool, **values: Any) -> dict[str, Any]:
    """A row of `annotations` of `DAY`, of a text whose id is the text."""
    return {
        "task": task, "label": label, "text_id": text, "annotator": "a", "value": value,
        "text_hash": digests.of_text(text), "dt": DAY, "file": "seed", "run_id": "seed",
    } | values  # fmt: skip
