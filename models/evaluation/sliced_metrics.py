"""How well a model agrees with its gold on some days: by day, scene and label, counted by occurrence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.evaluation.metrics import Counts, Quality, count, macro
from models.evaluation.predictions import FIRST_THRESHOLD
from models.evaluation.threshold_search import SearchedThreshold, search
from models.tasks import Target


@dataclass(frozen=True, slots=True)
class GoldRows:
    """Rows of some days with their gold.

    Attributes:
        days: (n,) int32, any numbering of days.
        scenes: (n,) names.
        weight: (n,) int64, how often the row occurs.
        gold: (n, labels) bool.
        known: (n, labels) bool, False where the gold says nothing of a label.
    """

    days: NDArray[np.int32]
    scenes: NDArray[np.str_]
    weight: NDArray[np.int64]
    gold: NDArray[np.bool_]
    known: NDArray[np.bool_]

    def where(self, rows: NDArray[np.bool_]) -> GoldRows:
        """The chosen rows only."""
        return GoldRows(self.days[rows], self.scenes[rows], self.weight[rows], self.gold[rows], self.known[rows])

    def __len__(self) -> int:
        return len(self.days)


@dataclass(frozen=True, slots=True)
class SliceCounts:
    """The counts of one day, scene and label."""

    day: int
    scene: str
    label: str
    counts: Counts


def search_thresholds(
    scores: NDArray[np.float32], evidence: GoldRows, targets: Sequence[Target], fallback: float = FIRST_THRESHOLD
) -> tuple[SearchedThreshold, ...]:
    """A threshold for each label over all scenes. Scores (n, labels), targets in the labels' order."""
    thresholds = []
    for column, target in enumerate(targets):
        rows = evidence.known[:, column]
        thresholds.append(
            search(
                scores[rows, column],
                evidence.gold[rows, column],
                evidence.days[rows],
                evidence.weight[rows],
                target,
                fallback,
            )
        )
    return tuple(thresholds)


def count_by_slice(decisions: NDArray[np.bool_], evidence: GoldRows, labels: Sequence[str]) -> list[SliceCounts]:
    """Counts for every day, scene and label that has a row. Decisions (n, labels)."""
    slices = []
    places = np.unique(np.stack([evidence.days.astype(np.str_), evidence.scenes]), axis=1)
    for day_text, scene in places.T:
        day = int(day_text)
        here = (evidence.days == day) & (evidence.scenes == scene)
        for column, label in enumerate(labels):
            rows = here & evidence.known[:, column]
            if rows.any():
                counts = count(decisions[rows, column], evidence.gold[rows, column], evidence.weight[rows])
                slices.append(SliceCounts(day, str(scene), label, counts))
    return slices


def by_label(slices: Sequence[SliceCounts]) -> dict[str, Quality]:
    """Each label's quality over all days and scenes together; a label whose gold never holds is left out."""
    sums: dict[str, Counts] = {}
    for cut in slices:
        sums[cut.label] = sums.get(cut.label, Counts(0, 0, 0, 0)) + cut.counts
    return {label: quality for label, counts in sums.items() if (quality := counts.quality) is not None}


def micro_average(slices: Sequence[SliceCounts]) -> Quality | None:
    """The quality of all labels' decisions counted together; None where the gold never holds."""
    return sum((cut.counts for cut in slices), Counts(0, 0, 0, 0)).quality


def macro_average(slices: Sequence[SliceCounts]) -> Quality | None:
    """The macro average over the labels whose gold holds somewhere; None where it never does."""
    return macro(by_label(slices).values())
