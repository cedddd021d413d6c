"""What a promotion would change, told before it is made."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from jobs.lake import tables
from jobs.lake.store import Lake
from jobs.reports import diff, sql
from jobs.runtime.context import Days
from models.errors import DataError, SettingsError
from tests.support import (
    DAY,
    NEW_YEAR,
    add,
    context_of,
    day,
    fill,
    model_row,
    promotion_row,
    rule,
    score_row,
    text_row,
    threshold_row,
)

pytestmark = pytest.mark.spark

TASKS: dict[str, Any] = {
    "praise": {"scenes": ["live_chat"], "labels": {"asks": {}, "got": {}}},
    "mood": {"scenes": ["live_chat"], "labels": {"glad": {"requires": ["praise.got"]}}},
}
OLD, NEW, MOOD = "praise/textcnn/old", "praise/textcnn/new", "mood/textcnn/1"


@pytest.fixture(scope="module")
def house(shared_lake: Callable[..., Lake]) -> Lake:
    lake = shared_lake(*tables.ALL)
    ruled = [rule("praise", "positive", "asks", "flower")]
    return fill(lake, {
        tables.TEXTS: [
            text_row("a"), text_row("b", "夸我"), text_row("c", settled=ruled), text_row("later", dt=day(1)),
        ],
        tables.MODELS: [
            model_row(OLD, ["asks", "got"]), model_row(NEW, ["got", "asks"]), model_row(MOOD, ["glad"]),
        ],
        tables.THRESHOLDS: [
            *[threshold_row(one, name, 0.5) for one in (OLD, NEW) for name in ("asks", "got")],
            *[threshold_row(NEW, name, 0.95, version=2) for name in ("asks", "got")], threshold_row(MOOD, "glad", 0.5),
        ],
        tables.PROMOTIONS: [promotion_row(OLD, NEW_YEAR), promotion_row(MOOD, NEW_YEAR)],
        tables.STUDENT_SCORES: [
            score_row("a", OLD, [0.75, 0.75]), score_row("b", OLD, [0.75, 0.25]),
            score_row("a", NEW, [0.25, 0.75]), score_row("b", NEW, [0.75, 0.25]),
            score_row("a", MOOD, [0.75]), score_row("b", MOOD, [0.75]), score_row("c", MOOD, [0.25]),
            score_row("later", OLD, [0.75, 0.25], dt=day(1)), score_row("later", MOOD, [0.75], dt=day(1)),
        ],
    })  # fmt: skip


def counted(lake: Lake, first: str, second: str) -> dict[tuple[str, str], int]:
    found = diff.changes(context_of(lake, "diff", tasks=TASKS, days=Days(DAY, DAY)), first, second, 3)
    return {(row["label"], row["change"]): row["count"] for row in found.counts}


def test_labels_gained_lost_and_kept_are_counted_with_those_that_depend_on_them(house: Lake) -> None:
    assert counted(house, OLD, f"{NEW}@1") == {
        ("asks", "kept"): 2, ("asks", "lost"): 1, ("got", "lost"): 1, ("got", "gained"): 1, ("glad", "lost"): 1,
        ("glad", "gained"): 1,
    }  # fmt: skip
    assert counted(house, OLD, OLD) == {("asks", "kept"): 3, ("got", "kept"): 1, ("glad", "kept"): 1}
    assert counted(house, f"{NEW}@1", NEW) == {
        ("asks", "kept"): 1, ("asks", "lost"): 1, ("got", "lost"): 1, ("glad", "lost"): 1
    }  # fmt: skip


def test_examples_are_shown_with_their_scores(house: Lake) -> None:
    console = Console(file=io.StringIO(), width=200)
    diff.show(context_of(house, "diff", tasks=TASKS, days=Days(DAY, DAY)), OLD, f"{NEW}@1", 1, console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    line = next(one for one in shown.splitlines() if "夸我" in one and "asks" in one)
    assert "lost" in line
    assert "0.750" in line


def test_days_that_one_of_them_did_not_score_are_refused(house: Lake) -> None:
    with pytest.raises(DataError, match=f"1 texts have no score of {NEW}"):
        diff.changes(context_of(house, "diff", tasks=TASKS), OLD, NEW, 1)


def test_models_of_two_tasks_are_refused(house: Lake) -> None:
    with pytest.raises(SettingsError, match="are of two tasks"):
        diff.changes(context_of(house, "diff", tasks=TASKS), OLD, MOOD, 1)


def test_labels_as_of_a_moment_tell_the_days_that_were_not_scored(house: Lake) -> None:
    console = Console(file=io.StringIO(), width=200)
    later = promotion_row(NEW, NEW_YEAR.replace(month=2))
    house.append_rows(tables.PROMOTIONS, [later], house.log.stamps(tables.PROMOTIONS)[0])
    context = context_of(house, "sql", tasks=TASKS)
    sql.run(context, "SELECT DISTINCT dt, task FROM label_as_of", 9, "2026-02-02", console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert f"label_as_of: not scored for praise, and left out: {day(1)}" in shown
    assert f"label_as_of: not scored for mood, and left out: {day(1)}" in shown, "its labels need the other's"
    assert str(day(1)) not in shown.split("left out")[-1].replace(f": {day(1)}", "")


def test_labels_as_of_a_moment_tell_texts_that_came_after_their_day_was_scored(house: Lake) -> None:
    console = Console(file=io.StringIO(), width=200)
    late, anew = text_row("late"), text_row("anew", dt=day(1))
    add(house, tables.TEXTS, late, anew)
    add(house, tables.STUDENT_SCORES, score_row("anew", OLD, [0.75, 0.25], dt=day(1), clean_version="earlier"))
    sql.run(context_of(house, "sql", tasks=TASKS), "SELECT count(*) FROM LABEL_AS_OF", 9, "2026-01-02", console)
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert f"label_as_of: not scored: 1 texts have no score of {OLD}" in shown
    assert f"label_as_of: not scored: 1 texts have only a score of an earlier cleaning of {OLD}" in shown
    assert f"label_as_of: not scored: 2 texts have no score of {MOOD}" in shown
