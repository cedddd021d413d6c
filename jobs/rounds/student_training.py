"""Inside a round: from its rows to a sealed student, and the same student without distillation beside it."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pyspark.sql import functions as F

from jobs.lake import queries, tables
from jobs.lake.queries import Model
from jobs.rounds.training_data import Prepared, prepared
from jobs.runtime.job import Context
from jobs.teachers.train_teacher import base_of
from models import digests
from models.rounds.date_layout import DateLayout
from models.tasks import JOINT, StudentSettings
from models.text.word_vocabulary import AnyVocabulary
from udfs.list_arrays import to_matrix

if TYPE_CHECKING:
    from models.students.student import Student
    from models.teachers.joint_teacher import (
        TeacherInTraining,
    )
    from models.training.trainer import TrainedStudent


@dataclass(frozen=True, slots=True)
class Lesson:
    """What is trained: which student on which round's rows, under which teacher."""

    round_id: str
    teacher: Model
    layout: DateLayout
    seed: int


@dataclass(frozen=True, slots=True)
class Trained:
    """A round's student, sealed, and beside it the same student without distillation."""

    model_id: str
    bundle: Path
    undistilled: Any  # the twin's network; it is measured, never sealed
    losses: tuple[float, ...]
    rows: int


def train(context: Context, lesson: Lesson) -> Trained:
    """Train the student by its scheme, and its twin without distillation, on the same rows; seal the student."""
    student = context.settings.task(lesson.teacher.task).student
    with prepared(context, lesson.round_id, lesson.teacher, student) as given:
        learnt = train_one(context, lesson, student, given, learner=learner_of(context, lesson, student))
        twin = train_one(context, lesson, student, given, distil=False)
        model_id, bundle = sealed(context, lesson, learnt.student, given.vocabulary)
        return Trained(model_id, bundle, twin.student, learnt.losses, len(given.rows))


def train_one(
    context: Context, lesson: Lesson, student: StudentSettings, given: Prepared, *, distil: bool = True,
    learner: TeacherInTraining | None = None,
) -> TrainedStudent:  # fmt: skip
    """One training; it goes on from its last whole epoch where an earlier run of it was killed.

    The joint schemes need a `learner` (see `learner_of`), which learns too.
    """
    from models.training.trainer import train_student

    task = context.task_of(lesson.teacher)
    name = student.scheme if distil else "without distillation"
    settings = digests.of_json(student.model_dump(mode="json"), chars=8)
    own = f"{lesson.seed}-{student.kind}-{student.unit}-{name}-{settings}"
    teller = context.teller(f"{lesson.round_id} {student.kind} {name}")
    return train_student(
        given.rows,
        student,
        vocabulary_size=len(given.vocabulary),
        labels=len(task.label_names),
        seed=lesson.seed,
        kind=task.kind,
        distil=distil,
        teacher=learner if distil else None,
        progress=teller,
        after_epoch=teller.epoch,
        checkpoints=_checkpoints(context, lesson.round_id, own),
        threads=1 if learner is None else None,
    )


def _checkpoints(context: Context, round_id: str, training: str) -> Path:
    """Where one of a round's trainings keeps its state until it is done."""
    return context.lake.bundles / "training" / re.sub(r"[/ ]", "-", f"{round_id}-{training}")


def forget(context: Context, round_id: str) -> None:
    """Remove what a round that ended has left: the state of a training that was killed, and made by other settings."""
    pattern = _checkpoints(context, round_id, "*")
    for left in pattern.parent.glob(pattern.name):
        shutil.rmtree(left, ignore_errors=True)


def learner_of(context: Context, lesson: Lesson, student: StudentSettings) -> TeacherInTraining | None:
    """A teacher that learns beside the student, from what the stored one began as, on the rows of the round.

    None where the scheme is no joint one.
    """
    if student.scheme not in JOINT:
        return None
    from models.teachers.fine_tuning_rows import (
        FineTuningRows,
    )
    from models.teachers.joint_teacher import (
        TeacherInTraining,
    )
    from models.training.devices import reproducible

    task = context.task_of(lesson.teacher)
    rows = context.lake.read(tables.ROUND_SAMPLES).where(F.col("round_id") == lesson.round_id).orderBy("position")
    table = rows.select("text", "text_b", "hard").toArrow()
    hard = to_matrix(table.column("hard"), len(task.label_names))
    second = table.column("text_b").to_pylist() if task.kind == "pair" else None
    told = FineTuningRows(
        table.column("text").to_pylist(), np.nan_to_num(hard), ~np.isnan(hard), task.label_names, task.kind, second
    )
    with reproducible(lesson.seed):
        return TeacherInTraining.of(
            base_of(context, lesson.teacher.task, lesson.layout), told, task.teacher, student.hint_layer
        )


def sealed(context: Context, lesson: Lesson, student: Student, vocabulary: AnyVocabulary) -> tuple[str, Path]:
    """Name the student and seal it: its name, and its bundle's folder."""
    from models.export.exporter import model_id_of

    task = context.task_of(lesson.teacher)
    kind, labels = task.student.kind, task.label_names
    content = model_id_of(student, task=lesson.teacher.task, kind=kind, labels=labels, vocabulary=vocabulary)
    model_id, new = queries.model_name(context.lake, lesson.teacher.task, "student", content)
    if not new:  # other settings led to the very same weights
        return model_id, Path(queries.model(context.lake, model_id).path)
    folder = context.lake.bundles / "students" / model_id.replace("/", "-")
    return model_id, seal(context, lesson, task.student, student, vocabulary, folder, model_id)


def seal(
    context: Context, lesson: Lesson, settings: StudentSettings, student: Student, vocabulary: AnyVocabulary,
    folder: Path, model_id: str | None = None,
) -> Path:  # fmt: skip
    """Seal a student of these settings into a folder."""
    from models.export.exporter import export_student

    task = context.task_of(lesson.teacher)
    return export_student(
        student,
        folder=folder,
        task=lesson.teacher.task,
        kind=settings.kind,
        labels=task.label_names,
        vocabulary=vocabulary,
        max_length=settings.max_length,
        clean_version=context.settings.cleaning.version,
        model_id=model_id,
        outcome=task.kind,
        extra={"round": lesson.round_id, "teacher": lesson.teacher.model_id},
    )
