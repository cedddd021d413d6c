"""The search of a label's threshold over the scores of several days, never assumed to be 0.5.

The objective (`search`): the best F1 among the thresholds that reach the label's target, else among all.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from models.evaluation.metrics import Counts, count, wilson
from models.evaluation.predictions import FIRST_THRESHOLD
from models.settings_base import Frozen
from models.tasks import Target


class ThresholdSettings(Frozen):
    """When a scene gets a threshold of its own."""

    min_positives: PositiveInt = Field(
        20, description="With fewer gold positives a scene uses the threshold of all scenes."
    )


@dataclass(frozen=True, slots=True)
class SearchedThreshold:
    """A threshold with its evidence. `worst_*` are those of the worst day with gold positives, None without any."""

    value: float
    counts: Counts
    worst_precision: float | None
    worst_recall: float | None
    precision_interval: tuple[float, float]
    recall_interval: tuple[float, float]
    method: str


def search(
    scores: NDArray[np.float32],
    gold: NDArray[np.bool_],
    days: NDArray[np.int32],
    weight: NDArray[np.int64],
    target: Target,
    fallback: float = FIRST_THRESHOLD,
) -> SearchedThreshold:
    """The threshold of the best F1 among those that reach the target, else among all.

    It lies half-way between two neighbouring scores, so that no row of the evidence sits on the edge, and is a
    float32, so that SQL (which compares with a double) decides alike.

    Args:
        scores: Probabilities of one label in one scene, (n,), finite.
        gold: The gold decisions, (n,).
        days: The day of each row as a number, (n,).
        weight: How often each row occurs, (n,).
        target: The precision and recall wanted.
        fallback: The threshold where no gold positive is there: nothing can be searched then, and its method says so.
    """
    if not gold.any():
        return _evidence(fallback, scores, gold, days, weight, "default")
    order = np.argsort(-scores, kind="stable")
    ranked, hit = scores[order], gold[order]
    tp = np.cumsum(np.where(hit, weight[order], 0))
    predicted = np.cumsum(weight[order])
    cuts = np.append(ranked[1:] != ranked[:-1], True)  # a threshold cannot part equal scores
    reaching = cuts & (tp / predicted >= target.precision) & (tp / tp[-1] >= target.recall)  # as `Counts.quality`
    f1 = 2 * tp / (predicted + tp[-1])
    best = int(np.argmax(np.where(reaching if reaching.any() else cuts, f1, -1.0)))
    below = ranked[best + 1] if best + 1 < len(ranked) else np.float32(0)
    middle = np.float32((np.float64(ranked[best]) + np.float64(below)) / 2)
    value = float(middle if middle > below else ranked[best])
    return _evidence(value, scores, gold, days, weight, "target" if reaching.any() else "f1")


def _evidence(
    value: float,
    scores: NDArray[np.float32],
    gold: NDArray[np.bool_],
    days: NDArray[np.int32],
    weight: NDArray[np.int64],
    method: str,
) -> SearchedThreshold:
    predicted = scores >= np.float32(value)
    whole = count(predicted, gold, weight)
    daily = [count(predicted[days == day], gold[days == day], weight[days == day]) for day in np.unique(days)]
    judged = [quality for counts in daily if (quality := counts.quality) is not None]
    return SearchedThreshold(
        value=value,
        counts=whole,
        worst_precision=min((quality.precision for quality in judged), default=None),
        worst_recall=min((quality.recall for quality in judged), default=None),
        precision_interval=wilson(whole.tp, whole.tp + whole.fp),
        recall_interval=wilson(whole.tp, whole.tp + whole.fn),
        method=method,
    )
