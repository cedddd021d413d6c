"""Where measurements go: `build/bench/student.json`, to which each benchmark adds its own."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

OUT = Path("build/bench/student.json")
RUNS = 5
SECONDS = 1.0  # at least, of each run


def child(module: str, *arguments: str) -> str:
    """The last line that a benchmark prints which runs in a process of its own."""
    command = [sys.executable, "-m", module, *arguments]
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return (ended.stdout.strip().splitlines() or [""])[-1]


def rates(work: Callable[[], Any], rows: int) -> list[float]:
    """Rows a second of `work`, which does `rows` of them, in each of `RUNS` runs; warmed up first."""
    work()
    found = []
    for _ in range(RUNS):
        times, started = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - started) < SECONDS or not times:
            work()
            times += 1
        found.append(rows * times / elapsed)
    return found


def note(facts: Mapping[str, Any]) -> None:
    """Add facts beside the measurements, and print them."""
    _add(facts)
    for name, value in facts.items():
        print(f"{name:<28} {value}")


def record(rows_per_second: Mapping[str, Sequence[float]], about: Mapping[str, Any]) -> None:
    """Add measurements to the file: medians, and apart their spread, what they are of, and the load average."""
    load = os.getloadavg()
    medians = {name: statistics.median(found) for name, found in rows_per_second.items()}
    spread = {name: {"min": min(found), "max": max(found)} for name, found in rows_per_second.items()}
    kept = _kept()
    _add(
        {
            "rows_per_second": kept.get("rows_per_second", {}) | medians,
            "spread": kept.get("spread", {}) | {name: {**one, **about, "load": load} for name, one in spread.items()},
        }
    )
    for name, value in medians.items():
        print(f"{name:<28} {value:>12,.1f}   ({spread[name]['min']:,.1f} to {spread[name]['max']:,.1f})")
    print(f"load average {load[0]:.2f}")


def _kept() -> dict[str, Any]:
    kept: dict[str, Any] = json.loads(OUT.read_text("utf-8")) if OUT.is_file() else {}
    return kept


def _add(facts: Mapping[str, Any]) -> None:
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps({**_kept(), **facts}, indent=1) + "\n", "utf-8")
