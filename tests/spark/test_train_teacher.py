"""Teachers stay until annotations, labels or their settings change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jobs.lake import registry, tables
from jobs.lake.store import Lake
from jobs.runtime.context import Context
from jobs.teachers import train_teacher
from tests.support import DAY, add, context_of, day, do, fill, text_row

pytestmark = pytest.mark.spark

TEACHER = {"layers": 1, "hidden": 16, "pretrain_steps": 2, "epochs": 1, "max_tokens": 16, "vocabulary_size": 40}
ROUNDS = {"threshold_days": 0, "test_days": 1, "gate_days": 0, "min_train_days": 1}


def answer(text_id: str, value: bool, **values: Any) -> dict[str, Any]:
    return {
        "task": "praise", "label": "asks", "text_id": text_id, "annotator": "a", "value": value, "text_hash": text_id,
        "dt": DAY, "file": "a.jsonl", "run_id": "seed",
    } | values  # fmt: skip


def context_for(lake: Lake, labels: tuple[str, ...] = ("asks",), epochs: int = 1, **options: Any) -> Context:
    task = {"scenes": ["live_chat"], "labels": {one: {} for one in labels}, "teacher": TEACHER | {"epochs": epochs}}
    return context_of(lake, "train-teacher", tasks={"praise": task}, rounds=ROUNDS, options=options)


def test_texts_alone_make_no_teacher_and_answers_do(lake: Callable[..., Lake]) -> None:
    own = lake(*tables.ALL)
    texts = [text_row(f"t{at}", f"老师{'好' * at}", text_hash=f"t{at}") for at in range(6)]
    fill(own, {tables.TEXTS: [*texts, text_row("later", dt=day(1))],
               tables.ANNOTATIONS: [answer(f"t{at}", at % 2 == 0) for at in range(4)]})  # fmt: skip
    assert do(train_teacher.JOB, context_for(own)) is not None
    first = registry.newest_teacher(own, "praise")

    add(own, tables.TEXTS, *[text_row(f"new{at}", dt=day(2 + at)) for at in range(5)])
    assert train_teacher.plan(context_for(own)).steps == ()
    assert train_teacher.plan(context_for(own, again=True)).steps != ()
    assert do(train_teacher.JOB, context_for(own, again=True)) is None, "its rows are what they were"

    add(own, tables.ANNOTATIONS, answer("t4", True))
    assert do(train_teacher.JOB, context_for(own)) is not None
    second = registry.newest_teacher(own, "praise")
    assert second.model_id != first.model_id
    assert train_teacher.plan(context_for(own)).steps == ()
    assert train_teacher.plan(context_for(own, epochs=2)).steps != ()
    assert train_teacher.plan(context_for(own, labels=("asks", "got"))).steps != ()
