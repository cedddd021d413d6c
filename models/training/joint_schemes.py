"""Joint distillation: a student and its teacher learn side by side, and no stored logits are read.

The three joint schemes differ in whose gradients reach the teacher: in `joint_isolated` none of the student's, in
`joint_coupled` those of its soft loss, in a step of their own after the student's, in `joint_summed` those of one
common sum (`docs/schemes.md`). Any of them takes hints (Romero et al. 2015, arXiv:1412.6550); all but the sum take a
curriculum, as in route constrained optimisation (Jin et al. 2019, arXiv:1904.09149).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from models.errors import DataError
from models.scheme_settings import JointBase, JointCoupledSettings, JointSummedSettings
from models.student_settings import StudentSettings
from models.students.student import Student
from models.tasks import TaskKind
from models.training.batching import length_batches
from models.training.losses import hard_loss, hint_loss, soft_loss
from models.training.offline_scheme import OfflineScheme, ParameterGroup, finite, gradients
from models.training.training_rows import TrainingRows


class JointTeacher(Protocol):
    """A teacher that learns beside a student.

    Attributes:
        module: The network.
        learning_rate: Of its own steps.
        batch: Rows of each of these.
        epochs: How often it goes through the rows while the student goes through all of its own epochs.
    """

    module: nn.Module
    learning_rate: float
    batch: int
    epochs: int

    @property
    def digest(self) -> str:
        """Of its first weights, of what it reads and of how it learns: equal ones learn alike."""
        ...

    def logits_and_cls(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Its logits (rows, labels) for some of the training rows, and their [CLS] states (rows, width)."""
        ...

    @property
    def cls_width(self) -> int:
        """Width of the [CLS] states."""
        ...


class JointScheme(OfflineScheme):
    """The student and its teacher learn side by side; stored logits are not read.

    The teacher has a schedule of its own (rows a batch, epochs, learning rate), which it goes through while the student
    goes through its epochs: before each of the student's batches it makes the steps that are due, then gives its logits
    without dropout; after the student's step comes, in `joint_coupled`, the feedback. With `curriculum` the teacher
    makes all steps of an epoch first. In `joint_summed` both make each step together, on one batch.
    """

    def __init__(
        self, student: Student, rows: TrainingRows, settings: StudentSettings, *, kind: TaskKind,
        teacher: JointTeacher, learnt: NDArray[np.int64], steps: int, seed: int,
    ) -> None:  # fmt: skip
        self.teacher = teacher
        super().__init__(student, rows, settings, kind=kind, distil=True)
        parameters = list(teacher.module.parameters())
        self.groups["teacher"] = ParameterGroup.adamw(parameters, teacher.learning_rate)
        if isinstance(settings.scheme, JointCoupledSettings):
            self.groups["feedback"] = ParameterGroup.sgd(parameters, settings.scheme.feedback_learning_rate)
        self._schedule = _Schedule(learnt, rows.texts.lengths[learnt], teacher.batch, teacher.epochs, seed)
        self._student_steps = steps
        # A label without a single hard target is none that the teacher knows.
        self._labels_known = self.tensor(rows.labels_with_hard_targets(learnt))

    def _hint_width(self) -> int:
        return self.teacher.cls_width if self.settings.scheme.hint_weight else 0

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What learns, by name."""
        return super().modules | {"teacher": self.teacher.module}

    def before_epoch(self, until: float) -> None:
        """In a curriculum, the teacher's steps up to the epoch's end."""
        if self.settings.scheme.curriculum:
            self._step_teacher(until)

    def _step_teacher(self, until: float) -> None:
        """The teacher's steps that are due at a progress of the student's: it learns from the labels alone."""
        due = min(math.ceil(until * len(self._schedule) - 1e-6), len(self._schedule))
        group = self.groups["teacher"]
        self.teacher.module.train()
        while self.teacher_steps < due:
            batch = self._schedule.batch(self.teacher_steps)
            loss = self._teacher_loss(self.teacher.logits_and_cls(batch)[0], self.hard_targets(batch))
            group.step(gradients(loss, group.parameters), (self.teacher_steps + 0.5) / len(self._schedule))
            self.teacher_steps += 1

    def learn(self, batch: NDArray[np.int64], epoch: int, progress: float) -> float:
        """The teacher's steps that are due, the student's, and the feedback; or all gradients of one sum."""
        if isinstance(self.settings.scheme, JointSummedSettings):
            return self._learn_summed(batch, progress)
        if not self.settings.scheme.curriculum:
            self._step_teacher(progress + 0.5 / self._student_steps)
        coupled = self.settings.scheme if isinstance(self.settings.scheme, JointCoupledSettings) else None
        self.teacher.module.eval()
        with torch.set_grad_enabled(coupled is not None):
            teacher_logits, cls_states = self.teacher.logits_and_cls(batch)
        loss, _ = self._student_loss(batch, teacher_logits.detach(), cls_states.detach())
        value = finite(loss)
        group = self.groups["student"]
        group.step(gradients(loss, group.parameters), progress)
        if coupled is not None:
            self._feed_back(batch, coupled.feedback_weight, teacher_logits, progress)
        return value

    def _feed_back(self, batch: NDArray[np.int64], weight: float, teacher_logits: Tensor, progress: float) -> None:
        """One step of the teacher by the soft loss that the student still has after its own step on the batch."""
        self.student.eval()
        with torch.no_grad():
            logits, _ = self.read(batch)
        self.student.train()
        loss = self._soft_loss(logits, teacher_logits, self.hard_targets(batch)["weight"])
        group = self.groups["feedback"]
        group.step(gradients(weight * loss, group.parameters), progress)

    def _learn_summed(self, batch: NDArray[np.int64], progress: float) -> float:
        self.teacher.module.train()
        teacher_logits, cls_states = self.teacher.logits_and_cls(batch)
        loss, targets = self._student_loss(batch, teacher_logits, cls_states)
        value = finite(loss)
        student, teacher = self.groups["student"], self.groups["teacher"]
        summed = loss + self._teacher_loss(teacher_logits, targets)
        both = gradients(summed, [*student.parameters, *teacher.parameters])
        student.step(both[: len(student.parameters)], progress)
        teacher.step(both[len(student.parameters) :], progress)
        return value

    def _student_loss(
        self, batch: NDArray[np.int64], teacher_logits: Tensor, cls_states: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The student's loss, and the hard targets of the batch."""
        targets = self.hard_targets(batch)
        logits, features = self.read(batch)
        share = self.settings.scheme.soft_weight
        loss = share * self._soft_loss(logits, teacher_logits, targets["weight"])
        loss = loss + (1 - share) * hard_loss(logits, **_hard_loss_arguments(targets), kind=self.kind)
        if self.regressor is not None:  # normalised states, so that one weight fits teachers of any size
            states = F.layer_norm(cls_states, cls_states.shape[1:])
            loss = loss + self.settings.scheme.hint_weight * hint_loss(
                self.regressor(features), states, targets["weight"]
            )
        return loss, targets

    def _soft_loss(self, logits: Tensor, teacher_logits: Tensor, weight: Tensor) -> Tensor:
        return soft_loss(
            logits, teacher_logits, self._labels_known.expand_as(teacher_logits),
            temperature=self.settings.scheme.temperature, weight=weight, kind=self.kind,
        )  # fmt: skip

    def _teacher_loss(self, teacher_logits: Tensor, targets: dict[str, Tensor]) -> Tensor:
        loss = hard_loss(teacher_logits, **_hard_loss_arguments(targets), kind=self.kind)
        finite(loss)
        return loss


