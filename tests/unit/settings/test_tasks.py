"""What may be said of a task, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from models.tasks import LabelSettings, TaskSettings, TeacherSettings

TASK: dict[str, Any] = {"scenes": ["chat"], "labels": {"b": {}, "a": {}}}


def test_labels_keep_the_order_they_were_declared_in() -> None:
    assert TaskSettings.model_validate(TASK).label_names == ("b", "a")


@pytest.mark.parametrize("key", ["from", "source"])
def test_a_teachers_source_has_two_names(key: str) -> None:
    assert TeacherSettings.model_validate({key: "folder"}).source == "folder"
    assert TeacherSettings().source is None


def test_settings_written_and_read_again_are_the_same() -> None:
    task = TaskSettings.model_validate(TASK | {"teacher": {"from": "x"}})
    for by_alias in (False, True):
        assert TaskSettings.model_validate(task.model_dump(mode="json", by_alias=by_alias)) == task


@pytest.mark.parametrize(
    "change",
    [
        {"scenes": []},
        {"scenes": ["*"]},
        {"scenes": ["chat/room"]},
        {"labels": {}},
        {"labels": {"": {}}},
        {"labels": {" a": {}}},
        {"labels": {"a\n": {}}},
        {"labels": {"a\u200bb": {}}},
        {"labels": {"a@2": {}}},
        {"labels": {".a": {}}},
        {"labels": {"a" * 65: {}}},
        {"kind": "ranking"},
        {"phase": 0},
        {"unknown": 1},
        {"teacher": {"max_tokens": 7}},
        {"student": {"dropout": 1.0}},
        {"student": {"widths": [0]}},
        {"student": {"scheme": {"soft_weight": 1.01}}},
    ],
    ids=str,
)
def test_what_cannot_be_meant_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TaskSettings.model_validate(TASK | change)


@pytest.mark.parametrize(
    "name", ["求表扬", "Chat room", "1a", "a-b.c", "a'; DROP TABLE x; --", "<b>", "=1+1", "`a`", '"', "名" * 64, "é"]
)
def test_names_are_as_people_write_them(name: str) -> None:
    task = TaskSettings.model_validate(TASK | {"scenes": [name], "labels": {name: {}, "b": {"requires": [name]}}})
    assert task.scenes == (name,)
    assert task.label_names == (name, "b")


def test_one_name_has_one_spelling() -> None:
    composed, decomposed = "\u00e9", "e\u0301"
    assert TaskSettings.model_validate(TASK | {"labels": {decomposed: {}}}).label_names == (composed,)


@pytest.mark.parametrize("reference", ["a", "task.a", "a_1.b_2", "任务.标签"])
def test_a_label_may_be_named_with_its_task(reference: str) -> None:
    assert LabelSettings(requires=(reference,)).requires == (reference,)


@pytest.mark.parametrize("reference", ["", "a" * 130])
def test_a_reference_is_one_or_two_names(reference: str) -> None:
    with pytest.raises(ValidationError):
        LabelSettings(excludes=(reference,))


def test_settings_never_change() -> None:
    task = TaskSettings.model_validate(TASK)
    with pytest.raises(ValidationError, match="frozen"):
        task.phase = 2  # type: ignore[misc]
