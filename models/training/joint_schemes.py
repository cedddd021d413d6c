"""How a batch is learnt: by the student alone from stored scores, or together with a teacher that learns too.

The schemes are those of the article on distilling BERT into TextCNN (`docs/schemes.md`): stored logits (`offline`; with
several teachers averaged beforehand, `multi_teacher`), and three joint ones that differ in whose gradients reach the
teacher: `joint_isolated` none of the student's, `joint_coupled` those of its soft loss in a step of their own after the
student's, `joint_summed` those of one common sum. To any of them come hints (Romero et al. 2015,
arXiv:1412.6550) and, but for the sum, a route (Jin et al. 2019, arXiv:1904.09149).
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
from models.students.student import Student
from models.tasks import JOINT, StudentSettings, TaskKind
from models.training.batching import length_batches
from models.training.losses import hard_loss, hint_loss, soft_loss
from models.training.offline_scheme import Alone, Steps, finite, gradients_of
from models.training.training_rows import TrainingRows


class JointTeacher(Protocol):
    """A teacher that learns beside a student.

    Attributes:
        module: What learns.
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

    def answer(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Its logits (rows, labels) for some of the training rows, and their [CLS] states (rows, width)."""
        ...

    @property
    def state_width(self) -> int:
        """Width of the states."""
        ...


class Joint(Alone):
    """The student and its teacher learn side by side; stored logits are not read.

    The teacher has a schedule of its own (rows a batch, epochs, learning rate), which it goes through while the student
    goes through its epochs: before each of the student's batches it makes the steps that are due, then answers as it
    is, without dropout; after the student's step comes, in `joint_coupled`, the feedback. With `route` the teacher
    makes all steps of an epoch first. In `joint_summed` both make each step together, on one batch.
    """

    def __init__(
        self, student: Student, rows: TrainingRows, settings: StudentSettings, *, kind: TaskKind,
        teacher: JointTeacher, learnt: NDArray[np.int64], steps: int, seed: int,
    ) -> None:  # fmt: skip
        self.teacher = teacher
        super().__init__(student, rows, settings, kind=kind, distil=True)
        own = list(teacher.module.parameters())
        self.steps["teacher"] = Steps.of(own, teacher.learning_rate)
        if settings.scheme == "joint_coupled":
            self.steps["feedback"] = Steps.plain(own, settings.feedback_learning_rate)
        self._schedule = _Schedule(learnt, rows.texts.lengths[learnt], teacher.batch, teacher.epochs, seed)
        self._steps = steps
        # A label without a single answer is none that the teacher knows.
        self._knows = self.tensor(rows.answered(learnt))

    def _hint_width(self) -> int:
        return self.teacher.state_width if self.settings.hint_weight else 0

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What learns, by name."""
        return super().modules | {"teacher": self.teacher.module}

    def begin(self, until: float) -> None:
        """On a route, the teacher's own way until the epoch's end."""
        if self.settings.route:
            self._teach(until)

    def _teach(self, until: float) -> None:
        """The teacher's steps that are due at a progress of the student's: it learns from the labels alone."""
        due = min(math.ceil(until * len(self._schedule) - 1e-6), len(self._schedule))
        self.teacher.module.train()
        while self.taught < due:
            batch = self._schedule.batch(self.taught)
            loss = self._teachers(self.teacher.answer(batch)[0], self.answers(batch))
            gradients = gradients_of(loss, self.steps["teacher"].parameters)
            self.steps["teacher"].by(gradients, (self.taught + 0.5) / len(self._schedule))
            self.taught += 1

    def learn(self, batch: NDArray[np.int64], epoch: int, progress: float) -> float:
        """The teacher's steps that are due, the student's, and the feedback; or all gradients of one sum."""
        if self.settings.scheme == "joint_summed":
            return self._together(batch, progress)
        if not self.settings.route:
            self._teach(progress + 0.5 / self._steps)
        coupled = self.settings.scheme == "joint_coupled"
        self.teacher.module.eval()
        with torch.set_grad_enabled(coupled):
            said, states = self.teacher.answer(batch)
        loss, _ = self._students(batch, said.detach(), states.detach())
        value = finite(loss)
        self.steps["student"].by(gradients_of(loss, self.steps["student"].parameters), progress)
        if coupled:
            self._feed_back(batch, said, progress)
        return value

    def _feed_back(self, batch: NDArray[np.int64], said: Tensor, progress: float) -> None:
        """What the student, having learnt the batch, still does not take over moves the teacher."""
        self.student.eval()
        with torch.no_grad():
            logits, _ = self.read(batch)
        self.student.train()
        soft = self._softly(logits, said, self.answers(batch)["weight"])
        parameters = self.steps["feedback"].parameters
        self.steps["feedback"].by(gradients_of(self.settings.feedback_weight * soft, parameters), progress)

    def _together(self, batch: NDArray[np.int64], progress: float) -> float:
        self.teacher.module.train()
        said, states = self.teacher.answer(batch)
        loss, answers = self._students(batch, said, states)
        value = finite(loss)
        own, teachers = self.steps["student"].parameters, self.steps["teacher"].parameters
        both = gradients_of(loss + self._teachers(said, answers), [*own, *teachers])
        self.steps["student"].by(both[: len(own)], progress)
        self.steps["teacher"].by(both[len(own) :], progress)
        return value

    def _students(self, batch: NDArray[np.int64], said: Tensor, states: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The student's loss, and the answers of the batch."""
        answers = self.answers(batch)
        logits, features = self.read(batch)
        share = self.settings.soft_weight
        loss = share * self._softly(logits, said, answers["weight"])
        loss = loss + (1 - share) * hard_loss(logits, **_given(answers), kind=self.kind)
        if self.regressor is not None:  # as long as they are wide, so that one weight fits teachers of any size
            hint = hint_loss(self.regressor(features), F.layer_norm(states, states.shape[1:]), answers["weight"])
            loss = loss + self.settings.hint_weight * hint
        return loss, answers

    def _softly(self, logits: Tensor, said: Tensor, weight: Tensor) -> Tensor:
        return soft_loss(
            logits, said, self._knows.expand_as(said), temperature=self.settings.temperature, weight=weight,
            kind=self.kind,
        )  # fmt: skip

    def _teachers(self, said: Tensor, answers: dict[str, Tensor]) -> Tensor:
        loss = hard_loss(said, **_given(answers), kind=self.kind)
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
        return self._a_round * self.epochs

    @property
    def _a_round(self) -> int:
        return -(-len(self.rows) // self.size)

    def batch(self, step: int) -> NDArray[np.int64]:
        """The rows of a step: the same ones whenever it is asked."""
        epoch, place = divmod(step, self._a_round)
        if self._drawn[0] != epoch:
            random = np.random.default_rng([self.seed, 2, epoch])
            self._drawn = (epoch, length_batches(self.lengths, self.size, random))
        return self.rows[self._drawn[1][place]]


def scheme_of(
    student: Student, rows: TrainingRows, settings: StudentSettings, *, kind: TaskKind, distil: bool,
    teacher: JointTeacher | None, learnt: NDArray[np.int64], steps: int, seed: int,
) -> Alone:  # fmt: skip
    """The scheme that the settings name; `DataError` where it needs a teacher and there is none."""
    if not distil or settings.scheme not in JOINT:
        return Alone(student, rows, settings, kind=kind, distil=distil)
    if teacher is None:
        raise DataError(f"training: the scheme {settings.scheme} needs a teacher that learns too, and got none")
    return Joint(student, rows, settings, kind=kind, teacher=teacher, learnt=learnt, steps=steps, seed=seed)


def _given(answers: dict[str, Tensor]) -> dict[str, Tensor]:
    return {"targets": answers["hard"], "mask": answers["hard_mask"], "weight": answers["weight"]}
