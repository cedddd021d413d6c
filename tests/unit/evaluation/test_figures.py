"""Averages over labels, each by its exact name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation.figures import Averaged, Figure, averaged, averages, figures_of, headline, named
from models.evaluation.metrics import Counts, Quality

COUNTS = st.builds(Counts, *[st.integers(0, 9)] * 4)
TASKS = st.dictionaries(st.sampled_from("abcdef"), COUNTS, min_size=1)


def figure(average: str, labels: int = 2, left_out: int = 0, **values: str) -> Figure:
    place = {"model": "student", "gold": "human", "part": "test", "weight": "text"} | values
    return Figure(**place, averaged=Averaged(average, labels, left_out, Quality(0.5, 0.25, 1 / 3)))  # type: ignore[arg-type]


@given(TASKS)
def test_every_label_is_in_an_average_or_counted_as_left_out(counts: dict[str, Counts]) -> None:
    for one in averages(counts):
        assert one.labels + one.left_out == len(counts)
        assert one.labels > 0


@given(TASKS)
def test_the_macro_average_is_the_mean_of_the_labels_that_the_gold_holds_for(counts: dict[str, Counts]) -> None:
    f1 = [one.quality.f1 for one in counts.values() if one.quality]
    found = {one.average: one for one in averages(counts)}
    assert set(found) == (set() if not f1 else {"positives"} if len(counts) == 1 else {"macro", "micro"})
    if f1:
        mean = found.get("macro") or found["positives"]
        assert mean.labels == len(f1)
        assert mean.quality.f1 == pytest.approx(sum(f1) / len(f1))


@given(TASKS.filter(lambda counts: len(counts) > 1))
def test_the_micro_average_is_that_of_all_decisions_as_if_of_one_label(counts: dict[str, Counts]) -> None:
    micro = [one for one in averages(counts) if one.average == "micro"]
    tp, fp, fn = (sum(getattr(one, name) for one in counts.values()) for name in ("tp", "fp", "fn"))
    for one in micro:
        assert one.quality.f1 == pytest.approx(2 * tp / (2 * tp + fp + fn))
    assert bool(micro) == bool(tp + fn)


def test_a_figure_says_what_it_is_and_over_how_many_labels() -> None:
    assert named(figure("macro", 1, 49)) == "macro F1 over 1 of 50 labels"
    assert named(figure("macro", 17)) == "macro F1"
    assert named(figure("micro")) == "micro F1"
    assert named(figure("positives", 1)) == "F1 of positives"


@given(st.lists(st.sampled_from([
    figure(average, part=part, weight=weight) for average in ("macro", "micro") for part in ("test", "test_unseen")
    for weight in ("text", "row")
]), unique=True))  # fmt: skip
def test_a_row_of_rounds_gives_its_figures_back(figures: list[Figure]) -> None:
    assert figures_of({"figures": [one.as_row() for one in figures], "metrics": []}) == figures


def test_a_round_of_an_earlier_version_has_macro_averages_by_occurrence() -> None:
    metric = {"model": "student", "gold": "teacher", "part": "test", "precision": 0.5, "recall": 0.25, "f1": 0.3}
    (one,) = figures_of({"figures": None, "metrics": [metric]})
    assert (one.weight, one.averaged.average, one.f1, named(one)) == ("occurrence", "macro", 0.3, "macro F1")


def test_the_headline_is_the_macro_average_or_what_a_single_label_comes_to() -> None:
    both = [figure("micro"), figure("macro")]
    assert headline(both, "student", "human", "test", "text") == both[1]
    assert headline(both, "student", "human", "test") is None
    alone = [figure("positives", 1)]
    assert headline(alone, "student", "human", "test", "text") == alone[0]
    assert averaged(both, "student", "human", "test", "micro", "text") == both[0]
