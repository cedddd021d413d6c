"""Inside a round: from its training data to a sealed student, and the undistilled baseline beside it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.lake import registry
from jobs.lake.store import Lake
from jobs.rounds.round import Round
from jobs.rounds.training_data import TrainingData
from jobs.runtime.progress import TrainingProgress
from models import digests
from models.errors import DataError
from models.folders import safe_name
from models.scheme_settings import JOINT
from models.serving.bundle import Bundle, open_bundle
from models.student_settings import StudentSettings

if TYPE_CHECKING:
    from models.students.student import Student
    from models.teachers.joint_teacher import TeacherInTraining
    from models.training.trainer import TrainedStudent

MakeProgress = Callable[[str], TrainingProgress]


@dataclass(frozen=True, slots=True)
class TrainedRound:
    """A round's student, sealed, and beside it the same student without distillation.

    Attributes:
        bundle: The sealed student.
        undistilled: The baseline's network; it is measured, and sealed only where it is the student.
        losses: The student's mean loss of each epoch.
        rows: How many rows both learnt from.
    """

    bundle: Bundle
    undistilled: Any
    losses: tuple[float, ...]
    rows: int

    @property
    def model_id(self) -> str:
        """The student's name."""
        return self.bundle.manifest.model_id


def train_round(
    lake: Lake, round_: Round, data: TrainingData, clean_version: str, progress: MakeProgress
) -> TrainedRound:
    """Train the student by its scheme, and its baseline without distillation, on the same rows; seal the student.

    Where the teacher is trusted with no label the baseline is the student.
    """
    student = round_.student
    undistilled = train_student_of(lake, round_, student, data, progress, distil=False)
    distilled = undistilled
    if not round_.is_undistilled:
        teacher = joint_teacher(lake, round_, student, data)
        distilled = train_student_of(lake, round_, student, data, progress, joint_teacher=teacher)
    bundle = seal_named(lake, round_, distilled.student, data, clean_version)
    return TrainedRound(bundle, undistilled.student, distilled.losses, len(data.rows))


def train_student_of(
    lake: Lake, round_: Round, student: StudentSettings, data: TrainingData, progress: MakeProgress, *,
    distil: bool = True, joint_teacher: TeacherInTraining | None = None,
) -> TrainedStudent:  # fmt: skip
    """One training; it goes on from its last whole epoch where an earlier run of it was killed.

    The joint schemes need a `joint_teacher`, which learns too.
    """
    from models.training.trainer import train_student

    name = student.scheme.kind if distil else "without distillation"
    settings = digests.of_json(student.model_dump(mode="json"), chars=8)
    training = f"{round_.seed}-{student.kind}-{student.unit}-{name}-{settings}"
    shown = progress(f"{round_.round_id} {student.kind} {name}")
    return train_student(
        data.rows,
        student,
        vocabulary_size=len(data.vocabulary),
        labels=len(round_.labels),
        seed=round_.seed,
        kind=round_.task.kind,
        distil=distil,
        teacher=joint_teacher if distil else None,
        trust=data.trust if distil else None,
        progress=shown,
        after_epoch=shown.epoch,
        checkpoints=_checkpoints(lake, round_, training),
        threads=1 if joint_teacher is None else None,
    )


def _checkpoints(lake: Lake, round_: Round, training: str) -> Path:
    """Where one of a round's trainings keeps its state until it is done."""
    return lake.bundles.folder / "training" / f"{safe_name(round_.round_id)}-{re.sub('[/ ]', '-', training)}"


def remove_checkpoints(lake: Lake, round_: Round) -> None:
    """Remove what a round that ended has left: the state of a training that was killed, and made by other settings."""
    pattern = _checkpoints(lake, round_, "*")
    for folder in pattern.parent.glob(pattern.name):
        shutil.rmtree(folder, ignore_errors=True)


def joint_teacher(lake: Lake, round_: Round, student: StudentSettings, data: TrainingData) -> TeacherInTraining | None:
    """A teacher that learns beside the student, from what the stored one began as, on the rows of the round.

    None where the scheme is no joint one.

    Raises:
        DataError: Nobody wrote down what the stored teacher began as.
    """
    if student.scheme.kind not in JOINT or data.texts is None:
        return None
    from models.teachers.joint_teacher import TeacherInTraining
    from models.training.devices import reproducible

    if round_.teacher.base is None:
        raise DataError(
            f"{round_.teacher.model_id}: an earlier version trained it and kept no base model, which "
            f"{student.scheme.kind} begins with; train the teacher again"
        )
    with reproducible(round_.seed):
        base = str(lake.bundles.files(round_.teacher.base, {}).local())
        return TeacherInTraining.of(base, data.texts, round_.task.teacher, student.scheme.hint_layer)


def seal_named(lake: Lake, round_: Round, student: Student, data: TrainingData, clean_version: str) -> Bundle:
    """Name the round's student and seal it; equal students of other settings share a bundle."""
    from models.export.exporter import model_id_of

    content_name = model_id_of(
        student, task=round_.task_name, kind=round_.student.kind, labels=round_.labels, vocabulary=data.vocabulary
    )
    model_id, is_new = registry.free_name(lake, round_.task_name, "student", content_name)
    if not is_new:
        return open_bundle(registry.files(lake, registry.model(lake, model_id)).local())
    folder = lake.bundles.folder / "students" / safe_name(model_id)
    return seal(round_, round_.student, student, data, clean_version, folder, model_id)


def seal(
    round_: Round, settings: StudentSettings, student: Student, data: TrainingData, clean_version: str, folder: Path,
    model_id: str | None = None,
) -> Bundle:  # fmt: skip
    """Seal a student of these settings into a folder; without a `model_id` its content names it."""
    from models.export.exporter import export_student

    path = export_student(
        student,
        folder=folder,
        task=round_.task_name,
        kind=settings.kind,
        labels=round_.labels,
        vocabulary=data.vocabulary,
        max_length=settings.max_length,
        clean_version=clean_version,
        model_id=model_id,
        outcome=round_.task.kind,
        extra={"round": round_.round_id, "teacher": round_.teacher.model_id, "trust": dict(round_.trust)},
    )
    return open_bundle(path)
