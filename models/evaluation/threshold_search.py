"""The search of a label's threshold over the scores of several days, never assumed to be 0.5.

The objective (`search`): the best F1 among the thresholds that reach the label's target, else among all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from models.evaluation.metrics import Counts, count, count_distinct, wilson
from models.evaluation.predictions import FIRST_THRESHOLD
from models.settings_base import Frozen, Share
from models.tasks import EVERY_SCENE, Target

SEARCHING_VERSION = "1"
"""Raised where the search finds other thresholds in the same evidence: what was searched is searched again then."""


class ThresholdSettings(Frozen):
    """How much evidence a threshold needs, and how far it must move to be a new one. Evidence is distinct texts."""

    min_positives: PositiveInt = Field(
        20, description="With fewer distinct positive texts a scene uses the threshold of all scenes."
    )
    min_positives_all_scenes: PositiveInt = Field(
        5, description="With fewer distinct positive texts in all scenes together a label keeps the threshold it has."
    )
    hysteresis: Share = Field(
        0.02, description="A search that moves no threshold by more than this makes no new version."
    )


@dataclass(frozen=True, slots=True)
class SearchedThreshold:
    """A threshold with its evidence.

    Attributes:
        value: The threshold.
        counts: By occurrence, over all days.
        worst_precision: Of the worst day with gold positives, None without any; `worst_recall` likewise.
        precision_interval: Wilson's, by distinct texts; `recall_interval` likewise.
        method: `target`, `f1`, or `default` where there was too little to search in.
    """

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
    *,
    texts: NDArray[np.int64] | None = None,
    min_positives: int = 1,
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
        fallback: The threshold where fewer than `min_positives` are there: its method says so.
        texts: A number for each distinct text, (n,); by default each row is another text.
        min_positives: The fewest distinct texts that the gold holds for.
    """
    own = np.arange(len(scores)) if texts is None else texts
    rows = _Rows(scores, gold, days, weight, own)
    if len(np.unique(own[gold])) < max(min_positives, 1):
        return _evidence(fallback, rows, "default")
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
    return _evidence(value, rows, "target" if reaching.any() else "f1")


class _Rows(NamedTuple):
    """What is searched, row by row."""

    scores: NDArray[np.float32]
    gold: NDArray[np.bool_]
    days: NDArray[np.int32]
    weight: NDArray[np.int64]
    texts: NDArray[np.int64]


def _evidence(value: float, rows: _Rows, method: str) -> SearchedThreshold:
    predicted = rows.scores >= np.float32(value)
    whole = count(predicted, rows.gold, rows.weight)
    distinct = count_distinct(predicted, rows.gold, rows.texts)
    of_day = [rows.days == day for day in np.unique(rows.days)]
    daily = [count(predicted[day], rows.gold[day], rows.weight[day]) for day in of_day]
    judged = [quality for counts in daily if (quality := counts.quality) is not None]
    return SearchedThreshold(
        value=value,
        counts=whole,
        worst_precision=min((quality.precision for quality in judged), default=None),
        worst_recall=min((quality.recall for quality in judged), default=None),
        precision_interval=wilson(distinct.tp, distinct.tp + distinct.fp),
        recall_interval=wilson(distinct.tp, distinct.tp + distinct.fn),
        method=method,
    )


def moved(before: Mapping[tuple[str, str], float], after: Mapping[tuple[str, str], float], hysteresis: float) -> bool:
    """Whether a threshold, by scene and label, lies further from where it was.

    For a scene without its own that of all scenes counts.
    """
    scenes = {scene for scene, _ in [*before, *after]}
    for label in {label for _, label in after}:
        for scene in scenes:
            old, new = (found.get((scene, label), found.get((EVERY_SCENE, label))) for found in (before, after))
            if old is None or (new is not None and abs(new - old) > hysteresis):
                return True
    return False
