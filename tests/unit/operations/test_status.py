"""What `pingti status` and `pingti runs` show of small tables. No session."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from jobs.lake import tables
from jobs.lake.store import Lake
from jobs.operations import runs, status
from tests.support import add, context_of, model_row, promotion_row

MODEL = "praise/textcnn/a"
EVENING = datetime(2026, 3, 1, 20, 30, tzinfo=UTC)  # of the next day in Shanghai
TASKS: dict[str, Any] = {"praise": {"scenes": ["live_chat"], "labels": {"asks": {}, "got": {}}}}


def run_row(run_id: str, job: str) -> dict[str, Any]:
    return {
        "run_id": run_id, "job": job, "arguments": "", "settings_digest": "", "code_version": "", "clean_version": "",
        "inputs": {}, "outputs": {}, "row_counts": {}, "started_at": EVENING, "seconds": 1.0, "outcome": "done",
        "reason": "clean: texts 3",
    }  # fmt: skip


def test_what_is_in_force_is_shown_with_what_it_withholds_and_times_of_the_tables_own_zone(
    bare_lake: Callable[..., Lake],
) -> None:
    lake = bare_lake(*tables.ALL)
    add(lake, tables.MODELS, model_row(MODEL, ["asks", "got"]))
    add(lake, tables.PROMOTIONS, promotion_row(MODEL, EVENING) | {"withheld": ["got"]})
    add(lake, tables.RUNS, run_row("1", "nightly"))
    shown, listed = (Console(file=io.StringIO(), width=160) for _ in range(2))
    status.show(context_of(lake, "status", tasks=TASKS), 30, shown)
    runs.show(lake, 20, listed)
    told = shown.file.getvalue()  # type: ignore[attr-defined]
    (in_force,) = (line.split() for line in told.splitlines() if MODEL in line and "│" in line)
    assert in_force[:9] == ["praise", "│", MODEL, "│", "1", "│", "got", "│", "2026-03-02"]
    assert "2026-03-02 04:30" in told
    assert "2026-03-02 04:30:00" in listed.file.getvalue()  # type: ignore[attr-defined]
