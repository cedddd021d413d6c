"""A student that learns from what is stored, and the steps of whatever learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from models.errors import DataError
from models.students.student import Student
from models.tasks import StudentSettings, TaskKind
from models.training.batching import ramp
from models.training.devices import half_precision
from models.training.losses import distil_loss, hard_loss, hint_loss
from models.training.training_rows import TrainingRows, spread_of

MAX_GRADIENT = 1.0
WEIGHT_DECAY = 0.01


@dataclass(slots=True)
class Steps:
    """Parameters that are stepped together: an optimiser and its learning rate at the top of the ramp."""

    optimiser: Optimizer
    rate: float
    parameters: list[nn.Parameter]

    @classmethod
    def of(cls, parameters: Sequence[nn.Parameter], rate: float) -> Steps:
        """AdamW over these parameters."""
        own = list(parameters)
        return cls(AdamW(own, lr=rate, weight_decay=WEIGHT_DECAY, fused=True), rate, own)

    @classmethod
    def plain(cls, parameters: Sequence[nn.Parameter], rate: float) -> Steps:
        """Plain descent, whose steps are as long as their gradients: a loss of half the weight moves half as far."""
        own = list(parameters)
        return cls(SGD(own, lr=rate), rate, own)

    def by(self, gradients: Sequence[Tensor | None], progress: float) -> None:
        """One step by these gradients, which are cut at a norm of `MAX_GRADIENT`."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate * ramp(progress)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        nn.utils.clip_grad_norm_(self.parameters, MAX_GRADIENT)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)


class Alone:
    """The student learns from what is stored: the schemes `offline` and `multi_teacher`, and no distillation at all.

    Attributes:
        taught: Steps that a teacher of a joint scheme has made on its own schedule.
    """

    taught = 0

    def __init__(
        self, student: Student, rows: TrainingRows, settings: StudentSettings, *, kind: TaskKind, distil: bool
    ) -> None:
        self.student = student
        self.rows = rows
        self.settings = settings
        self.kind: TaskKind = kind
        self.distil = distil
        self.where = next(student.parameters()).device
        width = self._hint_width()
        self._mean = self._deviation = np.zeros(0, np.float32)
        if width and rows.states is not None:  # so that one weight fits teachers of any size
            self._mean, self._deviation = spread_of(rows.states)
        self.regressor = nn.Linear(student.width, width).to(self.where) if width else None
        extra = list(self.regressor.parameters()) if self.regressor is not None else []
        self.steps = {"student": Steps.of([*student.parameters(), *extra], settings.learning_rate)}

    def _hint_width(self) -> int:
        """How many numbers of the teacher's the features learn to tell; 0 where there are no hints."""
        if not (self.distil and self.settings.hint_weight):
            return 0
        if self.rows.states is None:
            raise DataError("training rows: there are no states of the teacher, which hints need; join them again")
        return int(self.rows.states.shape[1])

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What learns, by name."""
        learning: dict[str, nn.Module] = {"student": self.student}
        return learning if self.regressor is None else learning | {"regressor": self.regressor}

    @property
    def last_stage(self) -> int:
        """The epoch with which the last of a route's teachers begins to speak; 0 where there is no route."""
        if not self.distil or not self.settings.route or self.rows.route is None:
            return 0
        steps: int = self.rows.route.shape[1]
        return -(-self.settings.epochs * steps // (steps + 1))

    def begin(self, until: float) -> None:
        """What comes before an epoch, after which the student's progress is `until`: nothing."""

    def learn(self, batch: NDArray[np.int64], epoch: int, progress: float) -> float:
        """One step on one batch at a progress of 0 to 1; the student's loss before it."""
        logits, features = self.read(batch)
        loss = self.loss(logits, features, batch, epoch)
        value = finite(loss)
        self.steps["student"].by(gradients_of(loss, self.steps["student"].parameters), progress)
        return value

    def loss(self, logits: Tensor, features: Tensor, batch: NDArray[np.int64], epoch: int) -> Tensor:
        """What the student is to lower."""
        answers = self.answers(batch)
        if not self.distil:
            return hard_loss(logits, answers["hard"], answers["hard_mask"], answers["weight"], self.kind)
        soft = self._soft(batch, epoch)
        learnt = distil_loss(
            logits, **answers, soft=soft[0], soft_mask=soft[1], temperature=self.settings.temperature,
            soft_weight=self.settings.soft_weight, kind=self.kind,
        )  # fmt: skip
        if self.regressor is None or self.rows.states is None:
            return learnt
        states = self.tensor((self.rows.states[batch] - self._mean) / self._deviation)
        return learnt + self.settings.hint_weight * hint_loss(self.regressor(features), states, answers["weight"])

    def _soft(self, batch: NDArray[np.int64], epoch: int) -> tuple[Tensor, Tensor]:
        """The logits to learn from and their mask; on a route those of the stage that the epoch belongs to."""
        mask = self.tensor(self.rows.soft_mask[batch])
        if self.settings.route:
            if self.rows.route is None:
                raise DataError("training rows: there are no logits of the teacher's way, which a route needs")
            steps = self.rows.route.shape[1]
            stage = epoch * (steps + 1) // self.settings.epochs
            if stage < steps:
                return self.tensor(self.rows.route[batch, stage]), mask
        return self.tensor(self.rows.soft[batch]), mask

    def read(self, batch: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """The student's logits and features of some rows."""
        ids, lengths = self.rows.texts.padded(batch, at_least=self.student.min_length)
        with half_precision(self.where):
            logits, features = self.student(self.tensor(ids), self.tensor(lengths))
        return logits.float(), features.float()

    def answers(self, batch: NDArray[np.int64]) -> dict[str, Tensor]:
        """Hard answers, their mask and the weights of some rows."""
        return {name: self.tensor(getattr(self.rows, name)[batch]) for name in ("hard", "hard_mask", "weight")}

    def tensor(self, values: NDArray[Any]) -> Tensor:
        """An array where the student is."""
        return torch.from_numpy(np.ascontiguousarray(values)).to(self.where)


def finite(loss: Tensor) -> float:
    """The loss as a number; `DataError` where it is none."""
    value = float(loss.detach())
    if not np.isfinite(value):
        raise DataError(
            f"training: the loss became {value}, expected a finite number; look for NaN among targets "
            "and weights, or lower student.learning_rate"
        )
    return value


def gradients_of(loss: Tensor, parameters: Sequence[nn.Parameter]) -> Sequence[Tensor | None]:
    """The gradient of each parameter, None of those that the loss does not depend on."""
    if not loss.requires_grad:
        return [None] * len(parameters)
    return torch.autograd.grad(loss, parameters, allow_unused=True)
