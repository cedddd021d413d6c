"""Thresholds are searched over the threshold days, by distinct texts, and are a new version only where one moved."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jobs.labels import thresholds
from jobs.lake import tables
from jobs.lake.store import Lake
from jobs.runtime.context import Context
from models import digests
from models.errors import DataError
from models.evaluation.threshold_search import moved
from models.rounds.hash_draw import draw_order
from tests.sealed import seal_by_first_letter
from tests.support import (
    add,
    annotation_row,
    context_of,
    day,
    do,
    fill,
    model_row,
    round_row,
    sample_row,
    teacher_score,
    text_row,
    threshold_row,
    versions,
)  # fmt: skip

STUDENT, TEACHER = "praise/bow/a", "praise/bert/t"
TABLES = (
    tables.TEXTS, tables.TEACHER_SCORES, tables.ANNOTATIONS, tables.ROUND_SAMPLES, tables.MODELS, tables.THRESHOLDS,
    tables.PROMOTIONS, tables.ROUNDS,
)  # fmt: skip
SETTINGS: dict[str, Any] = {
    "tasks": {"praise": {"scenes": ["live_chat", "photo"], "labels": {"asks": {}, "got": {}}}},
    "rounds": {"threshold_days": 2, "test_days": 1, "gate_days": 1, "min_train_days": 1},
    "thresholds": {"min_positives": 4, "min_positives_all_scenes": 2},
}
# letter: scene, how many texts begin with it, the student's score, the teacher's probability; all of the threshold days
EVIDENCE = {
    "a": ("live_chat", 3, 0.9, 0.7), "b": ("live_chat", 2, 0.75, 0.7), "c": ("live_chat", 3, 0.25, 0.6),
    "d": ("photo", 1, 0.5, 0.9), "e": ("photo", 4, 0.125, 0.1), "t": ("live_chat", 1, 0.02, 0.99),
}  # fmt: skip


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    answers = {letter: [score, 0.5] for letter, (_, _, score, _) in EVIDENCE.items()}
    return seal_by_first_letter(tmp_path_factory.mktemp("student"), ("asks", "got"), answers, STUDENT)


def context_for(lake: Lake, **options: Any) -> Context:
    return context_of(lake, "thresholds", options=options, **SETTINGS)


def scored(text: str, number: int, scene: str, chance: float) -> dict[Any, list[dict[str, Any]]]:
    return {
        tables.TEXTS: [text_row(f"{text}-{scene}", text, dt=day(1 + number % 2), scene=scene)],
        tables.TEACHER_SCORES: [teacher_score(TEACHER, text, chance, 0.01)],
    }


@pytest.fixture
def lake(bare_lake: Callable[..., Lake], bundle: str) -> Lake:
    """Texts of the days before, within and after the threshold days; a student that was not searched for yet."""
    made = bare_lake(*TABLES)
    rows: dict[Any, list[dict[str, Any]]] = {
        tables.TEXTS: [text_row("a-train"), text_row("t", dt=day(3)), text_row("a-gate", dt=day(4))],
        tables.TEACHER_SCORES: [teacher_score(TEACHER, "t", 0.99, 0.01)],
        tables.MODELS: [
            model_row(STUDENT, ["asks", "got"], teacher_id=TEACHER, path=bundle, round_id="praise/bow/01"),
            model_row(TEACHER, ["asks", "got"], role="teacher"),
        ],
        tables.THRESHOLDS: [
            threshold_row(TEACHER, "asks", 0.65), threshold_row(TEACHER, "got", 0.5),
            threshold_row(TEACHER, "asks", 0.8, scene="photo"),
        ],
    }  # fmt: skip
    for letter, (scene, texts, _, chance) in EVIDENCE.items():
        for number in range(0 if letter == "t" else texts):
            for table, more in scored(f"{letter}{number}", number, scene, chance).items():
                rows[table] += more
    return fill(made, rows)


def found(lake: Lake, model_id: str = STUDENT, *columns: str, **values: Any) -> list[tuple[Any, ...]]:
    rows = [row for row in lake.rows(tables.THRESHOLDS) if row["model_id"] == model_id]
    chosen = [row for row in rows if all(row[name] == value for name, value in values.items())]
    return sorted(tuple(row[name] for name in columns) for row in chosen)


def test_a_scene_gets_its_own_threshold_only_with_positives_enough(lake: Lake) -> None:
    done = do(thresholds.JOB, context_for(lake))
    assert done is not None
    assert done.counts == {"thresholds": 3}
    values = [(*row[:2], round(row[2], 4), *row[3:]) for row in found(
        lake, STUDENT, "scene", "label", "value", "method", "positives", "version"
    )]  # fmt: skip
    assert values == [
        ("*", "asks", 0.375, "target", 6, 1), ("*", "got", 0.5, "default", 0, 1), ("live_chat", "asks", 0.5, "target",
        5, 1),
    ]  # fmt: skip


def test_the_evidence_is_that_of_the_threshold_days_and_its_worst_day_is_kept(lake: Lake) -> None:
    do(thresholds.JOB, context_for(lake))
    (row,) = (one for one in lake.rows(tables.THRESHOLDS) if (one["model_id"], one["scene"], one["label"]) == (
        STUDENT, "*", "asks"
    ))  # fmt: skip
    assert (row["first_dt"], row["last_dt"], row["gold"]) == (day(1), day(2), "teacher")
    assert (row["precision"], row["recall"], row["worst_precision"], row["worst_recall"]) == (1, 1, 1, 1)
    assert 0 < row["precision_low"] < 1
    assert row["precision_high"] == pytest.approx(1)


def test_what_the_student_learnt_from_on_earlier_days_is_no_evidence(lake: Lake) -> None:
    add(lake, tables.ROUND_SAMPLES, *[sample_row("praise/bow/01", text) for text in ("a0", "a1", "e0")])
    add(lake, tables.ROUND_SAMPLES, sample_row("praise/bow/other", "a2"))
    do(thresholds.JOB, context_for(lake))
    assert found(lake, STUDENT, "positives", scene="*", label="asks") == [(4,)]


def test_a_student_is_searched_on_the_draw_of_the_threshold_days_alone(lake: Lake) -> None:
    """Every text was scored, for whatever reason; three are drawn."""
    texts = [f"{letter}{n}" for letter, (_, count, _, _) in EVIDENCE.items() if letter != "t" for n in range(count)]
    numbers = dict(zip(texts, draw_order([digests.of_text(text) for text in texts], 1).tolist(), strict=True))
    asking = [text for text in sorted(texts, key=lambda one: numbers[one])[:3] if text[0] in "abd"]
    scored_by = context_of(lake, **SETTINGS, teacher_scoring={"threshold_texts": 3})
    do(thresholds.JOB, scored_by)
    assert found(lake, STUDENT, "positives", scene="*", label="asks") == [(len(asking),)]


def test_a_text_that_is_said_a_hundred_times_is_one_piece_of_evidence(lake: Lake) -> None:
    more = [text_row(f"again{n}", "d0", dt=day(1 + n % 2), scene="photo") for n in range(100)]
    add(lake, tables.TEXTS, *more)
    do(thresholds.JOB, context_for(lake))
    assert {scene for (scene,) in found(lake, STUDENT, "scene")} == {"*", "live_chat"}
    ((positives, low),) = found(lake, STUDENT, "positives", "recall_low", scene="*", label="asks")
    assert positives == 106
    assert low < 0.65  # of six texts; of 106 it would be .97


def test_with_too_few_positives_a_label_keeps_the_threshold_it_has(lake: Lake) -> None:
    add(lake, tables.THRESHOLDS, *[threshold_row(STUDENT, label, 0.7) for label in ("asks", "got")])
    strict = SETTINGS | {"thresholds": {"min_positives": 9, "min_positives_all_scenes": 7}}
    done = do(thresholds.JOB, context_of(lake, **strict))
    assert done is not None
    assert done.counts == {"thresholds": 0}
    assert found(lake, STUDENT, "version", "value") == [(1, 0.7), (1, 0.7)]


def test_the_very_same_evidence_is_looked_at_once(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    do(thresholds.JOB, context_for(lake))
    before = versions(lake, tables.THRESHOLDS)
    assert do(thresholds.JOB, context_for(lake)) is None
    add(lake, tables.TEXTS, text_row("elsewhere", dt=day(0)), text_row("later", dt=day(4)))
    assert do(thresholds.JOB, context_for(lake)) is None
    monkeypatch.setattr("jobs.runtime.job.code_version", lambda: "of a later release")
    assert thresholds.plan(context_for(lake)).steps == (), "the bytes of the code decide nothing"
    assert versions(lake, tables.THRESHOLDS) == before


def test_new_evidence_that_moves_no_threshold_makes_no_version_even_when_the_log_forgot_the_search(lake: Lake) -> None:
    do(thresholds.JOB, context_for(lake))
    context = context_for(lake)
    for number in (7, 8):
        fill(lake, scored(f"a{number}", number, "live_chat", 0.7))
        done = do(thresholds.JOB, context)
        assert done is not None
        assert done.counts == {"thresholds": 0}
        assert do(thresholds.JOB, context) is None  # the look was noted
    model = thresholds.registry.newest_student(lake, "praise")
    window = thresholds.text_queries.date_layout(lake, context.settings.rounds).threshold
    thresholds.execute(context, thresholds.Search((model,), window))  # as when the log was cleaned
    assert {version for (version,) in found(lake, STUDENT, "version")} == {1}


def test_a_threshold_that_moves_makes_the_next_version_of_all(lake: Lake) -> None:
    do(thresholds.JOB, context_for(lake))
    for number in range(10, 16):  # texts that the student scores .75 are none of the label's now
        fill(lake, scored(f"b{number}", number, "live_chat", 0.1))
    do(thresholds.JOB, context_for(lake))
    newer = found(lake, STUDENT, "scene", "label", version=2)
    assert newer == [("*", "asks"), ("*", "got"), ("live_chat", "asks")]
    ((value,),) = [found(lake, STUDENT, "value", version=2, scene="live_chat", label="asks")]
    assert value[0] == pytest.approx(0.825)


@pytest.mark.parametrize(
    ("before", "after", "has_moved"),
    [
        ({}, {("*", "a"): 0.5}, True),
        ({("*", "a"): 0.5}, {("*", "a"): 0.51}, False),
        ({("*", "a"): 0.5}, {("*", "a"): 0.53}, True),
        ({("*", "a"): 0.5}, {("*", "a"): 0.5, ("chat", "a"): 0.51}, False),
        ({("*", "a"): 0.5}, {("*", "a"): 0.5, ("chat", "a"): 0.6}, True),
        ({("*", "a"): 0.5, ("chat", "a"): 0.6}, {("*", "a"): 0.5}, True),
        ({("*", "a"): 0.5, ("chat", "a"): 0.51}, {("*", "a"): 0.5}, False),
        ({("*", "a"): 0.5}, {}, False),
    ],
)
def test_what_counts_as_moved_is_what_a_scene_is_decided_by(before: Any, after: Any, has_moved: bool) -> None:
    assert moved(before, after, 0.02) == has_moved


def test_a_teacher_is_searched_against_annotators_on_texts_it_did_not_learn_from_and_its_student_follows(
    lake: Lake,
) -> None:
    new = {f"{letter}{n}": letter in "ab" for letter, n in [("a", 0), ("a", 1), ("b", 0), ("b", 1), ("c", 0), ("c", 1)]}
    learnt = [text_row(f"c{n}", dt=day(1)) for n in (2, 5)]
    add(lake, tables.TEXTS, learnt[1])
    add(lake, tables.TEACHER_SCORES, teacher_score(TEACHER, "c5", 0.6, 0.01))
    add(lake, tables.ROUND_SAMPLES, *[
        {"round_id": TEACHER, "text_id": row["text_id"], "text_hash": row["text_hash"], "text": row["text"],
         "position": 0, "split": "train", "reasons": ["annotated"], "weight": 1.0, "hard": [1.0, None]}
        for row in learnt
    ])  # fmt: skip
    said = [annotation_row("praise", "asks", text, value) for text, value in new.items()]
    add(lake, tables.ANNOTATIONS, *said, *[annotation_row("praise", "asks", f"c{n}", True) for n in (2, 5)])
    do(thresholds.JOB, context_for(lake, teachers=True))
    ((value, gold, positives),) = found(lake, TEACHER, "value", "gold", "positives", version=2, label="asks")
    assert (round(value, 3), gold, positives) == (0.65, "human", 4)
    assert found(lake, STUDENT, "version") == []
    do(thresholds.JOB, context_for(lake))
    assert found(lake, STUDENT, "positives", label="asks", scene="*") == [(6,)]


def test_a_label_that_the_teacher_was_not_trusted_with_is_searched_against_annotators(lake: Lake) -> None:
    trust = {"asks": 0.0, "got": 1.0}
    add(lake, tables.ROUNDS, round_row(STUDENT, "praise/bow/01", teacher_id=TEACHER, trust=trust))
    context = context_for(lake)
    do(thresholds.JOB, context)
    assert found(lake, STUDENT, "method", "gold", label="asks", scene="*") == [("default", "human")]  # nobody answered
    assert found(lake, STUDENT, "gold", label="got", scene="*") == [("teacher",)]
    answered = {f"{letter}{n}": letter == "a" for letter, n in [("a", 0), ("a", 1), ("b", 0), ("b", 1), ("c", 0)]}
    add(lake, tables.ANNOTATIONS, *[annotation_row("praise", "asks", text, value) for text, value in answered.items()])
    do(thresholds.JOB, context_for(lake))  # answers are evidence of such a student
    assert found(lake, STUDENT, "gold", "positives", version=2, label="asks", scene="*") == [("human", 2)]


def test_without_annotations_a_teachers_first_thresholds_stay(lake: Lake) -> None:
    done = do(thresholds.JOB, context_for(lake, teachers=True))
    assert done is not None
    assert done.counts == {"thresholds": 0}
    assert found(lake, TEACHER, "version") == [(1,), (1,), (1,)]
    assert do(thresholds.JOB, context_for(lake, teachers=True)) is None


def test_a_student_whose_teacher_scored_nothing_is_told(lake: Lake) -> None:
    other = "feedback/bert/t"
    add(lake, tables.MODELS, model_row(other, ["complaint"], role="teacher"))
    add(lake, tables.MODELS, model_row("feedback/bow/b", ["complaint"], teacher_id=other))
    feedback = {"feedback": {"scenes": ["live_chat"], "labels": {"complaint": {}}}}
    context = context_of(lake, task="feedback", **SETTINGS | {"tasks": feedback})
    with pytest.raises(DataError, match="feedback/bert/t scored no text of 2026-03-03 to 2026-03-04; run `pingti sco"):
        do(thresholds.JOB, context)
