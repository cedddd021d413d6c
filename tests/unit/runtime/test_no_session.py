"""Bookkeeping and plans start no session: they answer at once, on a machine without Java."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from jobs.ingestion import clean, ingest
from jobs.labels import label, promote, rollback, thresholds
from jobs.lake import tables
from jobs.lake.store import Lake
from jobs.operations import init, maintain, runs
from jobs.reports import diff, report
from jobs.rounds import distil
from jobs.runtime.job import Job
from jobs.scoring import score, score_teacher
from jobs.teachers import pretrain, train_teacher
from tests.support import (
    NEW_YEAR,
    context_of,
    day,
    fill,
    model_row,
    promotion_row,
    round_row,
    score_row,
    text_row,
    threshold_row,
)

LATER = NEW_YEAR.replace(month=2)
STUDENT, TEACHER = "praise/textcnn/a", "praise/teacher/a"
JOBS = (
    init.JOB, ingest.JOB, clean.JOB, pretrain.JOB, train_teacher.JOB, score_teacher.JOB, distil.JOB, score.JOB,
    thresholds.JOB, promote.JOB, rollback.JOB, label.JOB, report.JOB,
    maintain.JOB,
)  # fmt: skip


@pytest.fixture(scope="module")
def lived_in(shared_bare_lake: Callable[..., Lake]) -> Lake:
    raw = {
        "source": "chat", "text": "a", "arrived_dt": day(0), "load_id": "l", "file": "f", "position": 0, "run_id": "r",
        "event_time": NEW_YEAR, "scene": "live_chat",
    }  # fmt: skip
    models = [
        model_row(TEACHER, ["asks"], role="teacher"),
        model_row(STUDENT, ["asks"], teacher_id=TEACHER),
    ]
    return fill(shared_bare_lake(*tables.ALL), {
        tables.RAW_TEXTS: [raw | {"text_id": f"{n}", "dt": day(n)} for n in range(6)],
        tables.TEXTS: [text_row(f"{n}", dt=day(n)) for n in range(6)],
        tables.MODELS: models,
        tables.THRESHOLDS: [threshold_row(one, "asks", 0.5) for one in (STUDENT, TEACHER)],
        tables.ROUNDS: [round_row(STUDENT, "praise/textcnn/01", teacher_id=TEACHER)],
        tables.PROMOTIONS: [promotion_row("praise/textcnn/old", NEW_YEAR), promotion_row(STUDENT, LATER)],
        tables.STUDENT_SCORES: [score_row(f"{n}", STUDENT, [0.5], dt=day(n)) for n in range(6)],
    })  # fmt: skip


@pytest.mark.parametrize("job", JOBS, ids=lambda job: job.name)
def test_a_plan_asks_for_no_session(lived_in: Lake, tmp_path: Path, job: Job[object]) -> None:
    (tmp_path / "a.jsonl").write_text('{"id": "1", "text": "好", "time": "2026-03-02T08:00:00"}\n')
    source = {
        "path": str(tmp_path / "a.jsonl"), "format": "jsonl", "constants": {"scene": "live_chat", "source": "chat"},
        "columns": {"source_id": "id", "text": "text", "event_time": "time"},
    }  # fmt: skip
    days = {"threshold_days": 1, "test_days": 1, "gate_days": 1, "min_train_days": 1}
    task = {"scenes": ["live_chat"], "labels": {"asks": {}}}
    context = context_of(
        lived_in, job.name, tasks={"praise": task}, rounds=days, sources={"chat": source}, options={"out": tmp_path}
    )
    work = job.plan(context)
    assert isinstance(work.steps, tuple)
    assert context.lake.running is None


def test_runs_are_shown_without_a_session(lived_in: Lake) -> None:
    shown = StringIO()
    runs.show(lived_in, 5, Console(file=shown))
    assert "started" in shown.getvalue()


def test_a_command_of_bookkeeping_loads_no_heavy_library(tmp_path: Path) -> None:
    script = (
        "import sys; sys.argv = ['pingti', 'runs', '--plan']\n"
        "from jobs.cli import app\n"
        "try: app()\n"
        "except SystemExit: pass\n"
        "from jobs.operations import runs\n"
        "heavy = {'torch', 'transformers', 'numba', 'onnxruntime'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    ended = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_diff_starts_a_session_before_it_writes_its_first_column_down(lived_in: Lake) -> None:
    context = context_of(lived_in, "diff", tasks={"praise": {"scenes": ["live_chat"], "labels": {"asks": {}}}})
    with pytest.raises(AssertionError, match="a session was asked for"):
        diff.changes(context, STUDENT, STUDENT, 1)
