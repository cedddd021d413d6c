"""Scores and gold of the threshold days -> `thresholds`: a new version for each model whose thresholds moved.

A student's are searched against its teacher's decisions, for all scenes and for each scene with enough; a teacher's
against annotators, on texts that it did not learn from, for all scenes: by the newest of these the gold is decided.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.evaluation.evaluation_set import read_days, student_probabilities
from jobs.evaluation.model_evaluation import threshold_row
from jobs.evaluation.trusted_labels import untrusted_labels
from jobs.lake import registry, tables, text_queries, threshold_queries
from jobs.lake.commits import Scope
from jobs.lake.registry import RegisteredModel
from jobs.lake.store import Lake
from jobs.lake.tables import Table
from jobs.lake.threshold_queries import Thresholds
from jobs.runtime import task_models
from jobs.runtime.context import Context
from jobs.runtime.job import Done, Job, Work
from models import digests
from models.errors import DataError
from models.evaluation.ensemble import in_order
from models.evaluation.predictions import first_threshold, keep_argmax, probabilities
from models.evaluation.sliced_metrics import GoldRows, search_label
from models.evaluation.threshold_search import SEARCHING_VERSION, moved
from models.rounds.date_layout import Window
from models.rounds.hash_draw import Draw
from models.tasks import EVERY_SCENE
from udfs.list_arrays import to_matrix

READS = (tables.TEXTS, tables.TEACHER_SCORES, tables.ANNOTATIONS)


@dataclass(frozen=True, slots=True)
class Search:
    """The models to search for, teachers first: students are held to their decisions; and the days to search over."""

    models: tuple[RegisteredModel, ...]
    window: Window


def plan(context: Context) -> Work[Search]:
    """The newest student of each task and the teachers of both, unless their thresholds came from the very same.

    With the option `teachers` these alone: what they decide is the gold of the rounds to come. A task without a student
    yet is told and left out.
    """
    lake = context.lake
    window = text_queries.date_layout(lake, context.settings.rounds).threshold
    if not window:
        return Work()  # rounds.threshold_days is 0: the first thresholds stay
    only_teachers = context.request.options.get("teachers")
    models = [] if only_teachers else list(task_models.newest_students(context).values())
    models = [*_teachers(context, models), *models]
    changed = [one for one in models if not _searched(context, one, window)]
    steps = (f"search the thresholds of {one.model_id} over {window.first} to {window.last}" for one in changed)
    return Work(tuple(steps), Search(tuple(changed), window))


def _teachers(context: Context, students: list[RegisteredModel]) -> list[RegisteredModel]:
    """Each task's newest teacher, and those of the students."""
    newest = [registry.newest_model(context.lake, name, "teacher") for name in context.tasks()]
    found = {one.model_id: one for one in newest if one is not None}
    for student in students:
        if student.teacher_id is not None and student.teacher_id not in found:
            found[student.teacher_id] = registry.model(context.lake, student.teacher_id)
    return [found[model_id] for model_id in sorted(found)]


def _searched(context: Context, model: RegisteredModel, window: Window) -> bool:
    return context.unchanged(tables.THRESHOLDS, _scope(model), _fingerprint(context, model, window))


def _fingerprint(context: Context, model: RegisteredModel, window: Window) -> str:
    """A digest of all that decides a model's thresholds."""
    lake, settings = context.lake, context.settings
    scored_by = model.teacher_id or model.model_id
    evidence = {
        "texts": _files(lake, tables.TEXTS, Scope(window.first, window.last)),
        "scores": _files(lake, tables.TEACHER_SCORES, Scope(column="model_id", values=(scored_by,))),
    }
    if model.role == "teacher" or untrusted_labels(lake, model):
        evidence["annotations"] = _files(lake, tables.ANNOTATIONS, Scope())
    if model.role == "student":
        evidence["gold"] = str(threshold_queries.newest_version(lake, scored_by))
    task = settings.task(model.task).model_dump(mode="json", include={"kind", "scenes", "labels"})
    return digests.of_json(
        {
            "searching": SEARCHING_VERSION, "model": model.model_id, "draw": _draw(context, window), "task": task,
            "search": settings.thresholds.model_dump(mode="json"), **evidence,
        },
        chars=32,
    )  # fmt: skip


def _files(lake: Lake, table: Table, scope: Scope) -> str:
    """What a part of a table holds, as the names of its live files; where they are not to be had, its version."""
    if lake.catalog.left_to_spark(table) is not None:
        return str(lake.log.version(table))
    return digests.of_json(sorted(file.path for file in lake.catalog.arrow.files(table, scope)))


def _scope(model: RegisteredModel) -> Scope:
    return Scope(column="model_id", values=(model.model_id,))


def execute(context: Context, work: Search) -> Done:
    """Search model by model, a commit each; where nothing moved it holds no row, and says that it was looked at."""
    lake, count = context.lake, 0
    for model in work.models:
        stamp = context.stamp(_fingerprint(context, model, work.window))
        version = lake.log.version(tables.THRESHOLDS)
        rows = threshold_queries.signed(_moved(context, model, work.window), stamp)
        if rows:
            count += lake.append_rows_after(tables.THRESHOLDS, rows, stamp, version, _scope(model)).rows
        elif lake.catalog.left_to_spark(tables.THRESHOLDS) is None:
            lake.append_files_after([], tables.THRESHOLDS, stamp, version, _scope(model))
    return Done(counts={"thresholds": count}, headline="thresholds")


