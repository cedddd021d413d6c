"""Decisions: thresholds by scene, rules of the cleaner, and labels that depend on others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.labels import label
from jobs.labels.label_decisions import Decider, decide_labels
from jobs.lake import tables
from jobs.lake.registry import Promotion, RegisteredModel
from jobs.lake.store import Lake
from jobs.runtime.context import Days
from jobs.settings import Settings
from models.errors import DataError
from tests.support import (
    DAY,
    NEW_YEAR,
    add,
    context_of,
    day,
    do,
    fill,
    frame,
    model_row,
    promotion_row,
    rows_of,
    rule,
    score_row,
    text_row,
    threshold_row,
    versions,
)  # fmt: skip

pytestmark = pytest.mark.spark

TASKS: dict[str, Any] = {
    "praise": {
        "scenes": ["live_chat", "photo"],
        "labels": {"asks": {"excludes": ["got"]}, "got": {}, "unfair": {"requires": ["feedback.complaint"]}},
    },
    "feedback": {"scenes": ["live_chat"], "labels": {"complaint": {}}},
    "mood": {"scenes": ["live_chat"], "labels": {"angry": {"requires": ["praise.unfair"]}}},
}
PRAISE, FEEDBACK, MOOD = "praise/textcnn/a", "feedback/textcnn/b", "mood/textcnn/c"
LABELS = {PRAISE: ("asks", "got", "unfair"), FEEDBACK: ("complaint",), MOOD: ("angry",)}


def decider(model_id: str, thresholds: Mapping[tuple[str, str], float]) -> Decider:
    task, labels = model_id.split("/")[0], LABELS[model_id]
    model = RegisteredModel(model_id, task, "textcnn", "student", labels, None, None, "/nowhere", "1")
    return Decider(Promotion(task, model_id, 3, "test"), model, thresholds)


def decided(spark: SparkSession, texts: list[dict[str, Any]], scores: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    found = decide_labels(
        frame(spark, tables.TEXTS, *texts),
        frame(spark, tables.STUDENT_SCORES, *scores),
        Settings.model_validate({"tasks": TASKS}).tasks,
        {
            "praise": decider(
                PRAISE, {("*", "asks"): 0.5, ("*", "got"): 0.5, ("*", "unfair"): 0.5, ("photo", "asks"): 0.8}
            ),
            "feedback": decider(FEEDBACK, {("*", "complaint"): 0.5}),
        },
    )
    assert found.columns == list(tables.LABELS.names)
    return rows_of(found, "text_id", "task", "label")


def test_a_score_at_its_threshold_holds_and_a_scene_may_have_its_own(spark: SparkSession) -> None:
    texts = [text_row("at"), text_row("below"), text_row("photo", scene="photo"), text_row("high", scene="photo")]
    scores = [
        score_row("at", PRAISE, [0.5, 0.0, 0.0]), score_row("below", PRAISE, [0.4999999, 0.0, 0.0]),
        score_row("photo", PRAISE, [0.7, 0.0, 0.0], scene="photo"),
        score_row("high", PRAISE, [0.9, 0.0, 0.0], scene="photo"),
    ]  # fmt: skip
    assert decided(spark, texts, scores) == [("at", "praise", "asks"), ("high", "praise", "asks")]


def test_a_label_that_holds_removes_what_it_excludes(spark: SparkSession) -> None:
    texts = [text_row("both"), text_row("one")]
    scores = [score_row("both", PRAISE, [0.9, 0.9, 0.0]), score_row("one", PRAISE, [0.1, 0.9, 0.0])]
    assert decided(spark, texts, scores) == [("both", "praise", "asks"), ("one", "praise", "got")]


def test_a_requirement_reaches_across_tasks(spark: SparkSession) -> None:
    texts = [text_row("met"), text_row("unmet"), text_row("unscored")]
    scores = [
        score_row("met", PRAISE, [0.0, 0.0, 0.9]), score_row("met", FEEDBACK, [0.9]),
        score_row("unmet", PRAISE, [0.0, 0.0, 0.9]), score_row("unmet", FEEDBACK, [0.1]),
        score_row("unscored", PRAISE, [0.0, 0.0, 0.9]),
    ]  # fmt: skip
    assert decided(spark, texts, scores) == [("met", "feedback", "complaint"), ("met", "praise", "unfair")]


def test_a_rule_that_settles_a_text_as_positive_needs_no_score(spark: SparkSession) -> None:
    texts = [
        text_row("ruled", settled=[rule("praise", "positive", "asks", "flower")]),
        text_row("negative", settled=[rule("praise", "negative")]), text_row("useless", settled=[rule("*", "useless")]),
        text_row("failed"),
    ]  # fmt: skip
    scores = frame(spark, tables.STUDENT_SCORES, score_row("failed", PRAISE, None))
    found = decide_labels(
        frame(spark, tables.TEXTS, *texts), scores, Settings.model_validate({"tasks": TASKS}).tasks,
        {"praise": decider(PRAISE, {("*", "asks"): 0.5, ("*", "got"): 0.5, ("*", "unfair"): 0.5})},
    )  # fmt: skip
    columns = ("text_id", "label", "rule", "score", "threshold", "model_id", "threshold_version")
    assert rows_of(found, *columns) == [("ruled", "asks", "flower", None, None, PRAISE, 3)]


def test_a_label_that_the_model_does_not_know_is_decided_by_rules_alone(spark: SparkSession) -> None:
    """A label of a later phase: the model in force was made before anybody annotated it."""
    tasks: dict[str, Any] = {"praise": {"scenes": ["live_chat"], "labels": {"new": {"excludes": ["got"]}, "got": {}}}}
    old = Decider(Promotion("praise", PRAISE, 3, "test"), replace(decider(PRAISE, {}).model, labels=("got",)), {
        ("*", "got"): 0.5
    })  # fmt: skip
    texts = [text_row("ruled", settled=[rule("praise", "positive", "new", "flower")]), text_row("scored")]
    scores = frame(spark, tables.STUDENT_SCORES, score_row("scored", PRAISE, [0.9]))
    found = decide_labels(frame(spark, tables.TEXTS, *texts), scores, Settings.model_validate({"tasks": tasks}).tasks,
                   {"praise": old})  # fmt: skip
    assert rows_of(found, "text_id", "label", "rule", "threshold") == [
        ("ruled", "new", "flower", None), ("scored", "got", None, 0.5),
    ]  # fmt: skip


def test_scores_of_settled_texts_and_rules_of_other_scenes_do_not_count(spark: SparkSession) -> None:
    texts = [
        text_row("settled since", settled=[rule("praise", "negative")]),
        text_row("elsewhere", scene="asr", settled=[rule("praise", "positive", "asks", "flower")]),
    ]
    scores = [score_row("settled since", PRAISE, [0.9, 0.0, 0.0])]
    assert decided(spark, texts, scores) == []


def test_twenty_labels_that_exclude_each_other_in_order_are_decided_in_linear_time(spark: SparkSession) -> None:
    """As expressions of Spark's, 2^20 terms: the plan never ended."""
    names = [f"l{number:02}" for number in range(20)]
    tasks: dict[str, Any] = {
        "priority": {
            "scenes": ["live_chat"],
            "labels": {name: {"excludes": names[number + 1 :]} for number, name in enumerate(names)},
        }
    }
    model = RegisteredModel(
        "priority/textcnn/a", "priority", "textcnn", "student", tuple(names), None, None, "/nowhere", "1"
    )
    own = Decider(Promotion("priority", model.model_id, 1, "test"), model, {("*", name): 0.5 for name in names})
    scores = [score_row(f"t{at:02}", model.model_id, [float(at <= one) for one in range(20)]) for at in range(20)]
    found = decide_labels(
        frame(spark, tables.TEXTS, *[text_row(f"t{at:02}") for at in range(20)]),
        frame(spark, tables.STUDENT_SCORES, *scores), Settings.model_validate({"tasks": tasks}).tasks,
        {"priority": own},
    )  # fmt: skip
    assert rows_of(found, "text_id", "label") == [(f"t{at:02}", f"l{at:02}") for at in range(20)]


