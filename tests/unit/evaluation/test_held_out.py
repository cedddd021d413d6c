"""A teacher beside its undistilled student on texts that neither has seen."""

from __future__ import annotations

import numpy as np
import pytest

from models.evaluation.held_out import compare, cross_fitted_decisions
from models.evaluation.metrics import Counts
from models.evaluation.sliced_metrics import GoldRows, SliceCounts
from models.tasks import Target

TARGET = Target(precision=0, recall=0)


def evidence(gold: list[bool], known: list[bool] | None = None) -> GoldRows:
    count = len(gold)
    return GoldRows(
        np.zeros(count, np.int32), np.full(count, "chat"), np.ones(count, np.int64), np.array(gold)[:, None],
        np.array(known or [True] * count)[:, None], np.arange(count),
    )  # fmt: skip


def test_a_row_is_decided_by_the_threshold_of_the_other_half() -> None:
    scores = np.array([0.1, 0.6, 0.3, 0.8, 0.2, 0.7, 0.4, 0.9], np.float32)[:, None]
    gold = [False, False, True, True, False, False, True, True]
    decisions = cross_fitted_decisions(scores, evidence(gold), [TARGET], "multi_label", 1)
    # Even rows part at .25, odd ones at .75; each half is decided by what the other one found.
    assert decisions[::2, 0].tolist() == [False, False, False, False]
    assert decisions[1::2, 0].tolist() == [True, True, True, True]


def test_too_few_positives_in_a_half_leave_the_first_threshold() -> None:
    scores = np.array([0.4, 0.4, 0.6, 0.6], np.float32)[:, None]
    decisions = cross_fitted_decisions(scores, evidence([True, True, True, False]), [TARGET], "multi_label", 3)
    assert decisions[:, 0].tolist() == [False, False, True, True]


def test_of_classes_only_the_likeliest_is_decided() -> None:
    scores = np.array([[0.5, 0.3, 0.2], [0.2, 0.3, 0.5]] * 3, np.float32)
    gold = scores == scores.max(axis=1, keepdims=True)
    rows = GoldRows(
        np.zeros(6, np.int32), np.full(6, "chat"), np.ones(6, np.int64), gold, np.ones_like(gold), np.arange(6)
    )
    decisions = cross_fitted_decisions(scores, rows, [TARGET] * 3, "multi_class", 1)
    assert (decisions.sum(axis=1) <= 1).all()
    assert not (decisions & ~gold).any()


def slice_of(day: int, counts: Counts) -> SliceCounts:
    """One scene and label, in which no text comes twice."""
    return SliceCounts(day, "chat", "asks", counts, counts)


@pytest.mark.parametrize(("hits", "weak"), [(5, False), (4, True), (3, True)])
def test_a_teacher_that_does_not_beat_its_student_is_weak(hits: int, weak: bool) -> None:
    """The student finds four of six."""
    student = [slice_of(0, Counts(3, 0, 1, 10)), slice_of(1, Counts(1, 0, 1, 5))]
    found = compare([slice_of(0, Counts(hits, 0, 6 - hits, 15))], student)
    assert found is not None
    assert (found.rows, found.positives, found.weak) == (21, 6, weak)
    assert f"{found.teacher_f1:.3f}" in found.figures
    assert f"{found.student_f1:.3f}" in found.figures


def test_where_no_label_holds_nobody_can_tell() -> None:
    empty = [slice_of(0, Counts(0, 1, 0, 5))]
    assert compare(empty, empty) is None
    assert compare([], []) is None
