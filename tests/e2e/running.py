"""Runs the small demo as a user would, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

# A process of a minute: the quick compiler is enough, and the classes are Spark's own.
QUICK_START = "-XX:TieredStopAtLevel=1 -XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote"
SMALL = Path(__file__).with_name("small.yaml")


@dataclass(frozen=True)
class Ran:
    """A finished demo: where it lies, and what its last run printed."""

    folder: Path
    printed: str


def demo(folder: Path, stop_at: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run the small demo as a user would, in a process of its own, with relative paths."""
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": str(root), "COLUMNS": "200", "SPARK_SUBMIT_OPTS": QUICK_START}
    environment.pop("PINGTI_STOP_AT", None)
    if stop_at:
        environment["PINGTI_STOP_AT"] = stop_at
    command = [sys.executable, "-m", "jobs.cli", "demo", "--out", "demo", "--texts", "2000", "--days", "6"]
    command += ["--speed-seconds", "0", "--settings", str(SMALL)]
    folder.mkdir(parents=True, exist_ok=True)
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=1200, check=False
    )