def _moved(context: Context, model: RegisteredModel, window: Window) -> list[dict[str, Any]]:
    """The next version of a model's thresholds; none where no threshold moved by more than the hysteresis."""
    newest = threshold_queries.newest_version(context.lake, model.model_id)
    before = threshold_queries.read(context.lake, model.model_id, newest) if newest else {}
    search = _of_teacher if model.role == "teacher" else _of_student
    rows = list(search(context, model, window, (newest or 0) + 1, before))
    after = {(row["scene"], row["label"]): row["value"] for row in rows}
    return rows if moved(before, after, context.settings.thresholds.hysteresis) else []


def _draw(context: Context, window: Window) -> Draw:
    """The threshold days, and what is drawn of them."""
    settings = context.settings
    return Draw(window, settings.teacher_scoring.threshold_texts, settings.rounds.seed)


def _of_student(
    context: Context, student: RegisteredModel, window: Window, version: int, before: Thresholds
) -> Iterator[dict[str, Any]]:
    """A student's thresholds, of each label over all scenes, and for each scene with enough.

    They are searched on the draw by hash of the threshold days, without what the student learnt from on earlier days;
    of labels that the teacher was not trusted with against annotators' answers.
    """
    lake, settings = context.lake, context.settings.thresholds
    task = context.settings.task(student.task)
    teacher = registry.model(lake, student.teacher_id or "")
    learnt = [student.round_id] if student.round_id else []
    apart = untrusted_labels(lake, student)
    evaluation = read_days(lake, teacher, task, _draw(context, window), learnt, apart)
    if not len(evaluation.text_of_row):
        raise DataError(
            f"thresholds: {teacher.model_id} scored no text of {window.first} to {window.last}; {teacher.how_to_score}"
        )
    scores = student_probabilities(lake, student, evaluation, context.settings.scoring.engine)
    unseen = evaluation.golds["teacher"].only(evaluation.drawn & ~evaluation.seen)
    searching = _Searching(context, student, scores, unseen, before)
    for label in student.labels:
        gold = "human" if label in apart else "teacher"
        row = partial(searching.row, window=window, version=version, gold=gold)
        yield row(label, EVERY_SCENE, settings.min_positives_all_scenes)
        for scene in searching.scenes_with(label, settings.min_positives):
            yield row(label, scene, settings.min_positives)


def _of_teacher(
    context: Context, teacher: RegisteredModel, window: Window, version: int, before: Thresholds
) -> Iterator[dict[str, Any]]:
    """A teacher's thresholds over all scenes; none where annotators said nothing of a text that is new to it.

    Which texts are labelled is the annotators' choice: the figures tell of these, drawn by hash or not.
    """
    task = context.settings.task(teacher.task)
    evaluation = read_days(context.lake, teacher, task, _draw(context, window), [teacher.model_id])
    unseen = evaluation.golds["human"].only(~evaluation.seen)
    if not unseen.known.any():
        return
    logits = to_matrix(evaluation.rows.column("logits"), len(teacher.labels))
    scores = probabilities(logits, task.kind).astype(np.float32)
    searching = _Searching(context, teacher, scores, unseen, before)
    for label in teacher.labels:
        yield searching.row(
            label, EVERY_SCENE, context.settings.thresholds.min_positives, window=window, version=version, gold="human"
        )


class _Searching:
    """The search of one model's thresholds in its evidence."""

    def __init__(
        self, context: Context, model: RegisteredModel, scores: NDArray[np.float32], evidence: GoldRows,
        before: Thresholds,
    ) -> None:  # fmt: skip
        self._task = context.settings.task(model.task)
        self._model, self._evidence, self._before = model, evidence, before
        self._first = first_threshold(self._task.kind, len(model.labels))
        self._labels = self._task.of(model.labels).label_names  # the evidence's; the settings may have dropped some
        self._scores = in_order(keep_argmax(scores, self._task.kind), model.labels, self._labels)

    def scenes_with(self, label: str, positives: int) -> list[str]:
        """The scenes with so many distinct positive texts of a label."""
        if label not in self._labels:
            return []
        column = self._labels.index(label)
        holds = self._evidence.gold[:, column] & self._evidence.known[:, column]
        scenes = np.unique(self._evidence.scenes[holds])
        texts = {scene: self._evidence.texts[holds & (self._evidence.scenes == scene)] for scene in scenes}
        return [str(scene) for scene in scenes if len(np.unique(texts[scene])) >= positives]

    def row(self, label: str, scene: str, positives: int, *, window: Window, version: int, gold: str) -> dict[str, Any]:
        """A row of `thresholds`; with fewer positives, or where the settings dropped the label, the one it has."""
        now = self._before.get((EVERY_SCENE, label), self._first)
        if label not in self._labels:
            return _kept(self._model.model_id, label, version, now)
        here = self._evidence.scenes == scene if scene != EVERY_SCENE else np.ones(len(self._evidence), np.bool_)
        column, target = self._labels.index(label), self._task.labels[label].target
        found = search_label(self._scores[here], self._evidence.where(here), column, target, now, positives)
        return threshold_row(self._model.model_id, label, scene, version, found, window, gold)


def _kept(model_id: str, label: str, version: int, value: float) -> dict[str, Any]:
    return {
        "model_id": model_id, "label": label, "scene": EVERY_SCENE, "version": version, "value": value,
        "method": "default", "gold": "none",
    }  # fmt: skip


JOB = Job(
    "thresholds", plan, execute, reads=(*READS, tables.MODELS, tables.ROUNDS, tables.THRESHOLDS),
    writes=(tables.THRESHOLDS,), needs_session=False,
)  # fmt: skip
