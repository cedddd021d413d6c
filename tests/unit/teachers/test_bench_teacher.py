"""The benchmark of teachers runs, and writes what is asked of it."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.results import child


def test_the_smoke_mode_writes_the_rates_that_are_asked_for(tmp_path: Path) -> None:
    child("benchmarks.teacher", "--smoke", "--out", str(tmp_path / "teacher.json"))
    told = json.loads((tmp_path / "teacher.json").read_text("utf-8"))
    assert set(told["rows_per_second"]) == {"cpu", "cpu_pipeline", "gpu", "gpu_pipeline"}
    assert told["rows_per_second"]["cpu"] > 0
    assert told["rows_per_second"]["cpu_pipeline"] > 0
    assert (told["rows_per_second"]["gpu"] is None) == (told["gpu"] is None)
    assert told["cpu"]["losses"]["float32"]["relative"] < 1e-3
    assert told["share_of_peak"]["cpu"] > 0
