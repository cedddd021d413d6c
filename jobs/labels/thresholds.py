"""Scores and gold of the threshold days -> `thresholds`: a new version for each student, for all scenes and each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from jobs.evaluation.evaluation_set import day_numbers, stored_scores, teacher_gold
from jobs.evaluation.model_evaluation import threshold_row
from jobs.lake import registry, tables, text_queries, threshold_queries
from jobs.lake.commits import Scope
from jobs.lake.registry import RegisteredModel
from jobs.runtime.context import Context
from jobs.runtime.job import Done, Job, Work
from models.errors import DataError
from models.evaluation.predictions import first_threshold, keep_argmax
from models.evaluation.sliced_metrics import GoldRows
from models.evaluation.threshold_search import search
from models.rounds.date_layout import Window
from models.tasks import EVERY_SCENE, Target
from udfs.list_arrays import to_matrix

READS = (tables.STUDENT_SCORES, tables.TEACHER_SCORES, tables.TEXTS)


@dataclass(frozen=True, slots=True)
class Search:
    """The students to search for, and the days to search over."""

    students: tuple[RegisteredModel, ...]
    window: Window
    fingerprint: str

    @property
    def scope(self) -> Scope:
        """What the one commit is about."""
        return _scope(self.students)


def plan(context: Context) -> Work[Search]:
    """The newest student of each task, unless its thresholds were found from the very same scores."""
    lake, settings = context.lake, context.settings
    students = tuple(registry.newest_student(lake, name) for name in context.tasks())
    layout = text_queries.date_layout(lake, settings.rounds)
    if not layout.threshold:
        return Work()  # rounds.threshold_days is 0: the first thresholds stay
    fingerprint = context.fingerprint(
        versions=list(context.versions(*READS).values()),
        models=[student.model_id for student in students],
        gold=[threshold_queries.newest_version(lake, student.teacher_id or "") for student in students],
        settings=[settings.task(student.task).model_dump(mode="json") for student in students],
        window=layout.threshold,
        search=settings.thresholds.model_dump(mode="json"),
    )
    if context.unchanged(tables.THRESHOLDS, _scope(students), fingerprint):
        return Work()
    window = layout.threshold
    steps = tuple(f"search the thresholds of {s.model_id} over {window.first} to {window.last}" for s in students)
    return Work(steps, Search(students, window, fingerprint))


def _scope(students: tuple[RegisteredModel, ...]) -> Scope:
    return Scope(column="model_id", values=tuple(student.model_id for student in students))


def execute(context: Context, work: Search) -> Done:
    """Search, and append all versions in one commit."""
    lake, stamp = context.lake, context.stamp(work.fingerprint)
    version = lake.log.version(tables.THRESHOLDS)
    rows = [row for student in work.students for row in _rows(context, student, work.window)]
    commit = lake.append_rows_after(
        tables.THRESHOLDS, threshold_queries.signed(rows, stamp), stamp, version, work.scope
    )
    return Done(counts={"thresholds": commit.rows}, headline="thresholds")


def _rows(context: Context, student: RegisteredModel, window: Window) -> Iterator[dict[str, Any]]:
    """The next version of a student's thresholds: of each label over all scenes, and for each scene with enough."""
    lake, task = context.lake, context.settings.task(student.task)
    table = stored_scores(lake, student, window)
    if table.num_rows == 0:
        raise DataError(
            f"thresholds: no text of {window.first} to {window.last} has scores of both {student.model_id} and its "
            "teacher; run `pingti score-teacher` and `pingti score` over these days"
        )
    teacher = registry.model(lake, student.teacher_id or "")
    evidence = _evidence(table, *teacher_gold(lake, teacher, task.kind, table, student.labels))
    scores = keep_argmax(to_matrix(table.column("probs"), len(student.labels)), task.kind)
    first = first_threshold(task.kind, len(student.labels))
    version = (threshold_queries.newest_version(lake, student.model_id) or 0) + 1
    for column, label in enumerate(student.labels):
        target = task.labels[label].target if label in task.labels else Target()
        for scene, rows in _places(evidence, column, context.settings.thresholds.min_positives):
            chosen = rows & evidence.known[:, column]
            threshold = search(
                scores[chosen, column], evidence.gold[chosen, column], evidence.days[chosen], evidence.weight[chosen],
                target, first,
            )  # fmt: skip
            yield threshold_row(student.model_id, label, scene, version, threshold, window)


def _evidence(table: pa.Table, gold: NDArray[np.bool_], known: NDArray[np.bool_]) -> GoldRows:
    scenes = np.array(table.column("scene").to_pylist(), np.str_)
    return GoldRows(day_numbers(table), scenes, table.column("occurrences").to_numpy(), gold, known)


def _places(evidence: GoldRows, label: int, min_positives: int) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """All scenes together, and each that has positives enough for a threshold of its own."""
    yield EVERY_SCENE, np.ones(len(evidence), np.bool_)
    for scene in np.unique(evidence.scenes):
        rows = evidence.scenes == scene
        if evidence.weight[rows & evidence.gold[:, label]].sum() >= min_positives:
            yield str(scene), rows


JOB = Job("thresholds", plan, execute, reads=(*READS, tables.MODELS, tables.THRESHOLDS), writes=(tables.THRESHOLDS,))
