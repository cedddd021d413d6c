"""Early stopping: a part of the training rows is kept back, and the epoch that answers it best stays."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.evaluation.metrics import count, macro
from models.evaluation.predictions import first_threshold, keep_argmax, probabilities
from models.students.student import Student, predict
from models.tasks import StudentSettings, TaskKind
from models.training.losses import hard_loss, soft_loss
from models.training.training_rows import TrainingRows


def hold_out(rows: int, settings: StudentSettings, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers to learn from, and to validate by: a random share, the same for a seed. Both rising."""
    kept_back = int(rows * settings.validation_share)
    order = np.random.default_rng([seed, 1]).permutation(rows)
    return np.sort(order[kept_back:]), np.sort(order[:kept_back])


class EarlyStopping:
    """Judges a student after each epoch by its macro F1 on the rows kept back, and remembers the best weights.

    Nothing stops before the epoch `first`, with which a route's last teacher begins to speak. Of epochs of equal F1
    (rare labels may all be missed at first) the one with the smaller loss is the better.

    Attributes:
        scores: Macro F1 after each epoch, 0 where none of the rows has a positive answer.
    """

    def __init__(
        self, rows: TrainingRows, held: NDArray[np.int64], patience: int, kind: TaskKind, first: int = 0
    ) -> None:
        self.scores: list[float] = []
        self._losses: list[float] = []
        self._texts = rows.texts.take(held)
        self._hard, self._known = rows.hard[held], rows.hard_mask[held]
        self._soft, self._said = rows.soft[held], rows.soft_mask[held]
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
        ranks = [(one, -other) for one, other in zip(self.scores, self._losses, strict=True)]
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
        """Macro F1 against the answers; and the loss against them, or, where there are none, against the teacher."""
        logits = predict(student, self._texts)
        scores = keep_argmax(probabilities(logits, self._kind), self._kind)
        decisions = scores >= first_threshold(self._kind, student.labels)
        qualities = []
        for label in range(student.labels):
            known = self._known[:, label]
            counts = count(decisions[known, label], self._hard[known, label] >= 0.5)
            if counts.quality is not None:
                qualities.append(counts.quality)
        found = macro(qualities)
        return found.f1 if found else 0.0, self._loss(torch.from_numpy(logits))

    def _loss(self, logits: Tensor) -> float:
        if self._known.any():
            answers = torch.from_numpy(self._hard), torch.from_numpy(self._known)
            return float(hard_loss(logits, *answers, kind=self._kind))
        said = torch.from_numpy(self._soft), torch.from_numpy(self._said)
        return float(soft_loss(logits, *said, temperature=1.0, kind=self._kind))
