"""What annotators say, by the vote on a text and utterance by utterance."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from jobs.evaluation.evaluation_set import EvaluationSet, read_days
from jobs.evaluation.model_evaluation import count_decisions, figures_of
from jobs.lake import registry, tables
from jobs.lake.store import Lake
from models.evaluation.figures import headline
from models.evaluation.metrics import Counts
from models.rounds.date_layout import Window
from models.rounds.hash_draw import Draw
from models.tasks import TaskSettings
from tests.support import (
    add,
    annotation_row,
    day,
    fill,
    model_row,
    teacher_score,
    text_row,
    threshold_row,
)  # fmt: skip

TEACHER = "praise/bert/t"
TASK = TaskSettings.model_validate({"scenes": ["live_chat"], "labels": {"asks": {}, "got": {}}})
CLASSES = TASK.model_copy(update={"kind": "multi_class"})


@pytest.fixture
def lake(bare_lake: Callable[..., Lake]) -> Lake:
    """Fourteen utterances of two days were misheard as one text; nine ask. Another text was heard once."""
    made = bare_lake(
        tables.TEXTS, tables.TEACHER_SCORES, tables.ROUND_SAMPLES, tables.ANNOTATIONS, tables.MODELS, tables.THRESHOLDS
    )
    heard = [text_row(f"u{n}", "嗯", dt=day(n % 2)) for n in range(14)]
    said = [
        annotation_row("praise", "asks", f"u{n}", n < 9, text_hash=heard[n]["text_hash"], dt=day(n % 2))
        for n in range(14)
    ]
    return fill(made, {
        tables.TEXTS: [*heard, text_row("once", dt=day(0))],
        tables.TEACHER_SCORES: [teacher_score(TEACHER, "嗯", 0.9, 0.1), teacher_score(TEACHER, "once", 0.1, 0.1)],
        tables.ANNOTATIONS: [*said, annotation_row("praise", "asks", "once", False, dt=day(0))],
        tables.MODELS: [model_row(TEACHER, ["asks", "got"], role="teacher")],
        tables.THRESHOLDS: [threshold_row(TEACHER, label, 0.5) for label in ("asks", "got")],
    })  # fmt: skip


def read(lake: Lake, task: TaskSettings = TASK) -> EvaluationSet:
    return read_days(lake, registry.model(lake, TEACHER), task, Draw(Window(day(0), day(1)), 100, 1))


def test_the_text_is_said_by_the_majority_and_the_utterances_each_for_themselves(lake: Lake) -> None:
    found = read(lake)
    counts = count_decisions(
        found, TASK, "teacher", TEACHER, found.golds["teacher"].gold, {"human": found.golds["human"]}
    )
    figures = figures_of(counts)
    by = {weight: next(iter(counts.values())).by(weight)["asks"] for weight in ("occurrence", "text", "row")}
    assert by == {"occurrence": Counts(14, 0, 0, 1), "text": Counts(1, 0, 0, 1), "row": Counts(9, 5, 0, 1)}
    f1 = {weight: headline(figures, "teacher", "human", "test_unseen", weight) for weight in by}
    assert [one.f1 for one in f1.values() if one] == [1, 1, pytest.approx(18 / 23)]
    assert {one.averaged.left_out for one in f1.values() if one} == {1}  # nobody spoke of `got`


def test_an_utterance_that_annotators_split_on_evenly_says_nothing_but_its_votes_count_for_the_text(lake: Lake) -> None:
    text_hash = text_row("u0", "嗯")["text_hash"]
    add(lake, tables.ANNOTATIONS, *[
        annotation_row("praise", "asks", f"u{n}", False, annotator="b", text_hash=text_hash, dt=day(n % 2))
        for n in range(9)
    ])  # fmt: skip
    found = read(lake)
    assert found.utterances is not None
    assert found.utterances.known[:, 0].sum() == 6
    assert not found.golds["human"].gold[:, 0].any()
    assert found.golds["human"].known[:, 0].all()


def test_a_class_that_holds_denies_the_others_of_its_utterance(lake: Lake) -> None:
    found = read(lake, CLASSES)
    assert found.utterances is not None
    assert found.utterances.known[:, 1].sum() == found.utterances.gold[:, 0].sum() == 9
    assert not found.utterances.gold[:, 1].any()


def test_annotations_of_texts_that_are_not_there_are_of_no_row(lake: Lake) -> None:
    elsewhen = annotation_row(
        "praise", "asks", "elsewhen", True, dt=day(5), text_hash=text_row("u0", "嗯")["text_hash"]
    )
    add(lake, tables.ANNOTATIONS, annotation_row("praise", "asks", "other", True), elsewhen)
    found = read(lake)
    assert found.utterances is not None
    assert len(found.utterances.row) == 15
    days = found.golds["human"].days[found.utterances.row]
    assert np.bincount(days - days.min()).tolist() == [8, 7]
