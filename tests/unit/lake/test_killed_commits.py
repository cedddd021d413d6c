"""A process killed at any moment of a commit leaves all of it or none; the work done again ends as if done once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.lake import tables
from jobs.lake.stop_points import VARIABLE
from jobs.lake.store import Lake
from tests.support import context_of

ROOT = Path(__file__).parents[3]
MODEL = "praise/textcnn/a"
WORK = """
import sys
from datetime import date
from jobs.lake import tables
from jobs.lake.commits import Scope, Stamp
from jobs.lake.store import Lake
from jobs.settings import LakeSettings
from tests.support import promotion_row, score_row, threshold_row, NEW_YEAR

def no_session():
    raise AssertionError("no session is needed")

lake = Lake(no_session, LakeSettings(location=sys.argv[1]), "Asia/Shanghai")
first, last, model = int(sys.argv[2]), int(sys.argv[3]), "praise/textcnn/a"
print("begun", flush=True)
for number in range(first, last):
    stamp, day = Stamp("run", "test"), date(2026, 3, 1 + number % 9)
    lake.append_rows(tables.PROMOTIONS, [promotion_row(f"praise/{number}", NEW_YEAR)], stamp, once=f"once-{number}")
    rows = [score_row(f"{number}-{at}", model, [0.5], dt=day) for at in range(3)]
    lake.replace_rows(tables.STUDENT_SCORES, rows, stamp, Scope(day, day, "model_id", (model,)))
"""
POINTS = [
    f"test:{table}:{when}" for table in ("promotions", "student_scores") for when in ("before_commit", "after_commit")
]


def work(lake: Lake, first: int, last: int, stop_at: str | None = None) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | ({VARIABLE: stop_at} if stop_at else {})
    command = [sys.executable, "-c", WORK, str(lake.catalog.root), str(first), str(last)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def check(lake: Lake, numbers: int) -> None:
    """Each promotion once, each day as the last number of it wrote it."""
    seen = context_of(lake).lake
    promoted = sorted(int(row["model_id"].partition("/")[2]) for row in seen.rows(tables.PROMOTIONS))
    assert promoted == list(range(numbers))
    found = sorted((row["dt"].day, row["text_id"]) for row in seen.rows(tables.STUDENT_SCORES))
    last = {1 + number % 9: number for number in range(numbers)}
    assert found == sorted((day, f"{number}-{at}") for day, number in last.items() for at in range(3))


@pytest.fixture
def lake(bare_lake: Callable[..., Lake]) -> Lake:
    return bare_lake(tables.PROMOTIONS, tables.STUDENT_SCORES)


@pytest.mark.parametrize("point", POINTS)
def test_a_commit_killed_before_or_after_it_is_made_is_whole_when_it_is_done_again(lake: Lake, point: str) -> None:
    killed = work(lake, 0, 2, stop_at=point)
    assert (killed.wait(60), killed.communicate()[1]) == (-signal.SIGKILL, "")
    again = work(lake, 0, 2)
    assert again.wait(60) == 0, again.communicate()[1]
    check(lake, 2)


def test_processes_killed_at_any_moment_leave_whole_commits_only(lake: Lake) -> None:
    moments = random.Random(7)
    for _ in range(8):
        process = work(lake, 0, 40)
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(moments.uniform(0.0, 0.25))
        process.send_signal(signal.SIGKILL)
        process.wait(60)
        process.communicate()
        seen = context_of(lake).lake
        rows = seen.rows(tables.STUDENT_SCORES, "dt", "text_id")
        days = {row["dt"] for row in rows}
        assert len(rows) == 3 * len(days)
    done = work(lake, 0, 40)
    assert done.wait(60) == 0, done.communicate()[1]
    check(lake, 40)
