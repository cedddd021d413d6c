"""Which tasks a night promotes for."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from jobs.lake import tables
from jobs.lake.store import Lake
from jobs.operations.nightly import due
from tests.support import NEW_YEAR, add, fill, model_row, promotion_row, threshold_row

OLD, NEW = "praise/textcnn/old", "praise/textcnn/new"


def test_a_student_that_was_rolled_back_is_not_due_and_a_newer_one_is(bare_lake: Callable[..., Lake]) -> None:
    lake = bare_lake(tables.MODELS, tables.THRESHOLDS, tables.PROMOTIONS)
    days = [NEW_YEAR + timedelta(days=n) for n in range(4)]
    fill(lake, {
        tables.MODELS: [model_row(OLD, ["asks"]), model_row(NEW, ["asks"], created_at=days[1])],
        tables.THRESHOLDS: [threshold_row(one, "asks", 0.5) for one in (OLD, NEW)],
        tables.PROMOTIONS: [promotion_row(OLD, days[0])],
    })  # fmt: skip
    assert due(lake, ["praise", "mood"]) == ("praise",)
    add(lake, tables.PROMOTIONS, promotion_row(NEW, days[1]))
    assert due(lake, ["praise"]) == ()
    add(lake, tables.PROMOTIONS, promotion_row(OLD, days[2], action="rollback"))
    assert due(lake, ["praise"]) == ()
    add(lake, tables.MODELS, model_row("praise/textcnn/newer", ["asks"], created_at=days[3]))
    assert due(lake, ["praise"]) == ("praise",)
