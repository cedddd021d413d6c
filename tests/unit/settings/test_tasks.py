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
        {"scenes": ["Chat room"]},
        {"labels": {}},
        {"labels": {"A b": {}}},
        {"labels": {"1a": {}}},
        {"labels": {"a'; DROP": {}}},
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


@pytest.mark.parametrize("reference", ["a", "task.a", "a_1.b_2"])
def test_a_label_may_be_named_with_its_task(reference: str) -> None:
    assert LabelSettings(requires=(reference,)).requires == (reference,)


@pytest.mark.parametrize("reference", ["", ".a", "a.", "a.b.c", "A", "a b"])
def test_a_reference_is_one_or_two_names(reference: str) -> None:
    with pytest.raises(ValidationError):
        LabelSettings(excludes=(reference,))


def test_settings_never_change() -> None:
    task = TaskSettings.model_validate(TASK)
    with pytest.raises(ValidationError, match="frozen"):
        task.phase = 2  # type: ignore[misc]
