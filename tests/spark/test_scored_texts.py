"""The evidence that the driver reads by itself is the evidence that frames bring together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from jobs.evaluation.scored_texts import annotators_votes, days_with_texts, scored_texts
from jobs.lake import registry, tables
from jobs.lake.store import Lake
from models import digests
from models.rounds.date_layout import Window
from models.rounds.hash_draw import Draw, draw_order
from models.tasks import TaskSettings
from tests.support import annotation_row, day, fill, model_row, rule, teacher_score, text_row

pytestmark = pytest.mark.spark
TEACHER = "praise/bert/t"
DRAWS = [Draw(Window(day(1), day(2)), 100, 1), Draw(Window(day(4), day(4)), 100, 1)]
NO_DAY = Draw(Window(day(2), day(1)), 100, 1)


@pytest.fixture(scope="module")
def lake(shared_lake: Callable[..., Lake]) -> Lake:
    made = shared_lake(
        tables.TEXTS, tables.TEACHER_SCORES, tables.ROUND_SAMPLES, tables.ANNOTATIONS, tables.MODELS,
        tables.THRESHOLDS,
    )  # fmt: skip
    texts = [
        text_row("1", "好", dt=day(1)), text_row("2", "好", dt=day(1)), text_row("3", "好", dt=day(2)),
        text_row("4", "好", dt=day(1), scene="photo"), text_row("5", "a", dt=day(4)), text_row("6", "a", dt=day(5)),
        text_row("7", "é", dt=day(2)), text_row("8", "😀", dt=day(2)), text_row("9", "unscored", dt=day(2)),
        text_row("10", "elsewhere", dt=day(2), scene="asr"), text_row("11", "outside", dt=day(3)),
        text_row("12", "ruled", dt=day(1), settled=[rule("praise", "negative")]),
        text_row("13", "useless", dt=day(1), settled=[rule("x", "negative"), rule("*", "useless")]),
        text_row("14", "other", dt=day(1), settled=[rule("x", "negative")]),
        text_row("15", "pair", dt=day(1), text_b="two", text_hash=digests.of_text("pair", "two")),
    ]  # fmt: skip
    names = [row["text"] for row in texts if row["text"] not in ("unscored", "pair")]
    scores = [teacher_score(TEACHER, name, 0.3, 0.6) for name in dict.fromkeys(names)]
    scores.append(teacher_score(TEACHER, "pair", 0.3, 0.6) | {"text_hash": digests.of_text("pair", "two")})
    scores.append(teacher_score("praise/bert/other", "unscored", 0.3, 0.6))
    samples = [
        {"round_id": name, "text_id": text, "text_hash": digests.of_text(text), "text": text, "position": 0,
         "split": "train", "reasons": [], "weight": 1.0, "hard": [1.0]}
        for name, text in (("r", "a"), ("r", "other"), ("s", "好"))
    ]  # fmt: skip
    votes = [("好", True, "a"), ("好", True, "b"), ("好", False, "c"), ("a", True, "a"), ("a", False, "b")]
    annotations = [annotation_row("praise", "asks", text, value, annotator=who) for text, value, who in votes]
    annotations.append(annotation_row("praise", "gone", "好", True))
    annotations.append(annotation_row("other", "asks", "é", True))
    return fill(made, {
        tables.TEXTS: texts, tables.TEACHER_SCORES: scores, tables.ROUND_SAMPLES: samples,
        tables.ANNOTATIONS: annotations, tables.MODELS: [model_row(TEACHER, ["asks", "got"], role="teacher")],
    })  # fmt: skip


def task(kind: str = "multi_label") -> TaskSettings:
    return TaskSettings.model_validate(
        {"kind": kind, "scenes": ["live_chat", "photo"], "labels": {"asks": {}, "got": {}}}
    )


def both(lake: Lake, *arguments: Any, **options: Any) -> list[dict[str, Any]]:
    teacher = registry.model(lake, TEACHER)
    by_driver, by_frames = (
        scored_texts(lake, teacher, *arguments, **options, limit=limit) for limit in (1 << 30, 0)
    )  # fmt: skip
    assert by_driver.column_names == by_frames.column_names
    rows: list[dict[str, Any]] = by_driver.to_pylist()
    assert rows == by_frames.to_pylist()
    return rows


def test_both_ways_give_equal_rows(lake: Lake) -> None:
    rows = both(lake, task(), DRAWS, seen_by=["r"])
    assert [
        (row["dt"], row["scene"], row["text"], row["occurrences"], row["seen"])
        for row in rows
        if row["text"] in ("好", "a", "other")
    ] == [
        (day(1), "live_chat", text, n, seen)
        for text, n, seen in sorted([("好", 2, False), ("other", 1, True)], key=lambda one: digests.of_text(one[0]))
    ] + [(day(1), "photo", "好", 1, False), (day(2), "live_chat", "好", 1, False), (day(4), "live_chat", "a", 1, True)]
    assert {row["text"] for row in rows} == {"好", "a", "é", "😀", "other", "pair"}


def test_both_ways_agree_on_pairs_on_no_round_and_on_no_days(lake: Lake) -> None:
    assert [row["text_b"] for row in both(lake, task("pair"), DRAWS)] == ["two"]
    assert not any(row["seen"] for row in both(lake, task(), DRAWS))
    assert both(lake, task(), [NO_DAY], seen_by=["r"]) == []
    assert both(lake, task(), [NO_DAY, DRAWS[1]]) == both(lake, task(), DRAWS[1:])


def test_texts_that_several_rounds_learnt_from_are_seen(lake: Lake) -> None:
    seen = {row["text"] for row in both(lake, task(), DRAWS, seen_by=["r", "s"]) if row["seen"]}
    assert seen == {"a", "other", "好"}


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("texts", [1, 2, 4, 6])
def test_the_draw_of_some_days_is_the_first_of_their_texts_by_hash(lake: Lake, seed: int, texts: int) -> None:
    """Of six texts all but one were scored, and only of the first days' draw so few are taken."""
    draws = [Draw(DRAWS[0].window, texts, seed), Draw(DRAWS[1].window, 1, seed)]
    pool = ["好", "é", "😀", "other", "unscored"]
    pool_hashes = {digests.of_text(text): text for text in pool} | {digests.of_text("pair", "two"): "pair"}
    numbers = dict(zip(pool_hashes, draw_order(list(pool_hashes), seed).tolist(), strict=True))
    first = [pool_hashes[text_hash] for text_hash in sorted(numbers, key=lambda one: numbers[one])[:texts]]
    rows = both(lake, task(), draws)
    drawn = {row["text"] for row in rows if row["drawn"]}
    if first == ["unscored"] or (first[0] == "unscored" and texts == 2):
        assert drawn == {"a"}
    else:
        assert drawn == {*first, "a"} - {"unscored"}
    assert {row["text"] for row in rows} == {*pool, "pair", "a"} - {"unscored"}


def test_both_ways_count_the_annotators_alike(lake: Lake) -> None:
    hashes = pa.array([digests.of_text(text) for text in ("好", "a", "é", "é")])
    columns = ["text_id", "dt", "text_hash", "label", "yes", "votes"]
    driver, frames = (
        sorted(annotators_votes(lake, "praise", ("asks", "got"), hashes, limit).select(columns).to_pylist(), key=str)
        for limit in (1 << 30, 0)
    )
    assert driver == frames
    assert [(row["text_id"], row["yes"], row["votes"]) for row in driver] == [("a", 1, 2), ("好", 2, 3)]


def test_both_ways_know_the_days_with_texts(lake: Lake) -> None:
    for limit in (1 << 30, 0):
        assert days_with_texts(lake, "praise", task(), [day(n) for n in (0, 1, 2, 9)], limit) == {day(1), day(2)}
        assert days_with_texts(lake, "praise", task("pair"), [day(1), day(2)], limit) == {day(1)}