def test_a_label_without_a_threshold_is_told(spark: SparkSession) -> None:
    with pytest.raises(DataError, match=f"{PRAISE} lacks got, unfair; run `pingti thresholds`"):
        decide_labels(
            frame(spark, tables.TEXTS), frame(spark, tables.STUDENT_SCORES),
            Settings.model_validate({"tasks": TASKS}).tasks, {"praise": decider(PRAISE, {("*", "asks"): 0.5})},
        )  # fmt: skip


@pytest.fixture(scope="module")
def house(shared_lake: Callable[..., Lake]) -> Lake:
    """Two promoted tasks of three, over two days."""
    lake = shared_lake(
        tables.TEXTS, tables.STUDENT_SCORES, tables.MODELS, tables.THRESHOLDS, tables.PROMOTIONS, tables.LABELS
    )
    promoted = {model_id: LABELS[model_id] for model_id in (PRAISE, FEEDBACK)}
    return fill(lake, {
        tables.TEXTS: [text_row("a"), text_row("b", dt=day(1))],
        tables.STUDENT_SCORES: [
            score_row("a", PRAISE, [0.9, 0.9, 0.9]), score_row("a", FEEDBACK, [0.9]),
            score_row("b", PRAISE, [0.1, 0.9, 0.9], dt=day(1)), score_row("b", FEEDBACK, [0.1], dt=day(1)),
        ],
        tables.MODELS: [model_row(model_id, labels) for model_id, labels in promoted.items()],
        tables.THRESHOLDS: [threshold_row(one, name, value, version=version)
            for one, labels in promoted.items() for name in labels for version, value in ((1, 0.5), (2, 0.95))],
        tables.PROMOTIONS: [promotion_row(model_id, NEW_YEAR) for model_id in promoted],
    })  # fmt: skip


