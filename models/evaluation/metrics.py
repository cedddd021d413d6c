"""Counts of agreement between a model and its gold, and what follows from them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Counts:
    """True and false positives and negatives; weighted counts (occurrences) are as good as plain ones."""

    tp: int
    fp: int
    fn: int
    tn: int

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn, self.tn + other.tn)

    @property
    def positives(self) -> int:
        """How often the gold holds."""
        return self.tp + self.fn

    @property
    def quality(self) -> Quality | None:
        """Precision, recall and F1; None where the gold never holds: then there is nothing to be good at.

        A model that predicts nothing although there was something to find has precision 0.
        """
        if not self.positives:
            return None
        precision = self.tp / (self.tp + self.fp) if self.tp + self.fp else 0.0
        return Quality(precision, self.tp / self.positives, 2 * self.tp / (2 * self.tp + self.fp + self.fn))


@dataclass(frozen=True, slots=True)
class Quality:
    """Precision, recall and F1, each in 0..1."""

    precision: float
    recall: float
    f1: float


def count(predicted: NDArray[np.bool_], gold: NDArray[np.bool_], weight: NDArray[np.int64] | None = None) -> Counts:
    """Counts over rows (n,), each weighing `weight` (its occurrences), 1 where none is given."""
    cell = predicted.astype(np.int64) * 2 + gold
    sums = np.bincount(cell, weights=weight, minlength=4).round().astype(np.int64)
    tn, fn, fp, tp = (int(value) for value in sums)
    return Counts(tp=tp, fp=fp, fn=fn, tn=tn)


def count_distinct(predicted: NDArray[np.bool_], gold: NDArray[np.bool_], texts: NDArray[np.int64]) -> Counts:
    """Counts of distinct texts: a text that is said a thousand times is one piece of evidence.

    Args:
        predicted: (rows,).
        gold: (rows,).
        texts: (rows,) a number for each distinct text. One that is decided in two ways (scenes have thresholds of
            their own) counts once for each.
    """
    cells = np.unique(texts * 4 + predicted * 2 + gold) % 4
    tn, fn, fp, tp = (int(value) for value in np.bincount(cells, minlength=4))
    return Counts(tp=tp, fp=fp, fn=fn, tn=tn)


def macro(qualities: Iterable[Quality]) -> Quality | None:
    """The plain mean over labels of each measure (a mean of F1s, not the F1 of means); None of no labels."""
    rows = [(quality.precision, quality.recall, quality.f1) for quality in qualities]
    if not rows:
        return None
    precision, recall, f1 = np.mean(np.asarray(rows, dtype=np.float64), axis=0)
    return Quality(float(precision), float(recall), float(f1))


def wilson(successes: int, trials: int, z: float = 1.959963984540054) -> tuple[float, float]:
    """The Wilson score interval of a share (Wilson 1927), 95% by default; (0, 1) where nothing was tried."""
    if trials == 0:
        return 0.0, 1.0
    share = successes / trials
    centre = share + z * z / (2 * trials)
    spread = z * sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)


def average_precision(scores: NDArray[np.floating], gold: NDArray[np.bool_]) -> float | None:
    """Mean precision at the places of the positives, the rows ranked by score: no threshold decides it.

    Rows of equal scores share a place. None where the gold never holds (scikit-learn's `average_precision_score`).
    """
    positives = int(gold.sum())
    if not positives:
        return None
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # the last of each place
    found = np.cumsum(gold[order])[ends]
    return float((found / (ends + 1) * np.diff(found, prepend=0)).sum() / positives)
