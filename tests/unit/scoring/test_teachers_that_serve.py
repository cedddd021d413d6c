"""Which teachers score, and which days count."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from jobs.lake import tables, text_queries
from jobs.lake.store import Lake
from jobs.scoring.score_teacher import teachers
from models.rounds.date_layout import RoundSettings
from tests.support import NEW_YEAR, add, fill, model_row, promotion_row, text_row


def test_the_teachers_of_the_students_that_serve_go_on_scoring(bare_lake: Callable[..., Lake]) -> None:
    lake = bare_lake(tables.MODELS, tables.PROMOTIONS)
    old, middle, new = (
        model_row(f"praise/teacher/{name}", ["asks"], role="teacher", created_at=NEW_YEAR + timedelta(days=at))
        for at, name in enumerate(("old", "middle", "new"))
    )
    live = model_row("praise/textcnn/live", ["asks"], teacher_id=old["model_id"])
    newest = model_row("praise/textcnn/new", ["asks"], teacher_id=middle["model_id"], created_at=new["created_at"])
    fill(
        lake, {tables.MODELS: [old, middle, new, live], tables.PROMOTIONS: [promotion_row(live["model_id"], NEW_YEAR)]}
    )
    assert [one.model_id for one in teachers(lake, "praise")] == [new["model_id"], old["model_id"]]
    add(lake, tables.MODELS, newest)
    assert [one.model_id for one in teachers(lake, "praise")] == [
        new["model_id"], middle["model_id"], old["model_id"],
    ]  # fmt: skip


def test_today_is_no_whole_day_and_is_left_out_of_the_layout(bare_lake: Callable[..., Lake]) -> None:
    lake = bare_lake(tables.TEXTS)
    today = datetime.now(ZoneInfo("Asia/Shanghai")).date()
    add(lake, tables.TEXTS, *[text_row(f"{n}", dt=today - timedelta(days=n)) for n in range(4)])
    settings = RoundSettings(threshold_days=0, test_days=1, gate_days=1, min_train_days=1)
    layout = text_queries.date_layout(lake, settings)
    assert (layout.gate.first, layout.gate.last) == (today - timedelta(days=1),) * 2
