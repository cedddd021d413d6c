"""Predictions: a model's logits as probabilities, and which of these may become a label.

In a `multi_label` task every label is judged by itself; in a `multi_class` task the labels of a text compete, and only
the likeliest can hold. After `keep_argmax` both are one thing: a label holds where its score reaches its threshold.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.tasks import TaskKind

FIRST_THRESHOLD = 0.5
_LEAST = 1e-6  # a probability of 0 or 1 would have an infinite logit


def probabilities(logits: NDArray[np.float32], kind: TaskKind) -> NDArray[np.float64]:
    """Logits (rows, labels) as probabilities: of each label by itself, or of one label among those that have a logit.

    NaN stays NaN: a label that a model does not know has no probability and takes none of the others'.
    """
    exact = logits.astype(np.float64)
    if kind != "multi_class":
        sigmoid: NDArray[np.float64] = 1 / (1 + np.exp(-np.maximum(exact, -700.0)))  # beyond, float64 overflows
        return sigmoid
    largest = np.fmax.reduce(exact, axis=1, keepdims=True, initial=-np.inf)
    shifted = np.exp(exact - np.where(np.isfinite(largest), largest, 0.0))
    softmax: NDArray[np.float64] = shifted / np.nansum(shifted, axis=1, keepdims=True)
    return softmax


def to_logits(probabilities: NDArray[np.float64], kind: TaskKind) -> NDArray[np.float64]:
    """The inverse of `probabilities`, up to a constant in each row of classes, which cancels in their softmax.

    NaN stays NaN.
    """
    if kind == "multi_class":
        return np.log(np.clip(probabilities, _LEAST, 1))
    inside = np.clip(probabilities, _LEAST, 1 - _LEAST)
    logits: NDArray[np.float64] = np.log(inside) - np.log1p(-inside)
    return logits


Floats = TypeVar("Floats", NDArray[np.float32], NDArray[np.float64])


def keep_argmax(probabilities: Floats, kind: TaskKind) -> Floats:
    """The probabilities that may become a label: all, or of a row of classes the largest (the first of equals)."""
    if kind != "multi_class" or not probabilities.size:
        return probabilities
    rows = np.arange(len(probabilities))
    winners = probabilities.argmax(axis=1)
    kept = np.zeros_like(probabilities)
    kept[rows, winners] = probabilities[rows, winners]
    return kept


def decide(probabilities: Floats, thresholds: float | NDArray[Any], kind: TaskKind) -> NDArray[np.bool_]:
    """Which labels hold: those whose probability reaches its threshold, of classes the likeliest alone.

    Args:
        probabilities: (rows, labels), NaN where nothing is known: then the label does not hold.
        thresholds: One for all, (labels,), or (rows, labels).
        kind: The task's kind.
    """
    holds: NDArray[np.bool_] = keep_argmax(probabilities, kind) >= thresholds
    return holds


def first_threshold(kind: TaskKind, labels: int) -> float:
    """Where nothing was searched yet: one half; of classes, a value that the likeliest always reaches."""
    return FIRST_THRESHOLD / labels if kind == "multi_class" else FIRST_THRESHOLD


def complete_class_labels(labels: NDArray[np.float32], kind: TaskKind) -> NDArray[np.float32]:
    """Labels (rows, labels) of 1, 0 or NaN; where one class holds, the unknown others are made 0."""
    if kind != "multi_class":
        return labels
    return np.where((labels == 1).any(axis=1, keepdims=True) & np.isnan(labels), np.float32(0), labels)
