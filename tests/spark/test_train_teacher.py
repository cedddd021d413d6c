"""Teachers stay until annotations, labels, their settings or their base change; each is held to annotators at once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from jobs.lake import registry, tables
from jobs.lake.store import Lake
from jobs.runtime.context import Context
from jobs.teachers import held_out, pretrain, train_teacher
from models.teachers.teacher import Teacher
from tests.support import DAY, add, annotation_row, context_of, day, do, fill, text_row

pytestmark = pytest.mark.spark

TEACHER = {
    "layers": 1,
    "hidden": 16,
    "pretrain_steps": 2,
    "epochs": 1,
    "min_steps": 0,
    "max_tokens": 16,
    "vocabulary_size": 40,
}
ROUNDS = {"threshold_days": 0, "test_days": 1, "gate_days": 0, "min_train_days": 1}
SETTINGS = {"filters": 8, "embedding": 8, "widths": [1, 2], "epochs": 2}


def answer(text_id: str, value: bool, **values: Any) -> dict[str, Any]:
    return {
        "task": "praise", "label": "asks", "text_id": text_id, "annotator": "a", "value": value, "text_hash": text_id,
        "dt": DAY, "file": "a.jsonl", "run_id": "seed",
    } | values  # fmt: skip


def context_for(
    lake: Lake, labels: tuple[str, ...] = ("asks",), epochs: int = 1, *, student: dict[str, Any] | None = None,
    base: Path | None = None, teacher: dict[str, Any] | None = None, **options: Any,
) -> Context:  # fmt: skip
    from_elsewhere = {"from": str(base), "pretrain_steps": 0} if base else {}
    given = TEACHER | {"epochs": epochs} | from_elsewhere | (teacher or {})
    task = {
        "scenes": ["live_chat"], "labels": {one: {} for one in labels}, "teacher": given,
        "student": SETTINGS | (student or {}),
    }  # fmt: skip
    return context_of(
        lake, "train-teacher", tasks={"praise": task}, rounds=ROUNDS, options=options, thresholds={"min_positives": 4}
    )


def bases(lake: Lake) -> list[str]:
    """The recorded bases, the newest first."""
    return [model.model_id for model, _ in registry.with_settings(lake, "*", "base")]


def test_texts_alone_make_no_base_and_no_teacher_and_answers_do(lake: Callable[..., Lake]) -> None:
    own = lake(*tables.ALL)
    texts = [text_row(f"t{at}", f"老师{'好' * at}", text_hash=f"t{at}") for at in range(6)]
    fill(own, {tables.TEXTS: [*texts, text_row("later", dt=day(1))],
               tables.ANNOTATIONS: [answer(f"t{at}", at % 2 == 0) for at in range(4)]})  # fmt: skip
    assert do(train_teacher.JOB, context_for(own)) is not None
    first = registry.newest_teacher(own, "praise")
    (base,) = bases(own)
    assert registry.model(own, base).path == first.base

    add(own, tables.TEXTS, *[text_row(f"new{at}", dt=day(2 + at)) for at in range(5)])
    assert pretrain.plan(context_for(own)).steps == ()
    assert train_teacher.plan(context_for(own)).steps == ()
    assert train_teacher.plan(context_for(own, again=True)).steps != ()
    assert do(train_teacher.JOB, context_for(own, again=True)) is None, "its rows are what they were"

    add(own, tables.ANNOTATIONS, answer("t4", True))
    assert do(train_teacher.JOB, context_for(own)) is not None
    second = registry.newest_teacher(own, "praise")
    assert second.model_id != first.model_id
    assert second.base == first.base
    assert train_teacher.plan(context_for(own)).steps == ()
    assert train_teacher.plan(context_for(own, epochs=2)).steps != ()
    assert train_teacher.plan(context_for(own, labels=("asks", "got"))).steps != ()


def test_another_base_under_the_same_settings_makes_a_new_teacher(lake: Callable[..., Lake], tmp_path: Path) -> None:
    own = lake(*tables.ALL)
    texts = [text_row(f"t{at}", f"老师{'好' * at}", text_hash=f"t{at}") for at in range(6)]
    fill(own, {tables.TEXTS: [*texts, text_row("later", dt=day(1))],
               tables.ANNOTATIONS: [answer(f"t{at}", at % 2 == 0) for at in range(4)]})  # fmt: skip
    assert do(pretrain.JOB, context_for(own)) is not None
    assert do(train_teacher.JOB, context_for(own)) is not None
    first = registry.newest_teacher(own, "praise")
    assert len(bases(own)) == 1, "the recorded base is what the teacher began as"
    assert do(pretrain.JOB, context_for(own, again=True)) is None, "the texts are what they were"

    add(own, tables.TEXTS, *[text_row(f"new{at}", dt=day(2 + at)) for at in range(5)])
    assert do(pretrain.JOB, context_for(own, again=True)) is not None
    assert len(bases(own)) == 2
    assert train_teacher.plan(context_for(own)).steps != ()
    assert do(train_teacher.JOB, context_for(own)) is not None
    second = registry.newest_teacher(own, "praise")
    assert second.model_id != first.model_id
    assert second.base == registry.model(own, bases(own)[0]).path != first.base
    assert train_teacher.plan(context_for(own)).steps == ()

    folder = Path(second.base or "")  # the same bytes by their path are another identity than by their row
    assert do(train_teacher.JOB, context_for(own, base=folder)) is not None
    assert len(bases(own)) == 2
    third = registry.newest_teacher(own, "praise")
    assert third.model_id not in (first.model_id, second.model_id)
    moved = folder.rename(tmp_path / "moved")
    assert train_teacher.plan(context_for(own, base=moved)).steps == ()
    (moved / "config.json").write_text((moved / "config.json").read_text("utf-8") + "\n", "utf-8")
    assert train_teacher.plan(context_for(own, base=moved)).steps != ()


@pytest.fixture(scope="module")
def judged(shared_lake: Callable[..., Lake]) -> Lake:
    """Texts with 好 ask, by the annotators of the training day and of the test day; one text is of both days."""
    own = shared_lake(*tables.ALL)
    texts = [("好" if at % 2 else "") + f"老师{at}" for at in range(40)]
    days = {text: day(at // 20) for at, text in enumerate(texts)}
    rows = [text_row(text, dt=when) for text, when in days.items()]
    both = text_row("again", texts[1], dt=day(1))
    said = [annotation_row("praise", "asks", text, "好" in text, dt=when) for text, when in days.items()]
    repeated = annotation_row("praise", "asks", texts[1], False, text_id="again", dt=day(1))
    return fill(own, {tables.TEXTS: [*rows, both], tables.ANNOTATIONS: [*said, repeated]})


def figures(lake: Lake) -> list[dict[str, Any]]:
    return [row for row in lake.rows(tables.EVALUATIONS) if row["purpose"] == held_out.PURPOSE]


def test_a_teacher_and_its_student_are_held_to_annotated_texts_that_neither_has_seen(judged: Lake) -> None:
    done = do(train_teacher.JOB, context_for(judged))
    assert done is not None
    teacher = registry.newest_teacher(judged, "praise")
    rows = figures(judged)
    assert {row["round_id"] for row in rows} == {f"held_out/{teacher.model_id}"}
    assert {row["model_id"].removeprefix(teacher.model_id)[:13] for row in rows} == {"", "/undistilled/"}
    for row in rows:  # twenty texts of the test day; the one that the teacher learnt from is left out
        assert (row["dt"], row["gold"]) == (day(1), "human")
        assert row["tp"] + row["fn"] == 10
        assert row["fp"] + row["tn"] == 10
    found = held_out.recorded(judged, teacher)
    assert found is not None
    assert found.figures in (done.reason or "")

    version = judged.log.version(tables.EVALUATIONS)
    assert train_teacher.plan(context_for(judged)).steps == ()
    assert do(train_teacher.JOB, context_for(judged, again=True)) is None
    assert figures(judged) == rows
    assert judged.log.version(tables.EVALUATIONS) >= version


def test_another_student_is_compared_without_another_teacher(judged: Lake) -> None:
    do(train_teacher.JOB, context_for(judged))
    teacher, before = registry.newest_teacher(judged, "praise"), figures(judged)
    other = {"filters": 4}
    assert train_teacher.plan(context_for(judged, student=other)).steps != ()
    assert do(train_teacher.JOB, context_for(judged, student=other)) is not None
    assert registry.newest_teacher(judged, "praise") == teacher
    after = figures(judged)
    assert len(after) == len(before)
    assert {row["model_id"] for row in after} & {row["model_id"] for row in before} == {teacher.model_id}
    assert train_teacher.plan(context_for(judged, student=other)).steps == ()


def test_where_annotators_say_nothing_of_later_days_it_is_told_and_recorded(lake: Callable[..., Lake]) -> None:
    own = lake(*tables.ALL)
    texts = [text_row(f"t{at}", f"老师{'好' * at}", text_hash=f"t{at}") for at in range(6)]
    fill(own, {tables.TEXTS: [*texts, text_row("later", dt=day(1))],
               tables.ANNOTATIONS: [answer(f"t{at}", at % 2 == 0) for at in range(4)]})  # fmt: skip
    done = do(train_teacher.JOB, context_for(own))
    assert done is not None
    assert "annotators say too little" in (done.reason or "")
    assert figures(own) == []
    assert train_teacher.plan(context_for(own)).steps == ()
    assert held_out.recorded(own, registry.newest_teacher(own, "praise")) is None


def test_several_processes_fine_tune_one_teacher(lake: Callable[..., Lake]) -> None:
    """Data parallelism by Spark's own distributor: two processes, one teacher, which is opened like any other."""
    own = lake(*tables.ALL)
    texts = [text_row(f"t{at}", f"老师{'好' * at}", text_hash=f"t{at}") for at in range(8)]
    fill(own, {tables.TEXTS: [*texts, text_row("later", dt=day(1))],
               tables.ANNOTATIONS: [answer(f"t{at}", at % 2 == 0) for at in range(8)]})  # fmt: skip
    assert do(train_teacher.JOB, context_for(own, teacher={"processes": 2, "epochs": 2})) is not None
    teacher = registry.newest_teacher(own, "praise")
    assert Teacher.open(registry.files(own, teacher).local()).labels == ("asks",)
    assert not list(own.bundles.folder.glob("training/*/checkpoint-*"))


