"""How far a faster form of a teacher is from the teacher, and how far it may be."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.evaluation.predictions import decide, first_threshold, probabilities
from models.settings_base import Frozen
from models.tasks import TaskKind

Result: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float32]]

SAME_GRAPH = 1e-3
"""Of a logit or a state of the same numbers summed in another order, relative to the largest of them."""
MEAN_PROBABILITY, CHANGED, COSINE = 0.01, 0.005, 0.98
"""Of a smaller precision: how far probabilities may move on average, the share of decisions that may come out
otherwise, and how alike pooled states must stay on average."""


class Loss(Frozen):
    """A faster form against the teacher itself, over some texts."""

    relative: float
    """The largest difference of a logit or a state, relative to the largest of them."""
    probability: float
    """The mean difference of a probability."""
    changed: float
    """The share of decisions, by first thresholds, that come out otherwise."""
    cosine: float
    """The mean cosine between pooled states."""
    texts: int

    @property
    def same(self) -> bool:
        """Whether both compute the same, but for rounding."""
        return self.relative <= SAME_GRAPH

    @property
    def passes(self) -> bool:
        """Whether it may stand in for the teacher."""
        return self.probability <= MEAN_PROBABILITY and self.changed <= CHANGED and self.cosine >= COSINE

    def told(self) -> str:
        """The loss in words."""
        return (
            f"{self.changed:.2%} of the decisions change, probabilities move by {self.probability:.4f} on average "
            f"({self.texts} texts)"
        )


def loss_of(teacher: Result, faster: Result, kind: TaskKind) -> Loss:
    """Compare two results of the same texts; what is no number counts as wholly different."""
    (logits, states), (other_logits, other_states) = teacher, faster
    if not all(np.isfinite(values).all() for values in (*teacher, *faster)):
        return Loss(relative=1.0, probability=1.0, changed=1.0, cosine=-1.0, texts=len(logits))
    relative = max(_relative(logits, other_logits), _relative(states, other_states))
    before, after = probabilities(logits, kind), probabilities(other_logits, kind)
    first = first_threshold(kind, logits.shape[1])
    changed = (decide(before, first, kind) != decide(after, first, kind)).mean() if logits.size else 0.0
    norms = np.linalg.norm(states, axis=1) * np.linalg.norm(other_states, axis=1)
    cosines = (states * other_states).sum(1) / np.maximum(norms, np.finfo(np.float32).tiny)
    return Loss(
        relative=relative,
        probability=float(np.abs(before - after).mean()) if logits.size else 0.0,
        changed=float(changed),
        cosine=float(cosines.mean()) if len(cosines) else 1.0,
        texts=len(logits),
    )


def _relative(wanted: NDArray[np.float32], got: NDArray[np.float32]) -> float:
    if not wanted.size:
        return 0.0
    return float(np.abs(wanted - got).max() / max(float(np.abs(wanted).max()), 1.0))
