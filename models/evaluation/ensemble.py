"""Several teachers as one: the average of their probabilities, which is not the average of their logits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.evaluation.predictions import Floats, to_logits
from models.tasks import TaskKind


def averaged(
    probabilities: Sequence[NDArray[np.float64]], weights: Sequence[float], kind: TaskKind
) -> NDArray[np.float32]:
    """The weighted average of some models' probabilities, as logits.

    Each label is averaged over the models that know it: one that does not contributes nothing to it. Of classes, what a
    model shares among those it knows is first scaled to what they have by the models that know more: so it neither
    raises nor lowers the others.

    Args:
        probabilities: Of each model (rows, labels), NaN where it does not know the label or has not seen the text.
        weights: Of each model, above 0.
        kind: The task's kind. The classes that are known share one probability.

    Returns:
        (rows, labels) float32, NaN where no model knows. Of classes the logarithms, whose softmax is the average.
    """
    stacked = np.stack(probabilities)
    share = np.asarray(weights, np.float64)[:, None, None] * ~np.isnan(stacked)
    if kind == "multi_class":
        stacked = _scaled(stacked, share)
    return to_logits(_mean(stacked, share), kind).astype(np.float32)


def _mean(stacked: NDArray[np.float64], share: NDArray[np.float64]) -> NDArray[np.float64]:
    with np.errstate(invalid="ignore", divide="ignore"):
        mean: NDArray[np.float64] = (share * np.nan_to_num(stacked)).sum(0) / share.sum(0)
    return mean


def _scaled(stacked: NDArray[np.float64], share: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each model's classes at the probability that those models give them together which know all that is known.

    Where none knows all, the average of all is what they are scaled to.
    """
    known = share > 0
    whole = (known.sum(2) == known.any(0).sum(1)) & known.any(2)  # (models, rows)
    judges = share * np.where(whole.any(0), whole, known.any(2))[:, :, None]
    judged = np.nan_to_num(_mean(stacked, judges))
    judged /= np.maximum(judged.sum(1, keepdims=True), np.finfo(np.float64).tiny)
    mass = np.where(known, judged, 0.0).sum(2, keepdims=True)
    scaled: NDArray[np.float64] = stacked * mass
    return scaled


def in_order(values: Floats, labels: Sequence[str], wanted: Sequence[str]) -> Floats:
    """Columns of a model's labels in the order wanted; NaN for labels it does not know."""
    place = {label: column for column, label in enumerate(labels)}
    ordered = np.full_like(values, np.nan, shape=(len(values), len(wanted)))
    for column, label in enumerate(wanted):
        if label in place:
            ordered[:, column] = values[:, place[label]]
    return ordered
