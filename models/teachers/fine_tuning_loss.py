"""What fine-tuning brings down, and what judges it: masked targets, the positives of rare labels weighed."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.evaluation.metrics import average_precision, count
from models.evaluation.predictions import first_threshold, keep_argmax, probabilities
from models.tasks import TaskKind
from models.teachers.calibration import start_of
from models.teachers.fine_tuning_rows import FineTuningRows
from models.teachers.pooling import logits_and_states, parameters_read
from models.training.losses import hard_loss

FREQUENT = 19.0
"""Negatives a positive of a label of a twentieth of the rows: rarer ones are weighed."""


class LogitsOf(nn.Module):
    """A classifier as a network from a batch's inputs to logits (rows, labels), pooled as its config says."""

    def __init__(self, classifier: Any) -> None:
        super().__init__()
        self.classifier = classifier
        read = {id(one) for one in parameters_read(classifier)}
        for parameter in classifier.parameters():
            parameter.requires_grad_(id(parameter) in read)  # several processes wait for each gradient of the others

    def forward(self, **inputs: Tensor) -> Tensor:
        """Logits of one batch."""
        return logits_and_states(self.classifier, inputs)[0]


class LossOf:
    """The loss of masked targets, the positives of rare labels weighed.

    Attributes:
        positive_weights: (labels,): how much more a label's positive weighs than its negative; ones of classes.
    """

    def __init__(self, rows: FineTuningRows, learnt: NDArray[np.int64], limit: float) -> None:
        self.kind: TaskKind = rows.kind
        known, targets = rows.mask[learnt], np.where(rows.mask[learnt], rows.targets[learnt], 0)
        positives = targets.sum(0)
        # The square root: the full ratio would let a handful of positives drown all else. Frequent labels need none: a
        # weight of two cost the demo's one to two points of macro F1.
        ratio = np.sqrt((known.sum(0) - positives + 1) / (positives + 1) / FREQUENT)
        weights = np.ones(len(rows.labels)) if rows.kind == "multi_class" else np.clip(ratio, 1, limit)
        self.positive_weights: NDArray[np.float32] = weights.astype(np.float32)

    def __call__(self, logits: Tensor, targets: Tensor) -> Tensor:
        """The loss of logits (rows, labels) against targets of the same shape, NaN where nothing is known."""
        mask = ~torch.isnan(targets)
        known = torch.where(mask, targets, 0.0)
        if self.kind == "multi_class":
            return hard_loss(logits, known, mask, kind=self.kind)
        weights = torch.from_numpy(self.positive_weights).to(logits.device)
        losses = nn.functional.binary_cross_entropy_with_logits(logits, known, reduction="none", pos_weight=weights)
        return torch.where(mask, losses, 0.0).sum() / mask.sum().clamp_min(1)


LOSS_WEIGHT = 0.1
"""What the log loss counts beside average precision: of two weights that rank alike the surer ones are the better."""


def judged(logits: NDArray[np.float32], rows: FineTuningRows, held: NDArray[np.int64]) -> float:
    """One figure for how well logits tell the labels of the rows kept back, whatever the thresholds.

    The mean of the labels' average precision; of classes, where the likeliest decides, macro F1.
    """
    scores = probabilities(logits, rows.kind)
    targets, mask = rows.targets[held] >= 0.5, rows.mask[held]
    found = []
    kept = keep_argmax(scores, rows.kind) >= first_threshold(rows.kind, len(rows.labels))
    for label in range(len(rows.labels)):
        known = mask[:, label]
        if rows.kind == "multi_class":
            quality = count(kept[known, label], targets[known, label]).quality
            found.append(None if quality is None else quality.f1)
        else:
            found.append(average_precision(scores[known, label], targets[known, label]))
    told = [one for one in found if one is not None]
    return float(np.mean(told)) if told else 0.0


def judged_with_loss(
    logits: NDArray[np.float32], rows: FineTuningRows, held: NDArray[np.int64], positive_weights: NDArray[np.float32]
) -> float:
    """As `judged`, less a little for the log loss: what tells the better of two weights that rank alike."""
    targets, mask = (torch.from_numpy(part[held]) for part in (rows.targets, rows.mask))
    shifted = torch.from_numpy(start_of(positive_weights).apply(logits))
    return judged(logits, rows, held) - LOSS_WEIGHT * float(hard_loss(shifted, targets, mask, kind=rows.kind))
