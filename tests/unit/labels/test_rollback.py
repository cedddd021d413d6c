"""A rollback names its goal, is done once however often it is asked for, and stays."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.labels import promote, rollback
from jobs.lake import registry, tables
from jobs.lake.promotions import NamedModel, Promotion, rolled_back
from jobs.lake.store import Lake
from jobs.runtime.context import Context
from models.errors import ConflictError, DataError, GateError, SettingsError
from tests.killing import kill_and_repeat
from tests.support import (
    NEW_YEAR,
    add,
    context_of,
    do,
    fill,
    model_row,
    promotion_row,
    round_row,
    threshold_row,
)  # fmt: skip

TASKS = {name: {"scenes": ["live_chat"], "labels": {"asks": {}}} for name in ("praise", "feedback")}
FIRST, SECOND, THIRD = (f"praise/textcnn/{name}" for name in ("first", "second", "third"))


@pytest.fixture
def lived(bare_lake: Callable[..., Lake]) -> Lake:
    """Three students that went in force one after the other, the last with two versions of its thresholds."""
    lake = bare_lake(tables.MODELS, tables.ROUNDS, tables.THRESHOLDS, tables.PROMOTIONS)
    students = (FIRST, SECOND, THIRD)
    models = [model_row(one, ["asks"], created_at=NEW_YEAR + timedelta(days=n)) for n, one in enumerate(students)]
    stations = [(FIRST, 1), (SECOND, 1), (THIRD, 1), (THIRD, 2)]
    return fill(lake, {
        tables.MODELS: models,
        tables.ROUNDS: [round_row(one, f"{one}/01") for one in students],
        tables.THRESHOLDS: [threshold_row(one, "asks", 0.5, version=version) for one, version in stations],
        tables.PROMOTIONS: [
            promotion_row(one, NEW_YEAR + timedelta(days=n), version) for n, (one, version) in enumerate(stations)
        ],
    })  # fmt: skip


def context_for(lake: Lake, task: str | None = "praise", **options: Any) -> Context:
    return context_of(lake, task=task, tasks=TASKS, options=options)


def in_force(lake: Lake) -> tuple[str, int]:
    found = registry.live(lake)["praise"]
    return found.model_id, found.threshold_version


def rows(lake: Lake) -> int:
    return len(lake.rows(tables.PROMOTIONS))


def test_a_rollback_that_is_run_again_changes_nothing(lived: Lake) -> None:
    do(rollback.JOB, context_for(lived))
    assert in_force(lived) == (THIRD, 1)
    for _ in range(2):
        assert do(rollback.JOB, context_for(lived)) is None
    for _ in range(2):
        do(rollback.JOB, context_for(lived, to=FIRST))
    assert (in_force(lived), rows(lived)) == ((FIRST, 1), 6)


@pytest.mark.parametrize(("to", "found"), [(FIRST, (FIRST, 1)), (f"{THIRD}@1", (THIRD, 1)), (THIRD, (THIRD, 2))])
def test_whatever_was_in_force_once_can_be_reached(lived: Lake, to: str, found: tuple[str, int]) -> None:
    do(rollback.JOB, context_for(lived, task=None, to=to, reason="complaints"))
    assert in_force(lived) == found
    newest = max(lived.rows(tables.PROMOTIONS), key=lambda row: row["from_ts"])
    assert to == THIRD or (newest["reason"], newest["action"]) == ("complaints", "rollback")


def test_what_never_was_in_force_is_no_goal(lived: Lake) -> None:
    for to in ("praise/textcnn/none", f"{SECOND}@2"):
        with pytest.raises(DataError, match=r"no model praise/textcnn/none|once: praise/textcnn/first@1, .*third@2"):
            rollback.JOB.plan(context_for(lived, to=to))
    with pytest.raises(SettingsError, match="is of the task praise, --task says feedback"):
        rollback.JOB.plan(context_for(lived, task="feedback", to=FIRST))
    with pytest.raises(SettingsError, match="got 'a@b', expected MODEL or MODEL@VERSION"):
        rollback.JOB.plan(context_for(lived, to="a@b"))


def test_nightly_promotions_do_not_undo_a_rollback(lived: Lake) -> None:
    do(rollback.JOB, context_for(lived, to=SECOND))
    assert do(promote.JOB, context_for(lived)) is None
    add(lived, tables.THRESHOLDS, threshold_row(THIRD, "asks", 0.6, version=3))
    assert do(promote.JOB, context_for(lived)) is None
    assert in_force(lived) == (SECOND, 1)


@pytest.mark.parametrize("asked", [{"force": True, "reason": "now"}, {"withhold": ["asks"]}])
def test_who_forces_or_withholds_after_a_rollback_is_told_to_name_a_model(lived: Lake, asked: dict[str, Any]) -> None:
    do(rollback.JOB, context_for(lived, to=SECOND))
    with pytest.raises(GateError, match=rf"{THIRD}@2 was rolled back, .*name by --model"):
        promote.plan(context_for(lived, **asked))


def test_a_model_that_was_rolled_back_is_put_in_force_by_its_name_and_then_goes_on(lived: Lake) -> None:
    do(rollback.JOB, context_for(lived, to=SECOND))
    do(promote.JOB, context_for(lived, model=f"{THIRD}@1", force=True, reason="it was the microphone"))
    assert in_force(lived) == (THIRD, 1)
    do(promote.JOB, context_for(lived, force=True, reason="seen"))
    assert in_force(lived) == (THIRD, 2)


def test_force_needs_a_reason(lived: Lake) -> None:
    with pytest.raises(SettingsError, match="--force: got no --reason"):
        promote.JOB.plan(context_for(lived, force=True))


def test_a_version_that_was_rolled_back_stays_out_and_the_next_one_does_not(lived: Lake) -> None:
    do(rollback.JOB, context_for(lived, to=f"{THIRD}@1"))
    assert do(promote.JOB, context_for(lived)) is None
    add(lived, tables.THRESHOLDS, threshold_row(THIRD, "asks", 0.6, version=3))
    do(promote.JOB, context_for(lived, force=True, reason="newer"))
    assert in_force(lived) == (THIRD, 3)


def test_rollbacks_of_warehouses_without_the_column_are_told_by_their_reason(lived: Lake) -> None:
    add(lived, tables.PROMOTIONS, promotion_row(SECOND, NEW_YEAR + timedelta(days=9), reason="rollback"))
    assert do(rollback.JOB, context_for(lived)) is None
    assert do(promote.JOB, context_for(lived)) is None


def test_a_clock_that_is_behind_hides_no_promotion(lived: Lake) -> None:
    ahead = datetime(2100, 1, 1, tzinfo=UTC)
    add(lived, tables.PROMOTIONS, promotion_row(FIRST, ahead))
    do(rollback.JOB, context_for(lived, to=SECOND))
    assert in_force(lived) == (SECOND, 1)


def test_of_two_at_once_the_second_is_told_to_look_again(lived: Lake) -> None:
    first, second = (rollback.JOB.plan(context_for(lived, to=to)) for to in (FIRST, SECOND))
    rollback.execute(context_for(lived), first.required())
    with pytest.raises(ConflictError):
        rollback.execute(context_for(lived), second.required())
    assert in_force(lived) == (FIRST, 1)


def test_a_rollback_bars_a_model_until_it_is_in_force_again() -> None:
    a, b1, b2 = Promotion("t", "a", 1, ""), Promotion("t", "b", 1, ""), Promotion("t", "b", 2, "")
    back_to_a, back_to_b1 = (Promotion("t", one.model_id, 1, "", (), "rollback") for one in (a, b1))
    assert rolled_back([]) == rolled_back([a, b1, b2]) == frozenset()
    assert rolled_back([a, b1, back_to_a]) == {NamedModel("b")}
    assert rolled_back([a, b1, b2, back_to_b1]) == {NamedModel("b", 2)}
    assert rolled_back([a, b1, b2, back_to_b1, back_to_a]) == {NamedModel("b", 2), NamedModel("b")}
    assert rolled_back([a, b1, back_to_a, b2]) == frozenset()


@pytest.mark.parametrize("when", ["before_commit", "after_commit"])
def test_killed_and_run_again_it_is_done_once(lived: Lake, tmp_path: Path, when: str) -> None:
    lived.catalog.make([tables.RUNS])
    kill_and_repeat(lived, tmp_path, f"rollback:promotions:{when}", "rollback", tasks=TASKS)
    seen = context_for(lived).lake
    assert (in_force(seen), rows(seen)) == ((THIRD, 1), 5)
