"""Counts of agreement, and what follows from them."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from models.evaluation.metrics import Counts, Quality, count, count_distinct, macro, wilson

ROWS = st.lists(st.tuples(st.booleans(), st.booleans(), st.integers(1, 1000)))


@given(ROWS)
@settings(deadline=None)
def test_counting_is_adding_row_by_row(rows: list[tuple[bool, bool, int]]) -> None:
    cells = {(True, True): 0, (True, False): 0, (False, True): 0, (False, False): 0}
    for predicted, gold, weight in rows:
        cells[predicted, gold] += weight
    arrays = [np.array([row[at] for row in rows], kind) for at, kind in enumerate((bool, bool, np.int64))]
    assert count(*arrays) == Counts(
        tp=cells[True, True], fp=cells[True, False], fn=cells[False, True], tn=cells[False, False]
    )
    assert count(*arrays[:2]) == count(*arrays[:2], np.ones(len(rows), np.int64))


@given(ROWS, st.integers(0, 20))
@settings(deadline=None)
def test_counts_of_parts_add_up_to_those_of_the_whole(rows: list[tuple[bool, bool, int]], cut: int) -> None:
    def counted(part: list[tuple[bool, bool, int]]) -> Counts:
        return count(*(np.array([row[at] for row in part], bool) for at in (0, 1)))

    assert counted(rows[:cut]) + counted(rows[cut:]) == counted(rows)


def test_quality_by_hand() -> None:
    assert Counts(tp=3, fp=1, fn=2, tn=9).quality == Quality(3 / 4, 3 / 5, 6 / 9)


def test_there_is_no_quality_where_the_gold_never_holds() -> None:
    assert Counts(tp=0, fp=5, fn=0, tn=5).quality is None


def test_predicting_nothing_of_something_is_worth_nothing() -> None:
    assert Counts(tp=0, fp=0, fn=5, tn=5).quality == Quality(0.0, 0.0, 0.0)


@given(*[st.integers(0, 100)] * 3, st.integers(1, 100))
@settings(deadline=None)
def test_f1_is_the_harmonic_mean_of_precision_and_recall(fp: int, fn: int, tn: int, tp: int) -> None:
    quality = Counts(tp, fp, fn, tn).quality
    assert quality is not None
    assert quality.f1 == pytest.approx(2 / (1 / quality.precision + 1 / quality.recall))


def test_macro_is_the_mean_of_each_measure() -> None:
    assert macro([Quality(1.0, 0.5, 0.6), Quality(0.0, 0.5, 0.2)]) == Quality(0.5, 0.5, 0.4)
    assert macro([]) is None


def test_wilson_agrees_with_a_published_example() -> None:
    """81 of 263: 0.2553 to 0.3662 (Newcombe 1998, table I, method 3)."""
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 0) == (0.0, 1.0)


@given(st.integers(0, 500), st.integers(0, 500), st.sampled_from([0.8, 0.95, 0.99]))
def test_wilson_is_scipys(successes: int, failures: int, level: float) -> None:
    trials = successes + failures
    if trials:
        wanted = binomtest(successes, trials).proportion_ci(level, method="wilson")
        z = NormalDist().inv_cdf(0.5 + level / 2)
        assert wilson(successes, trials, z) == pytest.approx((wanted.low, wanted.high), abs=1e-9)


@given(st.integers(0, 1000), st.integers(1, 1000))
@settings(deadline=None)
def test_a_wilson_interval_holds_its_share_and_mirrors_its_complement(successes: int, trials: int) -> None:
    successes = min(successes, trials)
    low, high = wilson(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1 or successes in (0, trials)
    assert low < high
    assert wilson(trials - successes, trials) == pytest.approx((1 - high, 1 - low))
    wider = wilson(successes, trials, z=3.0)
    assert wider[1] - wider[0] > high - low


@given(ROWS, st.integers(1, 5))
@settings(deadline=None)
def test_a_text_counts_once_however_often_it_is_there(rows: list[tuple[bool, bool, int]], times: int) -> None:
    predicted, gold = (np.array([row[at] for row in rows] * times, bool) for at in (0, 1))
    texts = np.array(list(range(len(rows))) * times, np.int64)
    assert count_distinct(predicted, gold, texts) == count(predicted[: len(rows)], gold[: len(rows)])
