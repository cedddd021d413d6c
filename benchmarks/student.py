"""Rows a second of student, teacher and BERT-base, side by side on one core: `make bench`.

Uses the models of the demo (run `make demo` first). Writes `build/bench/student.json`: the median of five runs,
their spread, and the load average beside them.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
from pathlib import Path

import pyarrow.dataset as ds

from jobs.runtime.speed import measure

DEMO = Path("build/demo")
OUT = Path("build/bench/student.json")
RUNS = 5
TEXTS = 20_000


def main() -> int:
    """Measure and write."""
    students = sorted((DEMO / "bundles" / "students").glob("praise-*"), key=lambda folder: folder.stat().st_mtime)
    teachers = sorted((DEMO / "bundles" / "teachers").glob("praise-*"), key=lambda folder: folder.stat().st_mtime)
    if not students or not teachers:
        sys.stderr.write(f"bench: no models under {DEMO}/bundles; run `make demo` first\n")
        return 4
    files = sorted(str(path) for path in (DEMO / "warehouse" / "texts").rglob("*.parquet"))
    texts = ds.dataset(files).head(TEXTS, columns=["text"]).column("text").to_pylist()
    runs = [measure(str(students[-1]), str(teachers[-1]), texts) for _ in range(RUNS)]
    found = {
        name: {
            "median": statistics.median(run[name] for run in runs),
            "min": min(run[name] for run in runs),
            "max": max(run[name] for run in runs),
        }
        for name in runs[0]
    }
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps({"texts": len(texts), "cores": 1, "load": os.getloadavg(), **found}, indent=1) + "\n")
    for name, value in found.items():
        print(f"{name:<24} {value['median']:>12,.1f}   ({value['min']:,.1f} to {value['max']:,.1f})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
