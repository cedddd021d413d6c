"""A teacher and the undistilled student on annotated texts that neither has seen: whom annotators agree with more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.evaluation.metrics import Counts
from models.evaluation.predictions import decide, first_threshold, keep_argmax
from models.evaluation.sliced_metrics import GoldRows, SliceCounts, macro_average, search_thresholds
from models.tasks import Target, TaskKind


@dataclass(frozen=True, slots=True)
class HeldOutComparison:
    """What two models that learnt from the same annotated rows come to on others.

    Attributes:
        teacher_f1: The teacher's macro F1 against annotators.
        student_f1: That of the student that learnt from the annotators alone.
        rows: Distinct texts that annotators answered; of labels that they answered unlike, of the one with the most.
        positives: Labels that hold there by the annotators, over all texts.
    """

    teacher_f1: float
    student_f1: float
    rows: int
    positives: int

    @property
    def weak(self) -> bool:
        """Whether the teacher does not beat the student: whoever learns from it copies its mistakes."""
        return self.teacher_f1 <= self.student_f1

    @property
    def figures(self) -> str:
        """Both figures and their evidence, in words."""
        return (
            f"macro F1 {self.teacher_f1:.3f} against annotators, the same student without it {self.student_f1:.3f}, on "
            f"{self.rows:,} texts with {self.positives:,} positives that neither has seen"
        )


def cross_fitted_decisions(
    scores: NDArray[np.float32], evidence: GoldRows, targets: Sequence[Target], kind: TaskKind, min_positives: int
) -> NDArray[np.bool_]:
    """Decisions by thresholds that each half of the rows has from the other: no row decides about itself.

    A teacher's thresholds are searched against annotators before anyone learns from it, a student's after each round;
    at their first thresholds the two would be compared by how far each is from being calibrated.

    Args:
        scores: Probabilities, (rows, labels).
        evidence: The rows with the annotators' answers; every second one, in their order, is of one half.
        targets: In the labels' order.
        kind: The task's kind.
        min_positives: With fewer distinct positive texts in the other half a label is decided by its first threshold.
    """
    fallback, kept = first_threshold(kind, len(targets)), keep_argmax(scores, kind)
    decisions = np.zeros(scores.shape, np.bool_)
    odd = np.arange(len(scores)) % 2 == 1
    for half in (odd, ~odd):
        searched = search_thresholds(kept[~half], evidence.where(~half), targets, fallback, min_positives)
        thresholds = np.array([one.value for one in searched], np.float32)
        decisions[half] = decide(scores[half], thresholds, kind)
    return decisions


def compare(teacher: Sequence[SliceCounts], student: Sequence[SliceCounts]) -> HeldOutComparison | None:
    """The two from their counts against annotators; None where no label holds anywhere, so that nobody can tell."""
    of_teacher, of_student = macro_average(teacher), macro_average(student)
    if of_teacher is None or of_student is None:
        return None
    by_label: dict[str, Counts] = {}
    for cut in teacher:
        by_label[cut.label] = by_label.get(cut.label, Counts(0, 0, 0, 0)) + cut.counts
    rows = max(sum((one.tp, one.fp, one.fn, one.tn)) for one in by_label.values())
    return HeldOutComparison(of_teacher.f1, of_student.f1, rows, sum(one.positives for one in by_label.values()))
