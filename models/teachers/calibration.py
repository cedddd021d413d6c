"""Calibrated probabilities: a scale and a shift of each label's logits, by rows that the fine-tuning kept back.

The scale is one over the temperature of Guo et al. 2017 (arXiv:1706.04599), a label's own; with the shift it is Platt
scaling (Platt 1999). Of competing classes there is one temperature for all: shifts would move the likeliest class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from models.tasks import TaskKind
from models.teachers.pooling import last_layer
from models.training.losses import hard_loss

FOLDS = 5
PRIOR_ROWS = 10.0
"""How many rows' worth of evidence holds scale and shift to where they begin: few rows move them little."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a label's logits are multiplied by, then moved by: both (labels,)."""

    scale: NDArray[np.float32]
    shift: NDArray[np.float32]

    def apply(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Calibrated logits, of logits (rows, labels)."""
        return logits * self.scale + self.shift

    def into(self, model: Any) -> None:
        """Let a classifier's last layer give calibrated logits by itself: whoever reads it needs nothing else."""
        layer = last_layer(model)
        scale, shift = (torch.from_numpy(one).to(layer.weight.device) for one in (self.scale, self.shift))
        with torch.no_grad():
            layer.weight.mul_(scale[:, None])
            if layer.bias is not None:
                layer.bias.mul_(scale).add_(shift)


def start_of(positive_weights: NDArray[np.float32]) -> Calibration:
    """What undoes the weights that positives had in the loss: each raises a label's odds by its own factor."""
    return Calibration(np.ones_like(positive_weights), -np.log(positive_weights).astype(np.float32))


def calibrate(
    logits: NDArray[np.float32], targets: NDArray[np.float32], mask: NDArray[np.bool_], kind: TaskKind,
    start: Calibration,
) -> Calibration:  # fmt: skip
    """The calibration of some labels by rows that did not teach them.

    Fitted to all rows, and kept for a label only where it also lowers the log loss when each fifth of the rows is
    calibrated by the others; elsewhere the start stays.

    Args:
        logits: (rows, labels), not calibrated.
        targets: (rows, labels), 0 to 1.
        mask: (rows, labels), True where the target is known.
        kind: The task's kind.
        start: What stays where nothing better is found, and what few rows are held to.
    """
    before = start.apply(logits)
    folds = np.arange(len(logits)) % FOLDS
    crossed = before.copy()
    for fold in range(FOLDS):
        own = folds == fold
        if own.any() and (~own).any():
            crossed[own] = _fit(logits[~own], targets[~own], mask[~own], kind, start).apply(logits[own])
    gains = _losses(crossed, targets, mask, kind) < _losses(before, targets, mask, kind)
    fitted = _fit(logits, targets, mask, kind, start)
    return Calibration(np.where(gains, fitted.scale, start.scale), np.where(gains, fitted.shift, start.shift))


def _fit(
    logits: NDArray[np.float32], targets: NDArray[np.float32], mask: NDArray[np.bool_], kind: TaskKind,
    start: Calibration,
) -> Calibration:  # fmt: skip
    """Scale and shift of the least log loss, held to the start by a prior of `PRIOR_ROWS` rows."""
    classes = kind == "multi_class"
    given, wanted, known = (torch.from_numpy(one) for one in (logits.astype(np.float64), targets, mask))
    first = torch.from_numpy(start.shift.astype(np.float64))
    log_scale = torch.zeros(1 if classes else logits.shape[1], dtype=torch.float64, requires_grad=True)
    moved = torch.zeros(logits.shape[1], dtype=torch.float64, requires_grad=not classes)
    optimiser = torch.optim.LBFGS([log_scale] if classes else [log_scale, moved], max_iter=100)

    def loss() -> Tensor:
        optimiser.zero_grad()
        calibrated = given * log_scale.exp() + first + moved
        total = _summed(calibrated, wanted.double(), known, kind)
        total = total + PRIOR_ROWS * ((log_scale**2).sum() + 0.1 * (moved**2).sum())
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    scale = log_scale.detach().exp().expand(logits.shape[1]).numpy().astype(np.float32)
    return Calibration(np.ascontiguousarray(scale), (first + moved.detach()).numpy().astype(np.float32))


def _summed(logits: Tensor, targets: Tensor, mask: Tensor, kind: TaskKind) -> Tensor:
    """The log loss over all that is known, as a sum."""
    if kind == "multi_class":
        rows = (torch.where(mask, targets, 0.0).sum(1) > 0).sum()
        return hard_loss(logits, targets, mask, kind=kind) * rows
    losses = F.binary_cross_entropy_with_logits(logits, torch.where(mask, targets, 0.0), reduction="none")
    return torch.where(mask, losses, 0.0).sum()


def _losses(
    logits: NDArray[np.float32], targets: NDArray[np.float32], mask: NDArray[np.bool_], kind: TaskKind
) -> NDArray[np.float64]:
    """The log loss of each label; of classes the same for all, for they compete."""
    given, wanted = torch.from_numpy(logits.astype(np.float64)), torch.from_numpy(targets).double()
    if kind == "multi_class":
        return np.full(logits.shape[1], float(_summed(given, wanted, torch.from_numpy(mask), kind)))
    known = torch.where(torch.from_numpy(mask), wanted, 0.0)
    losses = F.binary_cross_entropy_with_logits(given, known, reduction="none").numpy()
    total: NDArray[np.float64] = np.where(mask, losses, 0.0).sum(0)
    return total
