"""The found threshold against every threshold there is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.evaluation.metrics import Counts, Quality, count
from models.evaluation.threshold_search import SearchedThreshold, search
from models.tasks import Target

# Coarse scores, so that many are equal; and scores that are neighbours as float32.
SCORE = st.one_of(
    st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]),
    st.integers(0, 2).map(lambda steps: float(np.float32(0.5) + steps * np.spacing(np.float32(0.5)))),
    st.sampled_from([float(np.finfo(np.float32).smallest_subnormal), 1e-30]),
    st.floats(0, 1, width=32),
)
ROW = st.tuples(SCORE, st.booleans(), st.integers(1, 3), st.integers(1, 9))
ROWS = st.lists(ROW, min_size=1, max_size=30)
SHARE = st.sampled_from([0.0, 0.3, 0.5, 0.55, 0.6, 0.7, 0.8, 0.85, 0.9, 1.0])
DEFAULT = Target()
TARGET = st.builds(Target, precision=SHARE, recall=SHARE)


def arrays(rows: list[tuple[float, bool, int, int]]) -> dict[str, Any]:
    scores, gold, days, weight = zip(*rows, strict=True)
    return {
        "scores": np.array(scores, np.float32),
        "gold": np.array(gold, bool),
        "days": np.array(days, np.int32),
        "weight": np.array(weight, np.int64),
    }


def find(rows: list[tuple[float, bool, int, int]], target: Target = DEFAULT) -> SearchedThreshold:
    return search(**arrays(rows), target=target)


def every_cut(rows: list[tuple[float, bool, int, int]]) -> list[Quality]:
    data = arrays(rows)
    found = []
    for cut in np.unique(data["scores"]):
        quality = count(data["scores"] >= cut, data["gold"], data["weight"]).quality
        assert quality is not None
        found.append(quality)
    return found


def reaches(quality: Quality, target: Target) -> bool:
    return quality.precision >= target.precision and quality.recall >= target.recall


@given(ROWS, TARGET)
@settings(max_examples=400, deadline=None)
def test_deciding_by_the_value_gives_the_reported_counts(rows: list[Any], target: Target) -> None:
    found, data = find(rows, target), arrays(rows)
    in_sql = data["scores"].astype(np.float64) >= found.value  # Spark compares a float with a double as doubles
    assert count(in_sql, data["gold"], data["weight"]) == found.counts
    assert float(np.float32(found.value)) == found.value
    assert 0 <= found.value <= 1


@given(ROWS.filter(lambda rows: any(row[1] for row in rows)), TARGET)
@settings(max_examples=600, deadline=None)
@example([(0.5, True, 1, 7), (0.5, False, 1, 18)], Target(precision=0.28, recall=1.0))
def test_no_threshold_is_better_than_the_found_one(rows: list[Any], target: Target) -> None:
    found, cuts = find(rows, target), every_cut(rows)
    reaching = [quality for quality in cuts if reaches(quality, target)]
    quality = found.counts.quality
    assert quality is not None
    assert quality.f1 == pytest.approx(max(cut.f1 for cut in reaching or cuts), abs=1e-12)
    assert found.method == ("target" if reaching else "f1")
    if reaching:
        assert reaches(quality, target)


@given(ROWS, TARGET)
@settings(max_examples=200, deadline=None)
def test_the_worst_day_is_the_worst_of_the_days(rows: list[Any], target: Target) -> None:
    found, data = find(rows, target), arrays(rows)
    predicted = data["scores"] >= np.float32(found.value)
    days = [data["days"] == day for day in (1, 2, 3)]
    judged = [count(predicted[day], data["gold"][day], data["weight"][day]).quality for day in days]
    qualities = [quality for quality in judged if quality is not None]
    assert found.worst_precision == min((one.precision for one in qualities), default=None)
    assert found.worst_recall == min((one.recall for one in qualities), default=None)


def test_a_value_lies_half_way_between_two_scores() -> None:
    assert find([(0.75, True, 1, 1), (0.25, False, 1, 1)]).value == 0.5


def test_equal_scores_are_never_parted() -> None:
    found = find([(0.5, True, 1, 1), (0.5, False, 1, 3), (0.25, False, 1, 1)])
    assert found.counts == Counts(tp=1, fp=3, fn=0, tn=1)
    assert found.value == 0.375


def test_of_equal_f1_the_higher_threshold_is_taken() -> None:
    """Both cuts have F1 2/3: one of two found, or both with two that are wrong."""
    rows = [(0.9, True, 1, 1), (0.5, True, 1, 1), (0.5, False, 1, 2)]
    assert find(rows).counts == Counts(tp=1, fp=0, fn=1, tn=2)


def test_neighbours_as_float32_are_told_apart() -> None:
    low = float(np.nextafter(np.float32(0.5), np.float32(0)))
    found = find([(0.5, True, 1, 1), (low, False, 1, 1)])
    assert found.counts == Counts(tp=1, fp=0, fn=0, tn=1)
    assert low < found.value <= 0.5


def test_a_target_reached_beats_a_better_f1() -> None:
    rows = [(0.9, True, 1, 6), (0.5, True, 1, 4), (0.5, False, 1, 1)]
    assert find(rows, Target(precision=0.5, recall=0.5)).counts.tp == 10
    assert find(rows, Target(precision=1.0, recall=0.5)).counts == Counts(tp=6, fp=0, fn=4, tn=1)


def test_without_a_positive_there_is_nothing_to_search() -> None:
    found = find([(0.7, False, 1, 2), (0.1, False, 2, 1)])
    assert (found.value, found.method) == (0.5, "default")
    assert (found.worst_precision, found.worst_recall) == (None, None)
    assert found.counts == Counts(tp=0, fp=2, fn=0, tn=1)
    assert found.recall_interval == (0.0, 1.0)
