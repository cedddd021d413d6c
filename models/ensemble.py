"""Several teachers as one: the average of their probabilities, which is not the average of their logits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.outcomes import Floats
from models.tasks import TaskKind

_LEAST = 1e-6  # a probability of 0 or 1 would have an infinite logit


def averaged(
    probabilities: Sequence[NDArray[np.float64]], weights: Sequence[float], kind: TaskKind
) -> NDArray[np.float32]:
    """The weighted average of some models' probabilities, as logits.

    Each label is averaged over the models that know it: one that does not contributes nothing to it.

    Args:
        probabilities: Of each model (rows, labels), NaN where it does not know the label or has not seen the text.
        weights: Of each model, above 0.
        kind: The task's kind. The classes that are known share one probability again after averaging.

    Returns:
        (rows, labels) float32, NaN where no model knows. Of classes the logarithms, whose softmax is the average.
    """
    stacked = np.stack(probabilities)
    share = np.asarray(weights, np.float64)[:, None, None] * ~np.isnan(stacked)
    total = share.sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = (share * np.nan_to_num(stacked)).sum(0) / total
    logits: NDArray[np.float32]
    if kind == "multi_class":
        with np.errstate(invalid="ignore"):
            mean = mean / np.nansum(mean, axis=1, keepdims=True)
        logits = np.log(np.clip(mean, _LEAST, 1)).astype(np.float32)
    else:
        mean = np.clip(mean, _LEAST, 1 - _LEAST)
        logits = (np.log(mean) - np.log1p(-mean)).astype(np.float32)
    return logits


def in_order(values: Floats, own: Sequence[str], wanted: Sequence[str]) -> Floats:
    """Columns of a model's own labels in the order wanted; NaN for labels it does not know."""
    place = {label: column for column, label in enumerate(own)}
    found = np.full_like(values, np.nan, shape=(len(values), len(wanted)))
    for column, label in enumerate(wanted):
        if label in place:
            found[:, column] = values[:, place[label]]
    return found
