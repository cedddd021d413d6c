"""The newest model is the one that was registered last, whatever the clocks of the machines say."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from jobs.lake import registry, tables
from jobs.lake.registry import RegisteredModel
from jobs.lake.store import Lake
from tests.support import STAMP, add, model_row


def test_a_model_registered_by_a_clock_that_is_behind_is_the_newest(bare_lake: Callable[..., Lake]) -> None:
    lake = bare_lake(tables.MODELS)
    add(lake, tables.MODELS, model_row("praise/textcnn/a", ["asks"], created_at=datetime(2100, 1, 1, tzinfo=UTC)))
    new = RegisteredModel("praise/textcnn/b", "praise", "textcnn", "student", ("asks",), None, None, "/nowhere", "1")
    registry.register(lake, new, settings="{}", stamp=STAMP)
    assert registry.newest_student(lake, "praise").model_id == "praise/textcnn/b"
    other = RegisteredModel("mood/textcnn/b", "mood", "textcnn", "student", ("asks",), None, None, "/nowhere", "1")
    registry.register(lake, other, settings="{}", stamp=STAMP)
    (row,) = (row for row in lake.rows(tables.MODELS) if row["task"] == "mood")
    assert row["created_at"] < datetime(2100, 1, 1, tzinfo=UTC)
