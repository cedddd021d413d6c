"""An import that is killed anywhere and run again ends as if it had never been killed. No session."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.lake import tables
from jobs.lake.store import Lake
from tests.killing import kill_and_repeat
from tests.support import day, fill, text_row

SETTINGS: dict[str, Any] = {
    "tasks": {"praise": {"scenes": ["live_chat"], "labels": {"asks": {}}}},
    "rounds": {"threshold_days": 1, "test_days": 1, "gate_days": 1, "min_train_days": 1},
}
STOPS = ("rejected:after_commit", "thresholds:after_commit", "teacher_scores:after_commit", "models:after_commit")
TOLD = {
    tables.REJECTED: ("reason", "position"), tables.ROUND_SAMPLES: ("round_id", "text_id"),
    tables.THRESHOLDS: ("model_id", "label", "scene", "version", "value"),
    tables.TEACHER_SCORES: ("model_id", "text_hash", "bucket", "logits"),
    tables.MODELS: ("model_id", "kind", "labels", "settings"),
}  # fmt: skip


@pytest.mark.parametrize("stop", STOPS)
def test_a_killed_import_is_finished_by_the_same_command(
    stop: str, bare_lake: Callable[..., Lake], tmp_path: Path
) -> None:
    lake = fill(bare_lake(*tables.ALL), {tables.TEXTS: [text_row(f"t{at}", dt=day(at % 4)) for at in range(12)]})
    file = tmp_path / "a.jsonl"
    rows = [*({"text_id": f"t{at}", "asks": at / 12} for at in range(11)), {"text_id": "nobody", "asks": 1}]
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows), "utf-8")
    kill_and_repeat(
        lake, tmp_path, f"teacher import-scores:{stop}", "teacher", "import-scores", "--name", "gpt", str(file),
        **SETTINGS,
    )  # fmt: skip
    counts = {table: len(lake.rows(table, *columns)) for table, columns in TOLD.items()}
    assert counts == dict(zip(TOLD, (1, 0, 1, 11, 1), strict=True))
    (model,) = lake.rows(tables.MODELS)
    assert (model["model_id"], json.loads(model["settings"])) == (
        "praise/teacher/gpt", {"name": "gpt", "scale": "probability"}
    )  # fmt: skip
    for table, columns in TOLD.items():
        found = [str([row[name] for name in columns]) for row in lake.rows(table)]
        assert len({*found}) == len(found), f"{table.name} holds a row twice"