def test_the_plan_decides_all_that_depend_on_the_task_and_are_promoted(house: Lake) -> None:
    def planned(**asked: Any) -> tuple[str, ...]:
        return tuple(label.plan(context_of(house, "label", tasks=TASKS, **asked)).required().cells.parts)

    assert planned(task="feedback") == ("feedback", "praise")
    assert planned(task="praise") == ("praise",)
    with pytest.raises(DataError, match="none of mood has a promoted model; run `pingti promote`"):
        planned(task="mood")


def test_labels_are_written_once(house: Lake) -> None:
    done = do(label.JOB, context_of(house, "label", tasks=TASKS))
    assert done is not None
    assert done.counts == {"labels": 4, "days": 2}
    found = house.read(tables.LABELS)
    keys = rows_of(found, *tables.LABELS.key)
    assert keys == [
        ("a", "feedback", "complaint"), ("a", "praise", "asks"), ("a", "praise", "unfair"), ("b", "praise", "got"),
    ]  # fmt: skip
    assert rows_of(found.where("text_id = 'b'"), "dt", "threshold", "threshold_version") == [(day(1), 0.5, 1)]
    before = versions(house, tables.LABELS)
    assert do(label.JOB, context_of(house, "label", tasks=TASKS, days=Days(DAY, DAY))) is None
    assert versions(house, tables.LABELS) == before


def test_a_new_promotion_decides_again_without_new_scores(house: Lake) -> None:
    scores = versions(house, tables.STUDENT_SCORES)
    add(house, tables.PROMOTIONS, promotion_row(PRAISE, NEW_YEAR.replace(month=2), version=2))
    do(label.JOB, context_of(house, "label", tasks=TASKS))
    assert rows_of(house.read(tables.LABELS), *tables.LABELS.key) == [("a", "feedback", "complaint")]
    assert versions(house, tables.STUDENT_SCORES) == scores


def test_days_with_texts_that_nobody_scored_are_refused(house: Lake) -> None:
    add(house, tables.TEXTS, text_row("late", dt=day(1)))
    before = versions(house, tables.LABELS)
    with pytest.raises(DataError, match=f"1 texts have no score of {FEEDBACK} .* run `pingti score`"):
        do(label.JOB, context_of(house, "label", tasks=TASKS))
    assert versions(house, tables.LABELS) == before


def test_a_score_of_an_earlier_cleaning_decides_no_more(lake: Callable[..., Lake], house: Lake) -> None:
    own = lake(*tables.ALL)
    fill(own, {
        tables.TEXTS: [text_row("a", clean_version="2"), text_row("b", dt=day(1))],
        tables.STUDENT_SCORES: [score_row("a", FEEDBACK, [0.9]), score_row("b", FEEDBACK, [0.9], dt=day(1))],
        tables.MODELS: [model_row(FEEDBACK, LABELS[FEEDBACK])],
        tables.THRESHOLDS: [threshold_row(FEEDBACK, "complaint", 0.5)],
        tables.PROMOTIONS: [promotion_row(FEEDBACK, NEW_YEAR)],
    })  # fmt: skip
    with pytest.raises(DataError, match=f"1 texts have only a score of an earlier cleaning of {FEEDBACK}"):
        do(label.JOB, context_of(own, "label", tasks=TASKS))
    done = do(label.JOB, context_of(own, "label", tasks=TASKS, days=Days(day(1), day(1))))
    assert done is not None
    assert done.counts == {"labels": 1, "days": 1}


def test_a_task_needs_what_its_labels_depend_on_and_no_other(lake: Callable[..., Lake]) -> None:
    """A task that was promoted today, and whose history nobody scored, holds up no other one."""
    own = lake(*tables.ALL)
    fill(own, {
        tables.TEXTS: [text_row("a")],
        tables.STUDENT_SCORES: [score_row("a", PRAISE, [0.9, 0.9, 0.9]), score_row("a", FEEDBACK, [0.9])],
        tables.MODELS: [model_row(model_id, labels) for model_id, labels in LABELS.items()],
        tables.THRESHOLDS: [threshold_row(one, name, 0.5) for one, labels in LABELS.items() for name in labels],
        tables.PROMOTIONS: [promotion_row(model_id, NEW_YEAR) for model_id in (PRAISE, FEEDBACK)],
    })  # fmt: skip
    assert do(label.JOB, context_of(own, "label", tasks=TASKS)) is not None
    add(own, tables.PROMOTIONS, promotion_row(MOOD, NEW_YEAR))
    with pytest.raises(DataError, match=f"1 texts have no score of {MOOD}"):
        do(label.JOB, context_of(own, "label", tasks=TASKS))
    alone = context_of(own, "label", tasks={name: TASKS[name] for name in ("praise", "feedback")}, task="feedback")
    assert do(label.JOB, alone) is None, "what is promoted elsewhere is no news here"
