"""How far a teacher is to be trusted, label by label: as far as it beats the student that learnt without it.

Both learnt from the same annotated rows and are held to annotators on others. The difference of their F1 is looked at
in resamples of these texts, both models on the same ones (the paired bootstrap; Efron and Tibshirani 1993, chapter 16;
for classifiers Berg-Kirkpatrick et al. 2012).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.evaluation.sliced_metrics import GoldRows

TrustByLabel: TypeAlias = Mapping[str, float]
"""0 to 1 by label; empty: all labels are trusted, for nobody could tell or somebody said so."""

RESAMPLES = 1000
INTERVAL = 0.9
TRUST_VERSION = "1"
"""Raised where the same decisions give another trust."""


@dataclass(frozen=True, slots=True)
class LabelTrust:
    """What is known of a teacher on one label, on annotated texts that it has not seen.

    Attributes:
        label: The label.
        trust: 0 to 1: twice the share of resamples in which the teacher is the better, less one; 0 where it is the
            worse one more often than not.
        teacher_f1: The teacher's F1.
        student_f1: That of the undistilled student.
        low: The lower end of the 90% interval of their difference.
        high: Its upper end.
        texts: Distinct texts that annotators answered.
        positives: Those among them for which the label holds.
    """

    label: str
    trust: float
    teacher_f1: float
    student_f1: float
    low: float
    high: float
    texts: int
    positives: int

    @property
    def words(self) -> str:
        """In a few words."""
        return (
            f"{self.label} {self.trust:.2f} (F1 {self.teacher_f1:.3f}, without the teacher {self.student_f1:.3f}; "
            f"difference {self.low:+.3f} to {self.high:+.3f}, {self.positives} positives)"
        )


def trust_labels(
    teacher: NDArray[np.bool_], student: NDArray[np.bool_], evidence: GoldRows, labels: Sequence[str],
    min_positives: int, seed: int,
) -> tuple[LabelTrust, ...]:  # fmt: skip
    """The trust in each label.

    Args:
        teacher: The teacher's decisions, (texts, labels).
        student: The undistilled student's.
        evidence: The annotators' answers, a row a distinct text.
        labels: Their names.
        min_positives: A label with fewer positive texts tells too little by itself: it gets the trust of all labels
            together, by macro F1.
        seed: Of the resamples.
    """
    known = evidence.known
    cells = {name: _cells(one, evidence) for name, one in {"teacher": teacher, "student": student}.items()}
    if not len(known):
        return tuple(LabelTrust(label, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0) for label in labels)
    random = np.random.default_rng(seed)
    drawn = random.multinomial(len(known), np.full(len(known), 1 / len(known)), RESAMPLES)
    resampled = {name: np.stack([drawn @ cell for cell in one]) for name, one in cells.items()}
    whole = {name: _f1(np.stack([cell.sum(0) for cell in one])) for name, one in cells.items()}
    f1 = {name: _f1(one) for name, one in resampled.items()}
    difference = f1["teacher"] - f1["student"]  # (resamples, labels); NaN where a resample has no positive
    together = _trust(np.nanmean(np.where(np.isnan(difference).all(1, keepdims=True), 0, difference), axis=1))
    positives = (evidence.gold & known).sum(0)
    found = []
    for at, label in enumerate(labels):
        own = difference[:, at][~np.isnan(difference[:, at])]
        alone = positives[at] >= min_positives
        low, high = np.quantile(own, [(1 - INTERVAL) / 2, (1 + INTERVAL) / 2]) if len(own) else (0.0, 0.0)
        teacher_f1, student_f1 = (float(np.nan_to_num(whole[name][at])) for name in ("teacher", "student"))
        trust = _trust(own) if alone else together
        seen = int(known[:, at].sum()), int(positives[at])
        found.append(LabelTrust(label, trust, teacher_f1, student_f1, float(low), float(high), *seen))
    return tuple(found)


def as_mapping(trusts: Iterable[LabelTrust]) -> dict[str, float]:
    """Trust by label."""
    return {one.label: one.trust for one in trusts}


def untrusted(trust: TrustByLabel) -> frozenset[str]:
    """The labels that the teacher must not teach."""
    return frozenset(label for label, value in trust.items() if value <= 0)


def none_trusted(trust: TrustByLabel) -> bool:
    """Whether the teacher is known to be worth nothing on any label."""
    return bool(trust) and all(value <= 0 for value in trust.values())


def _cells(decisions: NDArray[np.bool_], evidence: GoldRows) -> list[NDArray[np.float64]]:
    """True positives, false positives and false negatives of each text, (texts, labels) each."""
    gold, known = evidence.gold, evidence.known
    return [(cell & known).astype(np.float64) for cell in (decisions & gold, decisions & ~gold, ~decisions & gold)]


def _f1(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """F1 of counts (3, …): true positives, false positives, false negatives; NaN where the gold never holds."""
    tp, fp, fn = counts
    with np.errstate(divide="ignore", invalid="ignore"):
        f1: NDArray[np.float64] = np.where(tp + fn > 0, 2 * tp / (2 * tp + fp + fn), np.nan)
    return f1


def _trust(differences: NDArray[np.float64]) -> float:
    """Twice the share of resamples that the teacher wins, ties counted half, less one; at least 0."""
    if not len(differences):
        return 0.0
    better = float(((differences > 0) + 0.5 * (differences == 0)).mean())
    return max(0.0, round(2 * better - 1, 4))
