"""Scores and gold of the threshold days -> `thresholds`: a new version for each student, for all scenes and each."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import functions as F

from jobs.lake import queries, tables
from jobs.lake.commits import Scope
from jobs.lake.queries import Model
from jobs.rounds import round_evaluation
from jobs.runtime.job import Context, Done, Job, Work
from models.errors import DataError
from models.evaluation.predictions import first_threshold, keep_argmax
from models.evaluation.threshold_search import (
    search,
)
from models.rounds.date_layout import Window
from models.tasks import (
    EVERY_SCENE,
    Target,
)


@dataclass(frozen=True, slots=True)
class Search:
    """The students to search for, and the days to search over."""

    students: tuple[Model, ...]
    window: Window
    fingerprint: str


def plan(context: Context) -> Work:
    """The newest student of each task, unless its thresholds were found from the very same scores."""
    students = tuple(
        queries.require_model(context.lake, name, "student", "run `pingti distil` first") for name in context.tasks()
    )
    layout = queries.date_layout(context.lake, context.settings.rounds)
    if not layout.threshold:
        return Work(())  # rounds.threshold_days is 0: the first thresholds stay
    read = (tables.STUDENT_SCORES, tables.TEACHER_SCORES, tables.TEXTS)
    fingerprint = context.fingerprint(
        versions=[context.lake.version(table) for table in read],
        models=[student.model_id for student in students],
        gold=[queries.threshold_version(context.lake, student.teacher_id or "") for student in students],
        settings=[context.settings.task(student.task).model_dump(mode="json") for student in students],
        window=layout.threshold,
        search=context.settings.thresholds.model_dump(mode="json"),
    )
    if context.unchanged(tables.THRESHOLDS, _scope(students), fingerprint):
        return Work(())
    window = layout.threshold
    steps = tuple(f"search the thresholds of {s.model_id} over {window.first} to {window.last}" for s in students)
    return Work(steps, Search(students, window, fingerprint))


def _scope(students: tuple[Model, ...]) -> Scope:
    return Scope(column="model_id", values=tuple(student.model_id for student in students))


def execute(context: Context, work: Work) -> Done:
    """Search, and append all versions in one commit."""
    job: Search = work.payload
    version = context.lake.version(tables.THRESHOLDS)
    rows = [row for student in job.students for row in _rows(context, student, job.window)]
    frame = context.spark.createDataFrame(rows, tables.THRESHOLDS.schema)
    stamp = context.stamp(job.fingerprint)
    commit = context.lake.append_after(frame, tables.THRESHOLDS, stamp, version, _scope(job.students))
    return Done(counts={"thresholds": commit.rows}, outputs={"thresholds": commit.version}, headline="thresholds")


def _rows(context: Context, student: Model, window: Window) -> list[tuple[Any, ...]]:
    table = _evidence(context, student, window)
    if table.num_rows == 0:
        raise DataError(
            f"thresholds: no text of {window.first} to {window.last} has scores of both {student.model_id} and its "
            "teacher; run `pingti score-teacher` and `pingti score` over these days"
        )
    teacher = queries.model(context.lake, student.teacher_id or "")
    gold, known = round_evaluation.gold_of_teacher(context, teacher, table, student.labels)
    scores = table.column("probs").combine_chunks().flatten().to_numpy().reshape(-1, len(student.labels))
    task = context.settings.task(student.task)
    scores = keep_argmax(scores, task.kind)
    first = first_threshold(task.kind, len(student.labels))
    days = round_evaluation.day_numbers(table)
    scenes = np.array(table.column("scene").to_pylist(), np.str_)
    weight = table.column("occurrences").to_numpy()
    version = (queries.threshold_version(context.lake, student.model_id) or 0) + 1
    now = datetime.now(UTC)
    rows = []
    for column, label in enumerate(student.labels):
        target = task.labels[label].target if label in task.labels else Target()
        for scene, chosen in _places(scenes, gold[:, column], weight, context.settings.thresholds.min_positives):
            own = chosen & known[:, column]
            found = search(scores[own, column], gold[own, column], days[own], weight[own], target, first)
            key = (student.model_id, label, scene, version)
            rows.append(round_evaluation.threshold_row(key, found, window, now, context.run_id))
    return rows


def _places(
    scenes: NDArray[np.str_], gold: NDArray[np.bool_], weight: NDArray[np.int64], min_positives: int
) -> list[tuple[str, NDArray[np.bool_]]]:
    """All scenes together, and each that has positives enough for a threshold of its own."""
    places = [(EVERY_SCENE, np.ones(len(scenes), np.bool_))]
    for scene in np.unique(scenes):
        chosen = scenes == scene
        if weight[chosen & gold].sum() >= min_positives:
            places.append((str(scene), chosen))
    return places


def _evidence(context: Context, student: Model, window: Window) -> pa.Table:
    """Scores and teacher's logits of the days, a row a day, scene and distinct text, with its occurrences."""
    texts = context.lake.read(tables.TEXTS).where(queries.within(window)).select("text_id", "dt", "text_hash")
    scores = context.lake.read(tables.STUDENT_SCORES).where(queries.within(window) & F.col("probs").isNotNull())
    scores = scores.where(F.col("model_id") == student.model_id).select("text_id", "dt", "scene", "probs")
    logits = context.lake.read(tables.TEACHER_SCORES).where(F.col("model_id") == F.lit(student.teacher_id))
    joined = scores.join(texts, ["text_id", "dt"]).join(logits.select("text_hash", "logits"), "text_hash")
    grouped = joined.groupBy("dt", "scene", "text_hash")
    rows = grouped.agg(
        F.first("probs").alias("probs"), F.first("logits").alias("logits"), F.count("*").alias("occurrences")
    )
    return rows.orderBy("dt", "scene", "text_hash").toArrow()


JOB = Job("thresholds", plan, execute)