@dataclass(slots=True)
class _Schedule:
    """A teacher's own batches, all epochs of them; each epoch's are drawn when it begins."""

    rows: NDArray[np.int64]
    lengths: NDArray[np.int64]
    size: int
    epochs: int
    seed: int
    _drawn: tuple[int, list[NDArray[np.int64]]] = field(default=(-1, []), init=False)

    def __len__(self) -> int:
        return self._batches_per_epoch * self.epochs

    @property
    def _batches_per_epoch(self) -> int:
        return -(-len(self.rows) // self.size)

    def batch(self, step: int) -> NDArray[np.int64]:
        """The rows of a step: the same ones whenever it is asked."""
        epoch, place = divmod(step, self._batches_per_epoch)
        if self._drawn[0] != epoch:
            random = np.random.default_rng([self.seed, 2, epoch])
            self._drawn = (epoch, length_batches(self.lengths, self.size, random))
        return self.rows[self._drawn[1][place]]


def make_scheme(
    student: Student, rows: TrainingRows, settings: StudentSettings, *, kind: TaskKind, distil: bool,
    teacher: JointTeacher | None, learnt: NDArray[np.int64], steps: int, seed: int,
    trust: NDArray[np.float32] | None = None,
) -> OfflineScheme:  # fmt: skip
    """The scheme that the settings name; `DataError` where it needs a teacher and there is none.

    A teacher that learns beside the student is not the one that was compared: `trust` is of stored logits alone.
    """
    if not distil or not isinstance(settings.scheme, JointBase):
        return OfflineScheme(student, rows, settings, kind=kind, distil=distil, trust=trust)
    if teacher is None:
        raise DataError(f"training: the scheme {settings.scheme.kind} needs a teacher that learns too, and got none")
    return JointScheme(student, rows, settings, kind=kind, teacher=teacher, learnt=learnt, steps=steps, seed=seed)


def _hard_loss_arguments(targets: dict[str, Tensor]) -> dict[str, Tensor]:
    return {"targets": targets["hard"], "mask": targets["hard_mask"], "weight": targets["weight"]}