def test_a_given_model_is_pretrained_further_once_and_a_teacher_begins_as_it(
    lake: Callable[..., Lake], tmp_path: Path
) -> None:
    own = lake(*tables.ALL)
    texts = [text_row(f"t{at}", f"老师{'好' * at}", text_hash=f"t{at}") for at in range(6)]
    fill(own, {tables.TEXTS: [*texts, text_row("later", dt=day(1))],
               tables.ANNOTATIONS: [answer(f"t{at}", at % 2 == 0) for at in range(4)]})  # fmt: skip
    assert do(pretrain.JOB, context_for(own)) is not None
    small = registry.model(own, bases(own)[0])
    folder = tmp_path / "given"
    shutil.copytree(small.path, folder)
    further = {"pretrain_steps": 3, "pretrain_masking": "whole_words", "pretrain_masked": [0.3, 0.15]}
    again = partial(context_for, own, base=folder, teacher=further)
    assert do(pretrain.JOB, again()) is not None
    made = registry.model(own, bases(own)[0])
    assert (made.base, small.base) == (str(folder), None)
    assert made.digests["model.safetensors"] != small.digests["model.safetensors"]
    assert pretrain.plan(again()).steps == ()
    assert do(pretrain.JOB, again(again=True)) is None, "the texts are what they were"
    assert do(train_teacher.JOB, again()) is not None
    assert registry.newest_teacher(own, "praise").base == made.path
    assert train_teacher.plan(again()).steps == ()
    assert not list((Path(own.bundles.place) / "training").glob("base*"))
