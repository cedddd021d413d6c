"""How well a model agrees with its gold on some days: by day, scene and label, counted by occurrence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.evaluation.metrics import Counts, Quality, count, count_distinct, macro
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
        texts: (n,) int64, a number for each distinct text.
    """

    days: NDArray[np.int32]
    scenes: NDArray[np.str_]
    weight: NDArray[np.int64]
    gold: NDArray[np.bool_]
    known: NDArray[np.bool_]
    texts: NDArray[np.int64]

    def where(self, rows: NDArray[np.bool_]) -> GoldRows:
        """The chosen rows only."""
        return GoldRows(
            self.days[rows], self.scenes[rows], self.weight[rows], self.gold[rows], self.known[rows], self.texts[rows]
        )

    def only(self, rows: NDArray[np.bool_]) -> GoldRows:
        """The same rows, of which all but these say nothing: so they keep their places."""
        return replace(self, known=self.known & rows[:, None])

    def __len__(self) -> int:
        return len(self.days)


@dataclass(frozen=True, slots=True)
class SliceCounts:
    """The counts of one day, scene and label: by occurrence, and by distinct texts."""

    day: int
    scene: str
    label: str
    counts: Counts
    distinct: Counts


@dataclass(frozen=True, slots=True)
class Agreement:
    """How a label's decisions agree with a gold: counted by occurrence, and by distinct texts, which are evidence."""

    counts: Counts
    distinct: Counts


@dataclass(frozen=True, slots=True)
class LabelAgreement:
    """A label's agreement with a gold on each day (by its number), and over all of them together."""

    daily: Mapping[int, Agreement]
    whole: Agreement


def agreement_by_label(
    decisions: NDArray[np.bool_], evidence: GoldRows, labels: Sequence[str]
) -> dict[str, LabelAgreement]:
    """Each label's agreement over the rows where the gold says something of it. Decisions (n, labels)."""
    found = {}
    for column, label in enumerate(labels):
        known = evidence.known[:, column]
        own, decided, gold = evidence.where(known), decisions[known, column], evidence.gold[known, column]
        daily = {int(day): _agreement(decided, gold, own, own.days == day) for day in np.unique(own.days)}
        found[label] = LabelAgreement(daily, _agreement(decided, gold, own, np.ones(len(own), np.bool_)))
    return found


def whole_agreement(decisions: NDArray[np.bool_], evidence: GoldRows, labels: Sequence[str]) -> dict[str, Agreement]:
    """Each label's agreement over all rows where the gold says something of it. Decisions (n, labels)."""
    return {
        label: _agreement(decisions[:, column], evidence.gold[:, column], evidence, evidence.known[:, column])
        for column, label in enumerate(labels)
    }


def _agreement(
    decided: NDArray[np.bool_], gold: NDArray[np.bool_], evidence: GoldRows, rows: NDArray[np.bool_]
) -> Agreement:
    here, there = decided[rows], gold[rows]
    return Agreement(count(here, there, evidence.weight[rows]), count_distinct(here, there, evidence.texts[rows]))


def search_label(
    scores: NDArray[np.float32], evidence: GoldRows, column: int, target: Target, fallback: float = FIRST_THRESHOLD,
    min_positives: int = 1,
) -> SearchedThreshold:  # fmt: skip
    """A label's threshold over the rows where the gold says something of it. Scores (n, labels)."""
    rows = evidence.known[:, column]
    own = evidence.where(rows)
    return search(
        scores[rows, column], own.gold[:, column], own.days, own.weight, target, fallback, texts=own.texts,
        min_positives=min_positives,
    )  # fmt: skip


def search_thresholds(
    scores: NDArray[np.float32], evidence: GoldRows, targets: Sequence[Target], fallback: float = FIRST_THRESHOLD,
    min_positives: int = 1,
) -> tuple[SearchedThreshold, ...]:  # fmt: skip
    """A threshold for each label over all scenes. Scores (n, labels), targets in the labels' order."""
    searched = (search_label(scores, evidence, at, one, fallback, min_positives) for at, one in enumerate(targets))
    return tuple(searched)


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
                cell = _agreement(decisions[:, column], evidence.gold[:, column], evidence, rows)
                slices.append(SliceCounts(day, str(scene), label, cell.counts, cell.distinct))
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
