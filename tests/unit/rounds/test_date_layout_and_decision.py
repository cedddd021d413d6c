"""The four windows of days, and what follows a round."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import DataError
from models.evaluation.figures import Averaged, Figure
from models.evaluation.metrics import Counts, Quality
from models.evaluation.sliced_metrics import Agreement
from models.rounds.date_layout import PARTS, DateLayout, RoundSettings, lay_out
from models.rounds.round_decision import decide, loses, qualities_to_judge, seed_margin, weak_teacher
from models.tasks import Target

SMALL = RoundSettings(threshold_days=1, test_days=2, gate_days=3, min_train_days=2)
FIRST = date(2026, 1, 1)
LABELS = ("asks", "got", "gone")


def members(layout: DateLayout, days: list[date]) -> dict[str, list[date]]:
    return {part: [day for day in sorted(set(days)) if day in layout.window(part)] for part in PARTS}


@given(
    st.lists(st.dates(FIRST, date(2026, 12, 31)), min_size=8, max_size=80).filter(lambda days: len(set(days)) >= 8),
)
@settings(deadline=None)
def test_every_day_is_in_exactly_one_window(days: list[date]) -> None:
    parts = members(lay_out(dict.fromkeys(days, 100), SMALL), days)
    assert [day for part in PARTS for day in parts[part]] == sorted(set(days))
    assert [len(parts[part]) for part in PARTS[1:]] == [1, 2, 3]
    assert len(parts["train"]) >= 2


def test_the_gate_is_the_most_recent_week() -> None:
    days = [FIRST + timedelta(days=at) for at in range(63)]
    layout = lay_out(dict.fromkeys(days, 100), RoundSettings())
    assert members(layout, days)["gate"] == days[-7:]
    assert layout.train.first == FIRST
    assert len(members(layout, days)["train"]) == 42


@pytest.mark.parametrize(
    ("days", "sizes"),
    [(2, (1, 0, 1, 0)), (3, (2, 0, 1, 0)), (5, (2, 1, 1, 1)), (34, (16, 6, 6, 6)), (35, (14, 7, 7, 7))],
)
def test_windows_that_nobody_set_grow_with_the_days(days: int, sizes: tuple[int, ...]) -> None:
    every = [FIRST + timedelta(days=at) for at in range(days)]
    parts = members(lay_out(dict.fromkeys(every, 100), RoundSettings()), every)
    assert tuple(len(parts[part]) for part in PARTS) == sizes
    assert [day for part in PARTS for day in parts[part]] == every


def test_windows_that_are_set_stay_as_they_are() -> None:
    days = dict.fromkeys([FIRST + timedelta(days=at) for at in range(6)], 100)
    with pytest.raises(DataError, match=r"got 6 days with texts, expected at least 9 \(rounds.min_train_days 2"):
        lay_out(days, RoundSettings(test_days=5))
    assert lay_out(days, RoundSettings(gate_days=0)).test.last == FIRST + timedelta(days=5)


def test_one_day_is_no_labelled_set() -> None:
    with pytest.raises(DataError, match="got 1 days"):
        lay_out({FIRST: 100}, RoundSettings())


def test_a_window_of_no_days_holds_none_and_takes_none() -> None:
    one_and_one = RoundSettings(threshold_days=0, test_days=1, gate_days=0, min_train_days=1)
    days = [FIRST, FIRST + timedelta(days=5)]
    layout = lay_out(dict.fromkeys(days, 100), one_and_one)
    assert members(layout, days) == {"train": days[:1], "threshold": [], "test": days[1:], "gate": []}
    assert layout.train
    assert layout.test
    assert not layout.threshold
    assert not layout.gate


def test_days_without_texts_count_for_no_window() -> None:
    days = [FIRST + timedelta(days=2 * at) for at in range(8)]
    layout = lay_out(dict.fromkeys(days, 100), SMALL)
    assert (layout.gate.first, layout.gate.last) == (days[5], days[7])


def test_days_with_hardly_a_text_move_no_window() -> None:
    """Records of a wrong clock: before anything was, and years ahead."""
    days = [FIRST + timedelta(days=at) for at in range(8)]
    texts: dict[date, int | None] = dict.fromkeys(days, 1000) | {date(2001, 1, 1): 3, date(2031, 1, 1): 19}
    layout = lay_out(texts, SMALL)
    assert layout == lay_out(dict.fromkeys(days, 1000), SMALL)
    assert lay_out(texts | {date(2031, 1, 1): 20}, SMALL).gate.last == date(2031, 1, 1)
    assert lay_out(texts | {date(2031, 1, 1): None}, SMALL).gate.last == date(2031, 1, 1), "its log does not say"


def test_training_may_be_bounded_to_its_latest_days() -> None:
    days = [FIRST + timedelta(days=at) for at in range(20)]
    layout = lay_out(dict.fromkeys(days, 100), SMALL.model_copy(update={"train_days": 5}))
    assert members(layout, days)["train"] == days[9:14]
    assert lay_out(dict.fromkeys(days[:8], 100), SMALL.model_copy(update={"train_days": 5})).train.first == FIRST


def test_too_few_days_are_refused_with_both_numbers() -> None:
    days = [FIRST + timedelta(days=at) for at in range(7)]
    with pytest.raises(DataError, match="got 7 days with texts, expected at least 8"):
        lay_out(dict.fromkeys([*days, *days], 100), SMALL)


TARGETS = {"asks": Target(precision=0.8, recall=0.7), "got": Target(precision=0.5, recall=0.5)}
GOOD = {"asks": Quality(0.8, 0.7, 0.75), "got": Quality(0.5, 0.5, 0.5)}


def test_a_round_that_reaches_every_target_is_promoted_even_the_last() -> None:
    for number in (1, 2, 3):
        assert decide(number, GOOD, TARGETS, SMALL).action == "promote"


def figure(model: str, gold: str, part: str, f1: float) -> Figure:
    return Figure(model, gold, part, "occurrence", Averaged("macro", 2, 0, Quality(f1, f1, f1)))


@pytest.mark.parametrize(
    ("teacher", "undistilled", "found"),
    [(0.8, 0.7, None), (0.7, 0.7, (0.7, 0.7)), (0.4, 0.8, (0.4, 0.8)), (None, 0.7, None), (0.8, None, None)],
)
@pytest.mark.parametrize("part", ["test_unseen", "test_chosen"])
def test_a_teacher_that_annotators_agree_with_no_more_than_with_a_student_alone_is_told(
    teacher: float | None, undistilled: float | None, found: tuple[float, float] | None, part: str
) -> None:
    both = (("teacher", teacher), ("undistilled", undistilled))
    rows = [figure(model, "human", part, f1) for model, f1 in both if f1 is not None]
    elsewhere = [figure("teacher", "human", "test", 0.0), figure("undistilled", "human", "test_seen", 0.9)]
    weak = weak_teacher([*rows, *elsewhere])
    assert (None if weak is None else tuple(one.f1 for one in weak)) == found


@pytest.mark.parametrize("short", [Quality(0.79, 0.9, 0.8), Quality(0.9, 0.69, 0.8), None])
def test_a_label_below_its_target_asks_for_another_round_while_there_is_one(short: Quality | None) -> None:
    qualities = {"got": GOOD["got"]} | ({"asks": short} if short else {})
    first, last = (decide(number, qualities, TARGETS, SMALL) for number in (1, 2))
    assert (first.action, first.sampling) == ("go_on", "random")
    assert (last.action, last.sampling) == ("stop", None)
    for decision in (first, last):
        assert "asks" in decision.reason
        assert "got" not in decision.reason


def test_each_round_draws_by_its_strategy_and_later_ones_by_the_last() -> None:
    named = RoundSettings(rounds=9, sampling=("random", "annotated", "random"))
    assert [named.sampling_of(number) for number in (1, 2, 3, 4)] == ["random", "annotated", "random", "random"]
    assert decide(1, {}, TARGETS, named).sampling == "annotated"


@given(
    st.integers(1, 4), st.lists(st.tuples(*[st.sampled_from([0.4, 0.5, 0.7, 0.8, 1.0])] * 2), min_size=2, max_size=2)
)
@settings(deadline=None)
def test_a_better_round_is_never_decided_worse(number: int, shares: list[tuple[float, float]]) -> None:
    qualities = {name: Quality(*share, 0.0) for name, share in zip(TARGETS, shares, strict=True)}
    better = {name: Quality(1.0, it.recall, 0.0) for name, it in qualities.items()}
    if decide(number, qualities, TARGETS, SMALL).action == "promote":
        assert decide(number, better, TARGETS, SMALL).action == "promote"


def both_f1(teacher: tuple[float, float], human: tuple[float, float] | None = None) -> list[Figure]:
    pairs = {"teacher": teacher} | ({"human": human} if human else {})
    return [
        figure(model, gold, part, f1 if part == "test_unseen" else 0.5)
        for gold, both in pairs.items()
        for part in ("test", "test_unseen")
        for model, f1 in zip(("student", "undistilled"), both, strict=True)
    ]


@pytest.mark.parametrize(
    ("metrics", "positives", "lost"),
    [
        (both_f1((0.80, 0.81)), [], None),  # within the margin
        (both_f1((0.80, 0.82)), [], "teacher"),
        (both_f1((0.85, 0.80), (0.55, 0.70)), [400, 400, 0], "human"),  # noise: 3.5 points
        (both_f1((0.85, 0.80), (0.67, 0.70)), [400, 400], None),
        (both_f1((0.85, 0.80), (0.55, 0.70)), [12, 12], None),  # 20 points
        (both_f1((0.85, 0.80), (0.68, 0.70)), [10**9], "human"),  # at least the margin itself
        (both_f1((0.85, 0.80), (0.695, 0.70)), [10**9], None),
    ],
)
def test_a_student_loses_where_it_is_below_its_undistilled_baseline_by_more_than_noise(
    metrics: list[Figure], positives: list[int], lost: str | None
) -> None:
    row_counts = {"train": 9} | {f"human_positives/{at}": count for at, count in enumerate(positives)}
    reason = loses(metrics, row_counts, RoundSettings(undistilled_margin=0.01, seed_deviation=0))
    assert (reason is None) == (lost is None)
    assert lost is None or f"against the gold `{lost}`" in str(reason)


def test_what_seeds_alone_move_is_no_loss() -> None:
    settings = RoundSettings(seed_deviation=0.014)
    assert loses(both_f1((0.768, 0.80)), {}, settings) is None
    assert "by more than 0.033" in str(loses(both_f1((0.767, 0.80)), {}, settings))


@settings(max_examples=20, deadline=None)
@given(st.floats(0.001, 0.1), st.integers(0, 2**32 - 1))
def test_a_scheme_without_gain_loses_by_seeds_once_in_twenty(deviation: float, seed: int) -> None:
    both = np.random.default_rng(seed).normal(0, deviation, (20_000, 2))
    assert np.mean(both[:, 0] < both[:, 1] - seed_margin(deviation)) == pytest.approx(0.05, abs=0.01)


def test_a_student_that_was_never_judged_must_not_be_in_force() -> None:
    both = both_f1((0.9, 0.8))
    for metrics in ([], [both[0], both[2]], [both[1], both[3]]):
        assert "scored no text" in str(loses(metrics, {"test": 0}, RoundSettings()))


def test_with_too_few_unseen_texts_seen_ones_decide_and_the_reason_says_so() -> None:
    figures = [
        figure(model, "teacher", part, f1)
        for model, of_unseen, of_all in (("student", 0.5, 0.9), ("undistilled", 0.9, 0.5))
        for part, f1 in (("test_unseen", of_unseen), ("test", of_all))
    ]
    counts = {"test_unseen_positives": 20}
    assert "on unseen texts of the test days is below" in str(loses(figures, counts, RoundSettings()))
    few = {"test_unseen_positives": 19}
    assert loses(figures, few, RoundSettings()) is None
    swapped = [figure(one.model, one.gold, one.part, 1 - one.f1) for one in figures]
    assert "also seen ones" in str(loses(swapped, few, RoundSettings()))


def test_annotated_texts_that_were_not_drawn_are_compared_on_where_none_was_drawn() -> None:
    teacher = both_f1((0.9, 0.8))
    chosen = [figure("student", "human", "test_chosen", 0.5), figure("undistilled", "human", "test_chosen", 0.8)]
    counts = {"human_positives/a": 0, "human_positives_chosen/a": 400}
    assert "not drawn by hash" in str(loses([*teacher, *chosen], counts, RoundSettings()))
    assert loses([*teacher, *chosen], {"human_positives/a": 400}, RoundSettings()) is None, "counted elsewhere"


COUNTS = st.builds(Counts, *[st.integers(0, 9)] * 4)
AGREEMENTS = st.dictionaries(st.sampled_from(LABELS), st.builds(Agreement, COUNTS, COUNTS))


@given(AGREEMENTS, AGREEMENTS, st.integers(1, 9))
def test_a_label_is_judged_on_unseen_texts_unless_these_are_few_and_there_are_more(
    unseen: dict[str, Agreement], every: dict[str, Agreement], least: int
) -> None:
    qualities, on_all = qualities_to_judge(unseen, every, least)
    for label in LABELS:
        few = unseen[label].distinct.positives if label in unseen else 0
        more = every[label].distinct.positives if label in every else 0
        assert (label in on_all) == (few < least and more > few)
        judged = every.get(label) if label in on_all else unseen.get(label)
        assert qualities.get(label) == (judged.counts.quality if judged else None)


def test_labels_that_were_judged_on_seen_texts_are_named() -> None:
    promoted = decide(1, GOOD, TARGETS, SMALL, None, ["got"])
    stopped = decide(2, {"got": GOOD["got"]}, TARGETS, SMALL, None, ["asks", "gone"])
    assert promoted.reason.endswith("(too few of got: on texts seen in training too)")
    assert stopped.reason.endswith("asks (too few of asks: on texts seen in training too)")


def test_where_the_teacher_finds_no_positive_nobody_loses() -> None:
    assert loses([], {"test": 9}, RoundSettings()) is None


def test_a_student_that_lost_to_its_undistilled_baseline_is_not_promoted_though_it_reached_every_target() -> None:
    first, last = (decide(number, GOOD, TARGETS, SMALL, "worse than its baseline") for number in (1, 2))
    assert (first.action, last.action) == ("go_on", "stop")
    assert "worse than its baseline" in first.reason
    assert "worse than its baseline" in last.reason
