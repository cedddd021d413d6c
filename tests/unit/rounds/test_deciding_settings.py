"""What decides a round's student compares by value, whichever version wrote it."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest

from jobs.rounds.round import DecidingSettings
from jobs.rounds.sampling import STRATEGIES
from models.rounds.date_layout import RoundSettings, Sampling
from models.tasks import TaskSettings


def deciding(rounds: dict[str, Any] | None = None, **student: Any) -> DecidingSettings:
    task = TaskSettings.model_validate({"scenes": ["live_chat"], "labels": {"asks": {}}, "student": student})
    return DecidingSettings.of(task, RoundSettings.model_validate(rounds or {}))


def without(stored: str, *path: str) -> str:
    """The JSON without the value at `path`, as a version that did not have it yet wrote it."""
    tree = json.loads(stored)
    place = tree
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    return json.dumps(tree)


@pytest.mark.parametrize("path", [("rounds", "sampling"), ("student", "filters"), ("student", "scheme", "soft_weight")])
def test_a_row_of_a_version_without_a_field_equals_its_default(path: tuple[str, ...]) -> None:
    older = without(deciding().as_json(), *path)
    assert deciding().equals(older)


def test_another_value_or_a_field_that_is_gone_is_other_settings() -> None:
    stored = deciding().as_json()
    assert not deciding(filters=33).equals(stored)
    assert not deciding({"sampling": ["annotated"]}).equals(stored)
    assert not deciding().equals(without(deciding(filters=33).as_json(), "rounds", "sampling"))
    assert not deciding().equals(json.dumps(json.loads(stored) | {"gone": 1}))


def test_the_margin_at_which_promotion_looks_again_decides_no_student() -> None:
    for margin in ("undistilled_margin", "seed_deviation"):
        assert deciding({margin: 0.5}).equals(deciding().as_json())


def test_every_strategy_of_the_settings_is_in_the_registry() -> None:
    assert set(STRATEGIES) == set(get_args(Sampling))
