"""Probabilities and what may become a label of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.evaluation.predictions import first_threshold, keep_argmax, probabilities, to_logits
from models.tasks import TaskKind

LOGITS = arrays(np.float32, st.tuples(st.integers(0, 5), st.integers(1, 6)), elements=st.floats(-1e4, 1e4, width=32))


@given(LOGITS, st.floats(-100, 100))
@settings(deadline=None)
def test_of_classes_the_shares_sum_to_one_whatever_is_added_to_a_row(logits: np.ndarray, more: float) -> None:
    shares = probabilities(logits, "multi_class")
    assert shares.shape == logits.shape
    assert np.allclose(shares.sum(axis=1), 1)
    assert np.allclose(shares, probabilities(logits.astype(np.float64) + more, "multi_class"), atol=1e-6)  # type: ignore[arg-type]


def test_of_labels_each_is_judged_by_itself() -> None:
    found = probabilities(np.array([[0.0, np.log(3.0)]], np.float32), "multi_label")
    assert found == pytest.approx(np.array([[0.5, 0.75]]), abs=1e-7)


@given(LOGITS)
@settings(deadline=None)
def test_exactly_one_class_of_a_row_reaches_the_first_threshold(logits: np.ndarray) -> None:
    shares = probabilities(logits, "multi_class")
    reached = keep_argmax(shares, "multi_class") >= first_threshold("multi_class", logits.shape[1])
    assert (reached.sum(axis=1) == 1).all()
    assert (reached.argmax(axis=1) == shares.argmax(axis=1)).all()


def test_labels_do_not_compete() -> None:
    both = np.array([[0.9, 0.8]], np.float32)
    assert keep_argmax(both, "multi_label") is both
    assert keep_argmax(both, "multi_class").tolist() == [[pytest.approx(0.9), 0.0]]


def test_a_class_without_a_logit_has_no_share_and_takes_none() -> None:
    known = np.array([[2.0, -1.0], [0.5, 300.0]], np.float32)
    wider = np.insert(known, 1, np.nan, axis=1)
    found = probabilities(wider, "multi_class")
    assert np.isnan(found[:, 1]).all()
    np.testing.assert_allclose(found[:, [0, 2]], probabilities(known, "multi_class"))
    assert np.isnan(probabilities(np.full((1, 2), np.nan, np.float32), "multi_class")).all()


@given(LOGITS)
@settings(deadline=None)
def test_the_way_back_to_logits_gives_the_same_probabilities(logits: np.ndarray) -> None:
    kinds: tuple[TaskKind, ...] = ("multi_label", "multi_class")
    for kind in kinds:
        wanted = probabilities(logits, kind)
        found = probabilities(to_logits(wanted, kind).astype(np.float32), kind)
        np.testing.assert_allclose(found, wanted, atol=1e-5)
