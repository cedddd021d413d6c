"""A teacher teaches a label as far as it is trusted with it; with none, the student learns from annotators alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jobs.evaluation.trusted_labels import untrusted_labels
from jobs.lake import registry, tables
from jobs.lake.store import Lake
from jobs.rounds import distil
from jobs.rounds.round import DecidingSettings
from jobs.runtime.context import Context
from jobs.teachers import held_out
from tests.support import DAY, add, context_of, day, fill, model_row, round_row, text_row

WEAK, STRONG, UNKNOWN, HALF = "praise/teacher/a", "mood/teacher/a", "topic/teacher/a", "half/teacher/a"
TRUST = {WEAK: (0.0, 0.0), STRONG: (1.0, 0.4), HALF: (0.0, 0.9)}


def trust_row(teacher: str, label: str, trust: float) -> dict[str, Any]:
    return {
        "model_id": teacher, "label": label, "trust": trust, "teacher_f1": 0.5 + trust / 4, "student_f1": 0.6,
        "low": -0.1, "high": 0.1, "texts": 100, "positives": 30, "run_id": "seed",
    }  # fmt: skip


def evaluation(teacher: str, model_id: str, tp: int) -> dict[str, Any]:
    """Of ten positives so many are found."""
    return {
        "round_id": f"held_out/{teacher}", "model_id": model_id, "dt": DAY, "scene": "live_chat", "label": "asks",
        "gold": "human", "purpose": "held_out", "tp": tp, "fp": 0, "fn": 10 - tp, "tn": 10, "run_id": "seed",
    }  # fmt: skip


def warehouse(make: Callable[..., Lake]) -> Lake:
    own = make(tables.MODELS, tables.ROUNDS, tables.TEXTS, tables.EVALUATIONS, tables.LABEL_TRUST)
    return fill(own, {
        tables.MODELS: [model_row(one, ["asks", "gets"], role="teacher") for one in (WEAK, STRONG, UNKNOWN, HALF)],
        tables.TEXTS: [text_row("a"), text_row("b", dt=day(1))],
        tables.LABEL_TRUST: [
            trust_row(teacher, label, trust)
            for teacher, both in TRUST.items()
            for label, trust in zip(("asks", "gets"), both, strict=True)
        ],
    })  # fmt: skip


@pytest.fixture(scope="module")
def own(shared_bare_lake: Callable[..., Lake]) -> Lake:
    return warehouse(shared_bare_lake)


def planning(lake: Lake, *, accepted: bool = False, force: bool = False, task: str | None = None) -> Context:
    days = {"threshold_days": 0, "test_days": 1, "gate_days": 0, "min_train_days": 1}
    one = {"scenes": ["live_chat"], "labels": {"asks": {}, "gets": {}}}
    return context_of(
        lake, "distil", tasks=dict.fromkeys(("praise", "mood", "topic", "half"), one), task=task,
        options={"force": force}, rounds=days | {"accept_weak_teacher": accepted, "sampling": ["random"]},
    )  # fmt: skip


def test_a_plan_says_what_is_learnt_without_the_teacher(own: Lake) -> None:
    praise, mood, topic, half = distil.plan(planning(own)).steps
    assert praise == (
        "praise/textcnn/01: annotated sampling, teacher praise/teacher/a, which is trusted with no label: the student "
        "learns from annotators alone"
    )
    assert mood == "mood/textcnn/01: random sampling, teacher mood/teacher/a"
    assert topic == "topic/textcnn/01: random sampling, teacher topic/teacher/a"  # nobody knows: trusted
    assert half == "half/textcnn/01: random sampling, teacher half/teacher/a, without it asks"


def test_a_round_knows_how_far_each_label_is_taught(own: Lake) -> None:
    praise, mood, topic, half = distil.plan(planning(own)).required()
    assert (praise.is_undistilled, praise.scheme, praise.sampling) == (True, "none", "annotated")
    assert (mood.trust, mood.scheme) == ({"asks": 1.0, "gets": 0.4}, "offline")
    assert topic.trust == {}
    assert not half.is_undistilled


@pytest.mark.parametrize("way", [{"accepted": True}, {"force": True}])
def test_it_is_learnt_from_all_the_same_where_that_is_said(own: Lake, way: dict[str, bool]) -> None:
    assert [one.trust for one in distil.plan(planning(own, **way)).required()] == [{}] * 4


def test_a_teacher_that_comes_to_be_trusted_gets_its_round(bare_lake: Callable[..., Lake]) -> None:
    """The candidate without it stays the newest until somebody says so, or annotators do."""
    own = warehouse(bare_lake)
    context = planning(own, task="praise")
    deciding = DecidingSettings.of(context.settings.task("praise"), context.settings.rounds).as_json()
    add(own, tables.ROUNDS, round_row(
        "praise/textcnn/a", "praise/textcnn/01", number=1, teacher_id=WEAK, sampling="annotated", decision="stop",
        next_sampling=None, settings=deciding, trust={"asks": 0.0, "gets": 0.0},
    ))  # fmt: skip
    assert distil.plan(context).steps == ()
    (again,) = distil.plan(planning(own, task="praise", force=True)).required()
    assert (again.round_id, again.number, again.sampling, again.trust) == ("praise/textcnn/02", 1, "random", {})
    add(own, tables.ROUNDS, round_row(
        "praise/textcnn/b", again.round_id, number=1, teacher_id=WEAK, sampling="random", decision="stop",
        next_sampling=None, settings=deciding, trust={},
    ))  # fmt: skip
    assert distil.plan(context).steps == ()  # the next night leaves what somebody asked for


def test_a_student_is_held_to_annotators_where_its_teacher_was_not_trusted(bare_lake: Callable[..., Lake]) -> None:
    own = bare_lake(tables.MODELS, tables.ROUNDS)
    add(own, tables.MODELS, model_row("praise/textcnn/a", ["asks", "gets"]))
    student = registry.model(own, "praise/textcnn/a")
    assert untrusted_labels(own, student) == frozenset()
    for run, trust in (("r1", {"asks": 0.0, "gets": 0.0}), ("r2", {"asks": 0.0, "gets": 0.3})):
        add(own, tables.ROUNDS, round_row("praise/textcnn/a", f"praise/textcnn/{run}", run_id=run, trust=trust))
    assert untrusted_labels(own, student) == {"asks"}
    add(own, tables.ROUNDS, round_row("praise/textcnn/a", "praise/textcnn/r3", run_id="r3"))  # of an earlier version
    assert untrusted_labels(own, student) == frozenset()


def test_what_is_kept_of_a_teacher_is_read_back(own: Lake) -> None:
    teacher = distil.plan(planning(own, task="mood")).required()[0].teacher
    assert held_out.recorded(own, teacher) is None
    add(own, tables.EVALUATIONS, evaluation(STRONG, STRONG, 8), evaluation(STRONG, f"{STRONG}/undistilled/x", 5))
    found = held_out.recorded(own, teacher)
    assert found is not None
    assert (found.rows, found.positives, found.weak) == (20, 10, False)
    add(own, tables.EVALUATIONS, evaluation("mood/teacher/other", "mood/teacher/other", 1))
    assert held_out.recorded(own, teacher) == found
    first, second = held_out.trust(own, teacher)
    assert (first.label, first.trust, second.trust) == ("asks", 1.0, 0.4)
    assert first.words == "asks 1.00 (F1 0.750, without the teacher 0.600; difference -0.100 to +0.100, 30 positives)"
