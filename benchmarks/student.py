"""Rows a second of student, teacher and BERT-base, side by side on one core: `make bench`.

Uses the models of the demo (run `make demo` first). Adds to `build/bench/student.json`: the median of five runs,
their spread, and the load average beside them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow.dataset as ds

from benchmarks.results import RUNS, record
from jobs.runtime.speed import measure

DEMO = Path("build/demo")
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
    names = {
        "teacher": "teacher_rows_per_s",
        "bert_base": "bert_base_rows_per_s",
        "student_of_demo": "student_rows_per_s",
    }
    found = {name: [run[of_run] for run in runs] for name, of_run in names.items()}
    record(found, {"texts": len(texts), "cores": 1})
    return 0


if __name__ == "__main__":
    sys.exit(main())
