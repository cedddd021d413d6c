"""A run dies at the place that is named, and only there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.lake.stop_points import VARIABLE

SCRIPT = """
from jobs.lake.stop_points import reach
reach("clean:texts:before_commit")
print("before", flush=True)
reach("clean:texts:after_commit")
print("after", flush=True)
"""


@pytest.mark.parametrize(
    ("named", "code", "told"),
    [
        (None, 0, "before\nafter\n"),
        ("", 0, "before\nafter\n"),
        ("clean:texts", 0, "before\nafter\n"),
        ("clean:texts:before_commit", -signal.SIGKILL, ""),
        ("clean:texts:after_commit", -signal.SIGKILL, "before\n"),
    ],
)
def test_a_run_dies_where_it_is_told_to(named: str | None, code: int, told: str) -> None:
    environment = {key: value for key, value in os.environ.items() if key != VARIABLE}
    environment |= {"PYTHONPATH": str(Path(__file__).parents[3])} | ({VARIABLE: named} if named is not None else {})
    ended = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, env=environment, check=False)
    assert (ended.returncode, ended.stdout) == (code, told), ended.stderr
