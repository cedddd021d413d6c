"""No round is run under a teacher that annotators agree with less than with its student, unless that is accepted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jobs.lake import tables
from jobs.lake.store import Lake
from jobs.rounds import distil
from jobs.runtime.context import Context
from jobs.teachers import held_out
from models.errors import GateError
from tests.support import DAY, add, context_of, day, fill, model_row, text_row

WEAK, STRONG, UNKNOWN = "praise/teacher/a", "mood/teacher/a", "topic/teacher/a"


def evaluation(teacher: str, model_id: str, tp: int) -> dict[str, Any]:
    """Of ten positives so many are found."""
    return {
        "round_id": f"held_out/{teacher}", "model_id": model_id, "dt": DAY, "scene": "live_chat", "label": "asks",
        "gold": "human", "purpose": "held_out", "tp": tp, "fp": 0, "fn": 10 - tp, "tn": 10, "run_id": "seed",
    }  # fmt: skip


@pytest.fixture(scope="module")
def own(shared_bare_lake: Callable[..., Lake]) -> Lake:
    figures = {WEAK: (5, 8), STRONG: (8, 5)}
    return fill(shared_bare_lake(tables.MODELS, tables.ROUNDS, tables.TEXTS, tables.EVALUATIONS), {
        tables.MODELS: [model_row(one, ["asks"], role="teacher") for one in (WEAK, STRONG, UNKNOWN)],
        tables.TEXTS: [text_row("a"), text_row("b", dt=day(1))],
        tables.EVALUATIONS: [
            evaluation(teacher, model_id, tp)
            for teacher, both in figures.items()
            for model_id, tp in zip((teacher, f"{teacher}/undistilled/x"), both, strict=True)
        ],
    })  # fmt: skip


def planning(lake: Lake, *, accepted: bool = False, force: bool = False, task: str | None = None) -> Context:
    days = {"threshold_days": 0, "test_days": 1, "gate_days": 0, "min_train_days": 1}
    one = {"scenes": ["live_chat"], "labels": {"asks": {}}}
    return context_of(
        lake, "distil", tasks=dict.fromkeys(("praise", "mood", "topic"), one), task=task, options={"force": force},
        rounds=days | {"accept_weak_teacher": accepted},
    )  # fmt: skip


def test_a_plan_says_which_round_is_refused_and_by_which_figures(own: Lake) -> None:
    praise, mood, topic = distil.plan(planning(own)).steps
    assert praise.startswith("refuse praise/textcnn/01: praise/teacher/a")
    assert "0.667 against annotators" in praise
    assert "0.889" in praise
    assert mood.startswith("mood/textcnn/01: annotated sampling")
    assert topic.startswith("topic/textcnn/01: annotated sampling")  # annotators said nothing: nobody knows


@pytest.mark.parametrize("way", [{"accepted": True}, {"force": True}])
def test_it_is_learnt_from_all_the_same_where_that_is_said(own: Lake, way: dict[str, bool]) -> None:
    assert not [step for step in distil.plan(planning(own, **way)).steps if step.startswith("refuse")]


def test_a_run_that_may_learn_from_nobody_ends_with_the_gate_and_leaves_nothing(own: Lake) -> None:
    context = planning(own, task="praise")
    with pytest.raises(GateError, match=r"0\.667 .* 0\.889, .*--force or rounds\.accept_weak_teacher"):
        distil.execute(context, distil.plan(context).required())
    assert own.rows(tables.ROUNDS) == []


def test_what_is_kept_of_a_teacher_is_read_back(own: Lake) -> None:
    teacher = distil.plan(planning(own, task="mood")).required()[0].teacher
    found = held_out.recorded(own, teacher)
    assert found is not None
    assert (found.rows, found.positives, found.weak) == (20, 10, False)
    add(own, tables.EVALUATIONS, evaluation("mood/teacher/other", "mood/teacher/other", 1))
    assert held_out.recorded(own, teacher) == found
