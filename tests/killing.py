"""Commands killed at a stop point and run again, each in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from jobs.lake.stop_points import VARIABLE
from jobs.lake.store import Lake

ROOT = Path(__file__).parents[1]


def kill_and_repeat(lake: Lake, folder: Path, stop_at: str, *command: str, **settings: Mapping[str, Any]) -> None:
    """Run `pingti COMMAND` over a lake until it dies at the stop point, then twice to its end."""
    place = {"schema_name": lake.catalog.schema_name, "location": str(lake.catalog.root), "bundles": lake.bundles.place}
    file = folder / "settings.yaml"
    file.write_text(yaml.safe_dump({"lake": place, **settings}))
    codes = [_run([*command, "--settings", str(file)], stop) for stop in (stop_at, None, None)]
    assert codes == [-signal.SIGKILL, 0, 0]


def _run(command: list[str], stop_at: str | None) -> int:
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | ({VARIABLE: stop_at} if stop_at else {})
    line = [sys.executable, "-m", "jobs.cli", *command]
    ended = subprocess.run(line, env=environment, capture_output=True, text=True, check=False, timeout=300)
    return ended.returncode
