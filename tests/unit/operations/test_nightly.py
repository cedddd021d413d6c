"""Which stages a night has, and which of them need which. No session."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.lake import tables
from jobs.lake.store import Lake
from jobs.operations import nightly
from jobs.runtime.context import Context
from jobs.scoring import score
from models.errors import DataError
from tests.support import DAY, NEW_YEAR, context_of, fill, model_row, promotion_row, text_row, threshold_row

OLD, NEW, OTHER = "praise/textcnn/old", "praise/textcnn/new", "mood/textcnn/new"
TASKS: dict[str, Any] = {
    name: {"scenes": ["live_chat"], "labels": {"asks": {}}} for name in ("praise", "mood", "feedback")
}


@pytest.fixture
def lake(bare_lake: Callable[..., Lake]) -> Lake:
    """Praise has a student in force and a newer one, mood a student that was never in force, feedback none."""
    later = NEW_YEAR + timedelta(days=1)
    return fill(bare_lake(*tables.ALL), {
        tables.TEXTS: [text_row("a")],
        tables.MODELS: [
            model_row(OLD, ["asks"]), model_row(NEW, ["asks"], created_at=later), model_row(OTHER, ["asks"]),
        ],
        tables.THRESHOLDS: [threshold_row(one, "asks", 0.5) for one in (OLD, NEW, OTHER)],
        tables.PROMOTIONS: [promotion_row(OLD, later)],
    })  # fmt: skip


def context_for(lake: Lake, **options: Any) -> Context:
    return context_of(lake, "nightly", tasks=TASKS, options=options)


def test_a_night_scores_all_students_in_one_pass(lake: Lake) -> None:
    names = [stage.name for stage in nightly.stages(context_for(lake))]
    of_new = [f"{job} {task}" for task in ("praise", "mood") for job in ("score-teacher", "thresholds", "promote")]
    assert names == ["clean", "score", *of_new, "label"]
    assert score.plan(context_of(lake, "score", tasks=TASKS)).steps == tuple(
        f"score {DAY} with {model}: new" for model in (OTHER, NEW, OLD)
    )


def test_where_scoring_fails_what_is_in_force_is_scored_and_labelled_and_nothing_promoted(lake: Lake) -> None:
    failed: list[str] = []
    stages = []
    for stage in nightly.stages(context_for(lake), failed):
        stages.append(stage)
        if stage.name == "score":
            failed.append("score")
    by_name = {stage.name: stage for stage in stages}
    alone = by_name["score what is in force"]
    assert (alone.tasks, alone.needs) == (("praise",), ("clean",))
    assert set(by_name["label"].needs) == {"clean", "score what is in force"}
    assert all("score" in stage.needs for stage in stages if stage.job.name == "promote")
    (step,) = score.plan(context_of(lake, "score", tasks=TASKS, options={"in_force": True})).steps
    assert step == f"score {DAY} with {OLD}: new"


def test_an_error_is_told_once_by_the_stage_that_it_ends(bare_lake: Callable[..., Lake], tmp_path: Path) -> None:
    (tmp_path / "chat.jsonl").write_text("no record\n" * 3, "utf-8")
    source = {
        "path": str(tmp_path / "chat.jsonl"), "format": "jsonl", "constants": {"scene": "live_chat", "source": "chat"},
        "columns": {"source_id": "id", "text": "text", "event_time": "time"},
    }  # fmt: skip
    context = context_of(bare_lake(*tables.ALL), "nightly", tasks=TASKS, sources={"chat": source})
    with pytest.raises(DataError, match=r"3 of 3 records are rejected"):
        nightly.run(context)
    (night,) = (row for row in context.lake.rows(tables.RUNS) if row["job"] == "nightly")
    assert night["outcome"] == "DataError"
    assert night["reason"].startswith("ingest: sources.chat: 3 of 3 records")
