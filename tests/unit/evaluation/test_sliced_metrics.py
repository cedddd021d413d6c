"""Agreement by day, scene and label."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.evaluation.metrics import Counts, Quality, count
from models.evaluation.sliced_metrics import (
    GoldRows,
    SliceCounts,
    agreement_by_label,
    by_label,
    count_by_slice,
    macro_average,
    search_thresholds,
    whole_agreement,
)
from models.evaluation.threshold_search import search
from models.tasks import Target

LABELS = ("asks", "got")
NOTHING = Counts(0, 0, 0, 0)
BOOLS = st.tuples(st.booleans(), st.booleans())
ROW = st.tuples(st.integers(-3, 400), st.sampled_from(["chat", "speech", "10"]), st.integers(1, 5), BOOLS, BOOLS, BOOLS)


def evidence_of(rows: list[tuple]) -> tuple[GoldRows, np.ndarray]:
    def column(at: int, kind: type) -> np.ndarray:
        values = [row[at] for row in rows]
        return np.array(values, kind).reshape(len(rows), 2) if at > 2 else np.array(values, kind)

    texts = np.arange(len(rows))
    evidence = GoldRows(
        column(0, np.int32), column(1, np.str_), column(2, np.int64), column(3, bool), column(4, bool), texts
    )
    return evidence, column(5, bool)


@given(st.lists(ROW, max_size=40), st.lists(st.integers(0, 3), min_size=40, max_size=40))
@settings(deadline=None)
def test_over_all_days_a_text_is_one_whatever_it_occurs(rows: list[tuple], texts: list[int]) -> None:
    evidence, decisions = evidence_of(rows)
    evidence = replace(evidence, texts=np.array(texts[: len(rows)], np.int64))
    cells = count_by_slice(decisions, evidence, LABELS)
    for column, label in enumerate(LABELS):
        whole = whole_agreement(decisions, evidence, LABELS)[label]
        assert whole == agreement_by_label(decisions, evidence, LABELS)[label].whole
        assert whole.counts == sum((cell.counts for cell in cells if cell.label == label), NOTHING)
        known = evidence.known[:, column]
        answers = zip(evidence.texts[known], decisions[known, column], evidence.gold[known, column], strict=True)
        answered = [(bool(decided), bool(gold)) for _, decided, gold in {*answers}]
        pairs = ((True, True), (True, False), (False, True), (False, False))
        assert whole.distinct == Counts(*(answered.count(pair) for pair in pairs))


@given(st.lists(ROW, min_size=1, max_size=40))
@settings(deadline=None)
def test_what_is_left_out_says_nothing_and_keeps_its_place(rows: list[tuple]) -> None:
    evidence, decisions = evidence_of(rows)
    chosen = evidence.days % 2 == 0
    left = evidence.only(chosen)
    assert len(left) == len(evidence)
    assert whole_agreement(decisions, left, LABELS) == whole_agreement(
        decisions[chosen], evidence.where(chosen), LABELS
    )


@given(st.lists(ROW, min_size=1, max_size=40))
@settings(deadline=None)
def test_the_cells_hold_every_known_row_once(rows: list[tuple]) -> None:
    evidence, decisions = evidence_of(rows)
    cells = count_by_slice(decisions, evidence, LABELS)
    assert len({(cell.day, cell.scene, cell.label) for cell in cells}) == len(cells)
    for column, label in enumerate(LABELS):
        known = evidence.known[:, column]
        whole = count(decisions[known, column], evidence.gold[known, column], evidence.weight[known])
        assert sum((cell.counts for cell in cells if cell.label == label), Counts(0, 0, 0, 0)) == whole
        assert by_label(cells).get(label) == whole.quality
    for cell in cells:
        here = (evidence.days == cell.day) & (evidence.scenes == cell.scene)
        own = here & evidence.known[:, LABELS.index(cell.label)]
        assert evidence.weight[own].sum() == cell.counts.tp + cell.counts.fp + cell.counts.fn + cell.counts.tn > 0
        assert own.sum() == cell.distinct.tp + cell.distinct.fp + cell.distinct.fn + cell.distinct.tn


def test_what_the_gold_does_not_say_is_not_counted() -> None:
    evidence, decisions = evidence_of([(1, "chat", 2, (True, True), (True, False), (True, True))])
    assert count_by_slice(decisions, evidence, LABELS) == [
        SliceCounts(1, "chat", "asks", Counts(tp=2, fp=0, fn=0, tn=0), Counts(tp=1, fp=0, fn=0, tn=0))
    ]


def test_no_rows_give_no_cells_and_no_quality() -> None:
    evidence, decisions = evidence_of([])
    assert count_by_slice(decisions, evidence, LABELS) == []
    assert macro_average([]) is None


def test_macro_leaves_out_labels_whose_gold_never_holds() -> None:
    cells = [
        SliceCounts(1, "chat", "asks", Counts(tp=1, fp=1, fn=0, tn=0), NOTHING),
        SliceCounts(2, "chat", "asks", Counts(tp=1, fp=0, fn=2, tn=0), NOTHING),
        SliceCounts(1, "chat", "got", Counts(tp=0, fp=9, fn=0, tn=9), NOTHING),
    ]
    assert by_label(cells) == {"asks": Quality(2 / 3, 1 / 2, 4 / 7)}
    assert macro_average(cells) == pytest.approx(Quality(2 / 3, 1 / 2, 4 / 7))


def test_rows_are_chosen_together() -> None:
    evidence, _ = evidence_of(
        [(day, "chat", day, (day > 1, False), (True, day > 2), (True, True)) for day in (1, 2, 3)]
    )
    chosen = evidence.where(np.array([True, False, True]))
    assert len(chosen) == 2
    assert chosen.days.tolist() == chosen.weight.tolist() == [1, 3]
    assert chosen.gold[:, 0].tolist() == [False, True]
    assert chosen.known[:, 1].tolist() == [False, True]


def test_each_label_is_searched_on_its_own_known_rows() -> None:
    rows = [
        (1, "chat", 1, (True, False), (True, True), (False, False)),
        (2, "chat", 2, (False, True), (False, True), (False, False)),
        (2, "speech", 3, (False, True), (True, False), (False, False)),
    ]
    evidence, _ = evidence_of(rows)
    scores = np.array([[0.9, 0.2], [0.8, 0.7], [0.1, 0.9]], np.float32)
    targets = (Target(), Target(precision=0.1))
    found = search_thresholds(scores, evidence, targets)
    for column, target in enumerate(targets):
        own = evidence.known[:, column]
        gold, days, weight = evidence.gold[own, column], evidence.days[own], evidence.weight[own]
        assert found[column] == search(scores[own, column], gold, days, weight, target)
    assert [one.value for one in found] == pytest.approx([0.5, 0.45])
