"""Offline distillation: a student learns from logits stored beforehand (Hinton et al. 2015), or from labels alone.

The joint schemes (`joint_schemes`) build on it: they share its parameter groups, its reading of rows and its hints.
"""

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
from models.student_settings import StudentSettings
from models.students.student import Student
from models.tasks import TaskKind
from models.training.batching import ramp
from models.training.devices import half_precision
from models.training.losses import distil_loss, hard_loss, hint_loss
from models.training.training_rows import TrainingRows, mean_and_deviation

MAX_GRADIENT = 1.0
WEIGHT_DECAY = 0.01


@dataclass(slots=True)
class ParameterGroup:
    """Parameters that are stepped together: their optimiser, and its learning rate at the top of the ramp."""

    optimiser: Optimizer
    peak_rate: float
    parameters: list[nn.Parameter]

    @classmethod
    def adamw(cls, parameters: Sequence[nn.Parameter], rate: float) -> ParameterGroup:
        """AdamW over these parameters."""
        listed = list(parameters)
        return cls(AdamW(listed, lr=rate, weight_decay=WEIGHT_DECAY, fused=True), rate, listed)

    @classmethod
    def sgd(cls, parameters: Sequence[nn.Parameter], rate: float) -> ParameterGroup:
        """Plain descent, whose steps are as long as their gradients: a loss of half the weight moves half as far."""
        listed = list(parameters)
        return cls(SGD(listed, lr=rate), rate, listed)

    def step(self, gradients: Sequence[Tensor | None], progress: float) -> None:
        """One step by these gradients, which are cut at a norm of `MAX_GRADIENT`."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.peak_rate * ramp(progress)
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        nn.utils.clip_grad_norm_(self.parameters, MAX_GRADIENT)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)


class OfflineScheme:
    """The schemes `offline` and `multi_teacher`, which read stored logits; and training without distillation.

    Attributes:
        groups: The parameters that learn, by the name of what steps them.
        teacher_steps: Steps that a teacher of a joint scheme has made on its own schedule.
    """

    teacher_steps = 0

    def __init__(
        self, student: Student, rows: TrainingRows, settings: StudentSettings, *, kind: TaskKind, distil: bool,
        trust: NDArray[np.float32] | None = None,
    ) -> None:  # fmt: skip
        self.student = student
        self.rows = rows
        self.settings = settings
        self.kind: TaskKind = kind
        self.distil = distil
        self.where = next(student.parameters()).device
        self._trust = None if trust is None else self.tensor(trust)
        width = self._hint_width()
        self._mean = self._deviation = np.zeros(0, np.float32)
        if width and rows.cls_states is not None:  # standardised, so that one weight fits teachers of any size
            self._mean, self._deviation = mean_and_deviation(rows.cls_states)
        self.regressor = nn.Linear(student.width, width).to(self.where) if width else None
        extra = list(self.regressor.parameters()) if self.regressor is not None else []
        self.groups = {"student": ParameterGroup.adamw([*student.parameters(), *extra], settings.learning_rate)}

    def _hint_width(self) -> int:
        """Width of the [CLS] states that the features learn to predict; 0 where there are no hints."""
        if not (self.distil and self.settings.scheme.hint_weight):
            return 0
        if self.rows.cls_states is None:
            raise DataError(
                "training rows: there are no [CLS] states of the teacher, which hints need; join them again"
            )
        return int(self.rows.cls_states.shape[1])

    @property
    def modules(self) -> dict[str, nn.Module]:
        """What learns, by name."""
        learning: dict[str, nn.Module] = {"student": self.student}
        return learning if self.regressor is None else learning | {"regressor": self.regressor}

    @property
    def last_stage(self) -> int:
        """The first epoch that learns from the finished teacher; 0 without a curriculum."""
        if not self.distil or not self.settings.scheme.curriculum or self.rows.curriculum is None:
            return 0
        checkpoints: int = self.rows.curriculum.shape[1]
        return -(-self.settings.epochs * checkpoints // (checkpoints + 1))

    def before_epoch(self, until: float) -> None:
        """Hook of the joint schemes, called with the progress of the student at the epoch's end; does nothing here."""

    def learn(self, batch: NDArray[np.int64], epoch: int, progress: float) -> float:
        """One step on one batch at a progress of 0 to 1; the student's loss before it."""
        logits, features = self.read(batch)
        loss = self.loss(logits, features, batch, epoch)
        value = finite(loss)
        self.groups["student"].step(gradients(loss, self.groups["student"].parameters), progress)
        return value

    def loss(self, logits: Tensor, features: Tensor, batch: NDArray[np.int64], epoch: int) -> Tensor:
        """The student's loss on a batch: hard and soft, and the hint's where there is one."""
        targets = self.hard_targets(batch)
        if not self.distil:
            return hard_loss(logits, targets["hard"], targets["hard_mask"], targets["weight"], self.kind)
        soft, soft_mask = self._soft_targets(batch, epoch)
        distilled = distil_loss(
            logits, **targets, soft=soft, soft_mask=soft_mask, temperature=self.settings.scheme.temperature,
            soft_weight=self.settings.scheme.soft_weight, kind=self.kind, trust=self._trust,
            by_teacher=None if self.rows.by_teacher is None else self.tensor(self.rows.by_teacher[batch]),
        )  # fmt: skip
        if self.regressor is None or self.rows.cls_states is None:
            return distilled
        states = self.tensor((self.rows.cls_states[batch] - self._mean) / self._deviation)
        return distilled + self.settings.scheme.hint_weight * hint_loss(
            self.regressor(features), states, targets["weight"]
        )

    def _soft_targets(self, batch: NDArray[np.int64], epoch: int) -> tuple[Tensor, Tensor]:
        """The teacher's logits and their mask; in a curriculum those of the checkpoint that the epoch belongs to."""
        mask = self.tensor(self.rows.soft_mask[batch])
        if self.settings.scheme.curriculum:
            if self.rows.curriculum is None:
                raise DataError(
                    "training rows: there are no logits of the teacher's intermediate checkpoints, which a curriculum "
                    "needs"
                )
            checkpoints = self.rows.curriculum.shape[1]
            stage = epoch * (checkpoints + 1) // self.settings.epochs
            if stage < checkpoints:
                return self.tensor(self.rows.curriculum[batch, stage]), mask
        return self.tensor(self.rows.soft[batch]), mask

    def read(self, batch: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """The student's logits and features of some rows."""
        ids, lengths = self.rows.texts.padded(batch, at_least=self.student.min_length)
        with half_precision(self.where):
            logits, features = self.student(self.tensor(ids), self.tensor(lengths))
        return logits.float(), features.float()

    def hard_targets(self, batch: NDArray[np.int64]) -> dict[str, Tensor]:
        """Hard targets, their mask and the weights of some rows."""
        return {name: self.tensor(getattr(self.rows, name)[batch]) for name in ("hard", "hard_mask", "weight")}

    def tensor(self, values: NDArray[Any]) -> Tensor:
        """An array as a tensor on the student's device."""
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


def gradients(loss: Tensor, parameters: Sequence[nn.Parameter]) -> Sequence[Tensor | None]:
    """The gradient of each parameter, None of those that the loss does not depend on."""
    if not loss.requires_grad:
        return [None] * len(parameters)
    return torch.autograd.grad(loss, parameters, allow_unused=True)
