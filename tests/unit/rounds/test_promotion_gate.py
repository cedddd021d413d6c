"""What the gate says of a label, of a student beside the one in force, and of both together."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation.metrics import Counts
from models.evaluation.sliced_metrics import Agreement, LabelAgreement
from models.rounds.promotion_gate import (
    Agreements,
    GateSettings,
    LabelVerdict,
    decide,
    judge_label,
    worse_than_live,
)
from models.tasks import Target

TARGET = Target(precision=0.8, recall=0.7)
SETTINGS = GateSettings(min_positives=10, min_day_positives=10)
GOOD, BAD = (90, 10, 10), (90, 60, 10)
MARCH_2 = 20514  # as a number of days


def agreement(*days: tuple[int, int, int], distinct: tuple[int, int, int] | None = None) -> LabelAgreement:
    """Days of true positives, false positives and false negatives."""
    daily = [Counts(tp, fp, fn, 0) for tp, fp, fn in days]
    of_texts = [Counts(*distinct, 0) if distinct else one for one in daily]
    zero = Counts(0, 0, 0, 0)
    return LabelAgreement(
        {MARCH_2 + n: Agreement(one, texts) for n, (one, texts) in enumerate(zip(daily, of_texts, strict=True))},
        Agreement(sum(daily, zero), sum(of_texts, zero)),
    )


def judged(teacher: LabelAgreement, human: LabelAgreement | None = None, **settings: Any) -> LabelVerdict:
    golds: Agreements = {"teacher": {"asks": teacher}} | ({"human": {"asks": human}} if human else {})
    return judge_label("asks", golds, TARGET, SETTINGS.model_copy(update=settings))


def test_every_day_must_reach_the_target() -> None:
    assert judged(agreement(GOOD, GOOD)).outcome == "reached"
    verdict = judged(agreement(GOOD, BAD, GOOD))
    assert verdict.outcome == "missed"
    assert verdict.reason == (
        "asks on 2026-03-03: precision 0.600 (target 0.8), recall 0.900 (target 0.7), 100 positive texts against the "
        "gold `teacher`"
    )


def test_days_with_too_few_positives_are_judged_together() -> None:
    few_good, few_bad = (4, 0, 1), (2, 0, 3)
    assert judged(agreement(few_good, few_good)).outcome == "reached"
    assert judged(agreement(few_good, few_bad, few_good, few_good)).outcome == "reached"
    verdict = judged(agreement(few_bad, few_bad))
    assert (verdict.outcome, "over the gate days together" in verdict.reason) == ("missed", True)


def test_a_day_needs_more_positives_than_all_days_together() -> None:
    poor = (9, 0, 6)  # recall 0.6 of 15 texts
    assert judged(agreement(poor, GOOD), min_day_positives=20).outcome == "reached", "99 of 115 together"
    assert judged(agreement(poor, GOOD), min_day_positives=15).outcome == "missed"
    assert judged(agreement((8, 0, 2)), min_day_positives=20).outcome == "reached", "ten are enough together"


def test_evidence_is_distinct_texts() -> None:
    assert judged(agreement(GOOD, distinct=(9, 0, 0))).outcome == "rare"
    assert judged(agreement(GOOD, distinct=(10, 0, 0))).outcome == "reached"


def test_lower_bounds_ask_for_more_evidence() -> None:
    assert judged(agreement((19, 3, 1)), figure="value").outcome == "reached"
    verdict = judged(agreement((19, 3, 1)), figure="lower_bound")
    assert verdict.outcome == "missed"
    assert "precision at least 0.6" in verdict.reason
    assert judged(agreement((1900, 300, 100)), figure="lower_bound").outcome == "reached"


def test_annotators_are_heard_where_they_said_enough() -> None:
    teacher = agreement(GOOD)
    assert judged(teacher, agreement((0, 5, 9))).outcome == "reached"
    verdict = judged(teacher, agreement((0, 5, 10)))
    assert (verdict.outcome, "gold `human`" in verdict.reason) == ("missed", True)


def test_false_positives_of_a_label_that_is_nowhere_are_told() -> None:
    assert "0 positive texts on the gate days, 7 false positives" in judged(agreement((0, 7, 0))).reason
    assert judge_label("asks", {"teacher": {}, "human": {}}, TARGET, SETTINGS).outcome == "rare"


MISSED, RARE, REACHED = LabelVerdict("missed", "m misses"), LabelVerdict("rare", "r is rare"), LabelVerdict("reached")


def test_what_is_not_in_force_and_misses_is_withheld() -> None:
    decision = decide({"a": REACHED, "m": MISSED, "r": RARE}, (), (), None, SETTINGS)
    assert (decision.withheld, decision.refusals) == (("m", "r"), ())
    assert decision.notes == ("m misses; withheld", "r is rare; withheld")
    accepting = SETTINGS.model_copy(update={"rare": "accept"})
    assert decide({"a": REACHED, "r": RARE}, (), (), None, accepting).withheld == ()


def test_what_is_in_force_is_only_withheld_by_name() -> None:
    refused = decide({"a": REACHED, "m": MISSED}, ("a", "m"), (), None, SETTINGS)
    assert refused.refusals == ("m misses",)
    named = decide({"a": REACHED, "m": MISSED}, ("a", "m"), ("m",), None, SETTINGS)
    assert (named.withheld, named.refusals) == (("m",), ())
    rare = decide({"a": REACHED, "r": RARE}, ("a", "r"), (), None, SETTINGS)
    assert (rare.withheld, rare.refusals, rare.notes) == ((), (), ("r is rare",))
    gone = decide({"a": REACHED}, ("a", "b"), (), None, SETTINGS)
    assert gone.refusals == ("it does not know b, which the student in force decides",)
    assert decide({"a": REACHED}, ("a", "b"), ("b",), None, SETTINGS).refusals == ()


def test_a_student_of_which_no_label_is_left_is_refused() -> None:
    assert "no label is left to decide: m misses; withheld" in decide({"m": MISSED}, (), (), None, SETTINGS).refusals[0]
    assert decide({"a": REACHED}, ("a",), ("a",), None, SETTINGS).refusals


@given(st.lists(st.sampled_from([REACHED, MISSED, RARE]), min_size=1, max_size=5), st.data())
def test_no_label_in_force_is_dropped_in_silence(verdicts: list[LabelVerdict], data: st.DataObject) -> None:
    labels = {str(at): verdict for at, verdict in enumerate(verdicts)}
    in_force = data.draw(st.sets(st.sampled_from(sorted(labels))))
    by_hand = data.draw(st.sets(st.sampled_from(sorted(labels))))
    decision = decide(labels, in_force, by_hand, None, SETTINGS)
    if not decision.refusals:
        assert set(decision.withheld) & in_force <= by_hand
        assert all(labels[name].outcome != "missed" for name in set(labels) - set(decision.withheld))


@pytest.mark.parametrize(("live", "worse"), [((95, 5, 5), True), ((91, 9, 9), False), ((60, 40, 40), False)])
def test_a_student_must_not_be_worse_than_the_one_in_force(live: tuple[int, int, int], worse: bool) -> None:
    own, other = ({"teacher": {"asks": agreement(one)}} for one in (GOOD, live))
    reason = worse_than_live(own, other, ["asks"], SETTINGS)
    assert (reason is not None) == worse
    assert not worse or "0.900 against the gold `teacher` on the gate days is below the 0.950" in str(reason)


def test_only_labels_of_both_with_positives_enough_are_compared() -> None:
    own = {"teacher": {"asks": agreement(GOOD), "rare": agreement((0, 0, 9))}}
    live = {"teacher": {"asks": agreement(GOOD), "rare": agreement((9, 0, 0)), "gone": agreement(GOOD)}}
    assert worse_than_live(own, live, ["asks", "rare", "gone"], SETTINGS) is None
    assert worse_than_live(own, {"human": {}}, ["asks"], SETTINGS) is None
