"""Do two demo warehouses of the same seed hold the same labels?

`python -m benchmarks.same_labels build/demo OTHER/build/demo` compares how many rows each table has, and the labels row
by row without the names of models, which say what they were made from. Ends with code 1 where they differ. The tables
are read by delta-rs; no session is started.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from jobs.lake import tables

KEY = ["text_id", "task", "label"]
COLUMNS = [*KEY, "dt", "scene", "score", "threshold", "rule"]
UNCOUNTED = ("runs",)


def labels(warehouse: Path) -> pa.Table:
    """The labels in the order of their key, without what names a model."""
    table = pa.table(DeltaTable(str(warehouse / "labels")).to_pyarrow_dataset().to_table(columns=COLUMNS))
    return table.sort_by([(name, "ascending") for name in KEY])


def counts(warehouse: Path) -> dict[str, int]:
    """How many rows each table has."""
    present = [table.name for table in tables.ALL if (warehouse / table.name / "_delta_log").is_dir()]
    return {
        name: DeltaTable(str(warehouse / name)).to_pyarrow_dataset().count_rows()
        for name in present
        if name not in UNCOUNTED
    }


def main() -> int:
    """Compare and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs=2)
    one, other = (folder / "warehouse" for folder in parser.parse_args().folders)
    same = True
    for name in sorted(counts(one).keys() | counts(other).keys()):
        rows = counts(one).get(name), counts(other).get(name)
        same &= rows[0] == rows[1]
        print(f"{name:<16} {rows[0]!s:>10} {rows[1]!s:>10} {'' if rows[0] == rows[1] else 'DIFFER'}")
    first, second = labels(one), labels(other)
    if first.select(KEY) != second.select(KEY):
        print("labels: other texts have them")
        return 1
    for name in COLUMNS:
        different = pc.sum(pc.not_equal(first.column(name), second.column(name))).as_py() or 0
        different += abs(first.column(name).null_count - second.column(name).null_count)
        same &= not different
        print(f"labels.{name:<12} {different} of {first.num_rows} differ")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
