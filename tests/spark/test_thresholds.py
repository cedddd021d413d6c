"""Thresholds are searched over the threshold days, for all scenes and for each with evidence enough."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from jobs.labels import thresholds
from jobs.lake import tables
from jobs.lake.store import Lake
from jobs.runtime.context import Context
from models import digests
from models.errors import DataError
from tests.support import (
    context_of,
    day,
    do,
    fill,
    model_row,
    rows_of,
    score_row,
    text_row,
    threshold_row,
    versions,
)  # fmt: skip

pytestmark = pytest.mark.spark

STUDENT, TEACHER = "praise/textcnn/a", "praise/bert/t"
SETTINGS: dict[str, Any] = {
    "tasks": {"praise": {"scenes": ["live_chat", "photo"], "labels": {"asks": {}, "got": {}}}},
    "rounds": {"threshold_days": 2, "test_days": 1, "gate_days": 1, "min_train_days": 1},
    "thresholds": {"min_positives": 4},
}
# scene, text, times, the student's score, the teacher's probability; all of the threshold days
EVIDENCE = [
    ("live_chat", "yes", 3, 0.9, 0.7), ("live_chat", "likely", 2, 0.75, 0.7), ("live_chat", "no", 3, 0.25, 0.6),
    ("photo", "photo yes", 1, 0.5, 0.9), ("photo", "photo no", 4, 0.125, 0.1),
]  # fmt: skip


def context_for(lake: Lake) -> Context:
    return context_of(lake, "thresholds", **SETTINGS)


@pytest.fixture(scope="module")
def searched(shared_lake: Callable[..., Lake]) -> Lake:
    lake = shared_lake(tables.TEXTS, tables.STUDENT_SCORES, tables.TEACHER_SCORES, tables.MODELS, tables.THRESHOLDS)
    texts, scores, logits = [text_row("train"), text_row("gate", dt=day(4))], [], []
    texts.append(text_row("test", dt=day(3)))
    scores.append(score_row("test", STUDENT, [0.01, 0.01], dt=day(3)))
    logits.append(("test", 0.99))
    for scene, text, times, score, probability in EVIDENCE:
        logits.append((text, probability))
        for number in range(times):
            text_id, when = f"{text}{number}", day(1 + number % 2)
            texts.append(text_row(text_id, text, dt=when, scene=scene))
            scores.append(score_row(text_id, STUDENT, [score, 0.5], dt=when, scene=scene))
    fill(lake, {
        tables.TEXTS: texts,
        tables.STUDENT_SCORES: scores,
        tables.TEACHER_SCORES: [
            {"model_id": TEACHER, "text_hash": digests.of_text(text), "bucket": 0, "cls": [],
             "projection_version": "1", "logits": [math.log(p / (1 - p)), -5.0]} for text, p in logits
        ],
        tables.MODELS: [
            model_row("feedback/textcnn/b", ["complaint"], teacher_id="feedback/bert/t"),
            model_row("feedback/bert/t", ["complaint"], role="teacher"),
            model_row(STUDENT, ["asks", "got"], teacher_id=TEACHER), model_row(TEACHER, ["asks", "got"], role="teacher")
        ],
        tables.THRESHOLDS: [
            threshold_row(TEACHER, "asks", 0.65), threshold_row(TEACHER, "got", 0.5),
            threshold_row(TEACHER, "asks", 0.8, scene="photo"),
        ],
    })  # fmt: skip
    done = do(thresholds.JOB, context_for(lake))
    assert done is not None
    assert done.counts == {"thresholds": 3}
    return lake


def test_a_scene_gets_its_own_threshold_only_with_positives_enough(searched: Lake) -> None:
    found = searched.read(tables.THRESHOLDS).where(f"model_id = '{STUDENT}' and version = 1")
    assert rows_of(found, "scene", "label", "value", "method", "positives") == [
        ("*", "asks", 0.375, "target", 6), ("*", "got", 0.5, "default", 0), ("live_chat", "asks", 0.5, "target", 5),
    ]  # fmt: skip


def test_the_evidence_is_that_of_the_threshold_days(searched: Lake) -> None:
    found = searched.read(tables.THRESHOLDS).where(f"model_id = '{STUDENT}' and scene = '*' and label = 'asks'")
    row = found.where("version = 1").collect()[0]
    assert (row["first_dt"], row["last_dt"], row["gold"]) == (day(1), day(2), "teacher")
    assert (row["precision"], row["recall"], row["worst_precision"], row["worst_recall"]) == (1, 1, 1, 1)
    assert 0 < row["precision_low"] < 1
    assert row["precision_high"] == pytest.approx(1)


def test_a_search_is_repeated_only_for_new_evidence_and_makes_the_next_version(searched: Lake) -> None:
    before = versions(searched, tables.THRESHOLDS)
    assert do(thresholds.JOB, context_for(searched)) is None
    assert versions(searched, tables.THRESHOLDS) == before
    later = score_row("later", STUDENT, [0.9, 0.5], dt=day(2))
    fill(searched, {tables.TEXTS: [text_row("later", "yes", dt=day(2))], tables.STUDENT_SCORES: [later]})
    do(thresholds.JOB, context_for(searched))
    found = searched.read(tables.THRESHOLDS).where(f"model_id = '{STUDENT}' and label = 'asks' and scene = '*'")
    assert rows_of(found, "version", "positives") == [(1, 6), (2, 7)]


def test_students_without_evidence_are_told(searched: Lake) -> None:
    feedback = {"feedback": {"scenes": ["live_chat"], "labels": {"complaint": {}}}}
    context = context_of(searched, "thresholds", task="feedback", **SETTINGS | {"tasks": feedback})
    with pytest.raises(DataError, match="has scores of both feedback/textcnn/b and its teacher; run `pingti score-te"):
        do(thresholds.JOB, context)
