"""Which round comes next is told by the rows of those that ended."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs.lake import registry, tables
from jobs.lake.store import Lake
from jobs.rounds import distil
from jobs.rounds.round import DecidingSettings, Round
from jobs.rounds.sampling import sample
from jobs.runtime.context import Context
from models import digests
from models.rounds.date_layout import DateLayout, Window
from tests.support import DAY, add, context_of, day, fill, model_row, round_row, text_row, threshold_row

pytestmark = pytest.mark.spark

TASK: dict[str, Any] = {"scenes": ["live_chat"], "labels": {"asks": {}}}
TEACHER, SECOND = "praise/teacher/a", "praise/teacher/b"


def planning(lake: Lake, *, filters: int = 32, rounds: int = 2) -> Context:
    task = TASK | {"student": {"filters": filters}}
    days = {"threshold_days": 0, "test_days": 1, "gate_days": 0, "min_train_days": 1}
    return context_of(lake, "distil", tasks={"praise": task}, rounds=days | {"rounds": rounds})


def planned(context: Context) -> list[tuple[str, int, str, str]]:
    return [
        (one.round_id, one.number, one.sampling, one.teacher.model_id) for one in (distil.plan(context).payload or ())
    ]  # fmt: skip


def end(context: Context, round_id: str, number: int, sampling: str, decision: str, following: str | None) -> None:
    """The row of a round that ended."""
    deciding = DecidingSettings.of(context.settings.task("praise"), context.settings.rounds)
    row = round_row(
        "praise/textcnn/a", round_id, number=number, teacher_id=TEACHER, sampling=sampling, decision=decision,
        next_sampling=following, settings=deciding.as_json(),
    )  # fmt: skip
    add(context.lake, tables.ROUNDS, row)


def test_rounds_follow_each_other_until_one_ends_them(lake: Callable[..., Lake]) -> None:
    own = lake(tables.ROUNDS, tables.MODELS, tables.TEXTS, tables.EVALUATIONS, tables.LABEL_TRUST)
    add(own, tables.MODELS, model_row(TEACHER, ["asks"], kind="bert", role="teacher"))
    add(own, tables.TEXTS, text_row("a"), text_row("b", dt=day(1)))
    context = planning(own)
    assert planned(context) == [("praise/textcnn/01", 1, "annotated", TEACHER)]
    end(context, "praise/textcnn/01", 1, "annotated", "go_on", "random")
    assert planned(context) == [("praise/textcnn/02", 2, "random", TEACHER)]
    end(context, "praise/textcnn/02", 2, "random", "promote", None)
    assert planned(context) == []

    for changed in (planning(own, filters=64), planning(own, rounds=3)):
        assert planned(changed) == [("praise/textcnn/03", 2, "random", TEACHER)]
    end(planning(own, rounds=3), "praise/textcnn/03", 2, "random", "go_on", "random")
    assert planned(planning(own, rounds=3)) == [("praise/textcnn/04", 3, "random", TEACHER)]

    later = datetime(2026, 2, 1, tzinfo=UTC)
    add(own, tables.MODELS, model_row(SECOND, ["asks"], kind="bert", role="teacher", created_at=later))
    assert planned(context) == [("praise/textcnn/04", 1, "annotated", SECOND)]


def test_a_drawn_row_has_the_labels_of_its_teacher_in_the_order_of_the_settings(
    shared_lake: Callable[..., Lake],
) -> None:
    """The teacher knows two of three classes, in another order; of one text the annotators spoke."""
    own = shared_lake(tables.TEXTS, tables.TEACHER_SCORES, tables.ROUND_SAMPLES, tables.THRESHOLDS, tables.MODELS)
    texts = {"told": [1.0, -1.0], "drawn": [-2.0, 0.5], "unscored": None}
    row = {"model_id": TEACHER, "bucket": 0, "cls": [0.0], "projection_version": "1"}
    base = {
        "round_id": TEACHER, "text_id": "told", "text_hash": digests.of_text("told"), "text": "told", "position": 0,
        "split": "train", "reasons": ["annotated"], "weight": 1.0, "hard": [0.0, 1.0],
    }  # fmt: skip
    fill(own, {
        tables.TEXTS: [text_row(text) for text in texts],
        tables.TEACHER_SCORES: [row | {"text_hash": digests.of_text(text), "logits": said}
                                for text, said in texts.items() if said],
        tables.ROUND_SAMPLES: [base],
        tables.THRESHOLDS: [threshold_row(TEACHER, label, 0.25) for label in ("c", "a")],
        tables.MODELS: [model_row(TEACHER, ["c", "a"], role="teacher")],
    })  # fmt: skip
    task = {"kind": "multi_class", "scenes": ["live_chat"], "labels": {"a": {}, "b": {}, "c": {}}}
    context = context_of(own, "distil", tasks={"praise": task})
    day, none = Window(DAY, DAY), Window(DAY + timedelta(1), DAY)
    layout = DateLayout(train=day, threshold=none, test=none, gate=none)
    declared, teacher = context.settings.task("praise"), registry.model(own, TEACHER)
    found = sample(own, Round("praise/textcnn/02", declared, 2, "random", teacher, layout, 1), context.settings.rounds)
    assert {row["text"]: (row["reasons"], row["hard"], row["soft"]) for row in found.collect()} == {
        "told": (["annotated"], [1.0, 0.0], [-1.0, 1.0]),
        "drawn": (["random"], [1.0, 0.0], [0.5, -2.0]),
    }


def test_what_a_model_was_made_from_comes_back_as_a_model_of_its_own(lake: Callable[..., Lake]) -> None:
    own = lake(tables.MODELS)
    names = []
    for month, made_from in enumerate("aaabbaaba", start=1):
        name, new = registry.free_name(own, "praise", "student", f"praise/textcnn/{made_from}")
        if new:
            add(own, tables.MODELS, model_row(name, ["asks"], created_at=datetime(2026, month, 1, tzinfo=UTC)))
        names.append((name.rpartition("/")[2], new))
    assert names == [
        ("a", True), ("a", False), ("a", False), ("b", True), ("b", False), ("a-2", True), ("a-2", False),
        ("b-2", True), ("a-3", True),
    ]  # fmt: skip
