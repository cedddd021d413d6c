"""Trust per label: as far as the teacher beats the undistilled student, on the same resampled texts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.evaluation.label_trust import LabelTrust, none_trusted, trust_labels, untrusted
from models.evaluation.sliced_metrics import GoldRows

LABELS = ("a", "b")


def evidence_of(gold: NDArray[np.bool_], known: NDArray[np.bool_] | None = None) -> GoldRows:
    count = len(gold)
    known = np.ones(gold.shape, np.bool_) if known is None else known
    return GoldRows(
        np.zeros(count, np.int32), np.full(count, "s"), np.ones(count, np.int64), gold, known, np.arange(count)
    )


def flipped(gold: NDArray[np.bool_], share: float, seed: int) -> NDArray[np.bool_]:
    """Decisions that are wrong for a share of the rows."""
    return gold ^ (np.random.default_rng(seed).random(gold.shape) < share)


def gold_of(rows: int = 400, seed: int = 1) -> NDArray[np.bool_]:
    return np.random.default_rng(seed).random((rows, 2)) < 0.3


def trusted(teacher: NDArray[np.bool_], student: NDArray[np.bool_], gold: NDArray[np.bool_]) -> tuple[LabelTrust, ...]:
    return trust_labels(teacher, student, evidence_of(gold), LABELS, 10, 1)


def test_a_label_on_which_the_teacher_wins_is_taught_and_one_where_it_loses_is_not() -> None:
    gold = gold_of()
    better, worse = flipped(gold, 0.02, 2), flipped(gold, 0.3, 3)
    teacher = np.stack([better[:, 0], worse[:, 1]], axis=1)
    student = np.stack([worse[:, 0], better[:, 1]], axis=1)
    first, second = trusted(teacher, student, gold)
    assert first.trust == 1
    assert 0 < first.low < first.teacher_f1 - first.student_f1 < first.high
    assert second.trust == 0
    assert second.high < 0
    assert untrusted({one.label: one.trust for one in (first, second)}) == {"b"}


def test_equals_are_not_trusted() -> None:
    gold = gold_of()
    same = flipped(gold, 0.1, 2)
    assert [one.trust for one in trusted(same, same, gold)] == [0, 0]


def test_a_difference_within_chance_gives_a_part() -> None:
    """One text of four hundred: better in some resamples, equal in the others."""
    gold = gold_of()
    student = gold.copy()
    student[np.flatnonzero(gold[:, 0])[0], 0] = False
    trust = trusted(gold, student, gold)[0].trust
    assert trust == pytest.approx(1 - np.exp(-1), abs=0.06)  # a text is in a resample with this probability


def test_a_rare_label_goes_with_all_labels_together() -> None:
    gold = gold_of()
    gold[:, 1] = False
    gold[:3, 1] = True
    teacher, student = flipped(gold, 0.02, 2), flipped(gold, 0.3, 3)
    teacher[:, 1] = student[:, 1] = gold[:, 1]  # of the rare one nothing is known
    first, rare = trusted(teacher, student, gold)
    assert first.trust == 1
    assert rare.trust == 1
    assert rare.positives == 3


def test_answers_that_are_missing_do_not_count() -> None:
    gold = gold_of()
    known = np.ones(gold.shape, np.bool_)
    known[200:, 0] = False
    teacher, student = flipped(gold, 0.05, 2), flipped(gold, 0.2, 3)
    student[200:, 0] = gold[200:, 0]
    teacher[200:, 0] = ~gold[200:, 0]
    first = trust_labels(teacher, student, evidence_of(gold, known), LABELS, 10, 1)[0]
    assert first.texts == 200
    assert first.trust > 0.9


def test_a_label_without_a_positive_says_nothing_and_fails_nothing() -> None:
    gold = np.zeros((30, 2), np.bool_)
    assert [one.trust for one in trusted(gold, gold, gold)] == [0, 0]
    assert trust_labels(gold[:0], gold[:0], evidence_of(gold[:0]), LABELS, 10, 1)[0].texts == 0


def test_none_is_trusted_only_where_that_is_known() -> None:
    assert none_trusted({"a": 0.0, "b": 0.0})
    assert not none_trusted({"a": 0.0, "b": 0.1})
    assert not none_trusted({})


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.floats(0, 0.4), st.floats(0, 0.4))
def test_trust_is_a_share_and_the_better_one_has_it(seed: int, wrong: float, wrong_too: float) -> None:
    gold = gold_of(120, seed)
    teacher, student = flipped(gold, wrong, seed + 1), flipped(gold, wrong_too, seed + 2)
    for forth, back in zip(trusted(teacher, student, gold), trusted(student, teacher, gold), strict=True):
        assert 0 <= forth.trust <= 1
        assert forth.trust == 0 or back.trust == 0
