"""Early stopping: a part of the training rows validates each epoch, and the best epoch's weights stay."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.evaluation.metrics import count, macro
from models.evaluation.predictions import first_threshold, keep_argmax, probabilities
from models.student_settings import StudentSettings
from models.students.student import Student, predict
from models.tasks import TaskKind
from models.training.losses import hard_loss, soft_loss
from models.training.training_rows import TrainingRows


def hold_out(rows: int, settings: StudentSettings, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers to learn from, and to validate by: a random share, the same for a seed. Both rising."""
    kept_back = int(rows * settings.validation_share)
    order = np.random.default_rng([seed, 1]).permutation(rows)
    return np.sort(order[kept_back:]), np.sort(order[:kept_back])


class EarlyStopping:
    """Judges a student after each epoch by its macro F1 on the rows kept back, and remembers the best weights.

    Nothing stops before the epoch `first`, the first of a curriculum that learns from the finished teacher. Of epochs
    of equal F1 (rare labels may all be missed at first) the one with the smaller loss is the better.

    Attributes:
        scores: Macro F1 after each epoch, 0 where no label holds in any of the rows.
    """

    def __init__(
        self, rows: TrainingRows, held: NDArray[np.int64], patience: int, kind: TaskKind, first: int = 0
    ) -> None:
        self.scores: list[float] = []
        self._losses: list[float] = []
        self._texts = rows.texts.take(held)
        self._hard, self._hard_mask = rows.hard[held], rows.hard_mask[held]
        self._soft, self._soft_mask = rows.soft[held], rows.soft_mask[held]
        self._patience = patience
        self._first = first
        self._kind: TaskKind = kind
        self._best: dict[str, Tensor] = {}

    def after_epoch(self, student: Student) -> bool:
        """Judge the student; True where it has not become better for `patience` epochs. It goes on training."""
        score, loss = self._judge(student)
        student.train()
        self.scores.append(score)
        self._losses.append(loss)
        ranks = [(f1, -loss) for f1, loss in zip(self.scores, self._losses, strict=True)]
        best = ranks.index(max(ranks))
        if best == len(ranks) - 1:
            self._best = {name: tensor.detach().clone() for name, tensor in student.state_dict().items()}
        return len(ranks) - 1 - max(best, self._first) >= self._patience

    def state(self) -> dict[str, Any]:
        """What a training that goes on later needs of it."""
        return {"scores": self.scores, "losses": self._losses, "best": self._best}

    def resume(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.scores, self._losses, self._best = list(state["scores"]), list(state["losses"]), dict(state["best"])

    def restore(self, student: Student) -> None:
        """Put the best epoch's weights back."""
        if self._best:
            student.load_state_dict(self._best)

    def _judge(self, student: Student) -> tuple[float, float]:
        """Macro F1 against the hard targets; and the loss against them, or without any against the teacher."""
        logits = predict(student, self._texts)
        scores = keep_argmax(probabilities(logits, self._kind), self._kind)
        decisions = scores >= first_threshold(self._kind, student.labels)
        qualities = []
        for label in range(student.labels):
            known = self._hard_mask[:, label]
            counts = count(decisions[known, label], self._hard[known, label] >= 0.5)
            if counts.quality is not None:
                qualities.append(counts.quality)
        average = macro(qualities)
        return average.f1 if average else 0.0, self._loss(torch.from_numpy(logits))

    def _loss(self, logits: Tensor) -> float:
        if self._hard_mask.any():
            hard = torch.from_numpy(self._hard), torch.from_numpy(self._hard_mask)
            return float(hard_loss(logits, *hard, kind=self._kind))
        soft = torch.from_numpy(self._soft), torch.from_numpy(self._soft_mask)
        return float(soft_loss(logits, *soft, temperature=1.0, kind=self._kind))
