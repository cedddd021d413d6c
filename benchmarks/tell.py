"""What `make bench` measured, as the table and the plot of docs/performance.md: `python -m benchmarks.tell`.

Prints the table and writes `build/bench/performance.svg`; refuses figures of a machine that was not quiet.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from benchmarks.results import OUT

# A quiet machine reaches these (rows a second, model alone); a run far below them says nothing of ours.
FLOORS = {"bert_base": 19.0, "onnxruntime_textcnn": 21_800.0, "fasttext": 85_000.0, "sklearn": 72_000.0}
SHARE = 0.8
PLOT = OUT.with_name("performance.svg")


def table(measured: dict[str, float], spread: dict[str, Any]) -> list[str]:
    """A line a contender, fastest first, as a multiple of BERT-base."""
    base = measured.get("bert_base")
    lines = ["| | rows/s, median of 5 | least to most | × BERT-base | load |", "|---|---:|---:|---:|---:|"]
    for name, rate in sorted(measured.items(), key=lambda item: -item[1]):
        times = f"{rate / base:,.1f}" if base else "–"
        one = spread[name]
        lines.append(
            f"| {name} | {rate:,.0f} | {one['min']:,.0f} to {one['max']:,.0f} | {times} | {one['load'][0]:.1f} |"
        )
    return lines


def slow(measured: dict[str, float]) -> list[str]:
    """The baselines that were slower than on a quiet machine, told one by one."""
    return [
        f"{name}: {measured[name]:,.0f} rows/s, below {SHARE:.0%} of {floor:,.0f}"
        for name, floor in FLOORS.items()
        if name in measured and measured[name] < SHARE * floor
    ]


def plot(measured: dict[str, float]) -> None:
    """Bars over a logarithmic axis."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "pingti"
    import matplotlib.pyplot as plt

    names = sorted(measured, key=lambda name: measured[name])
    figure, axes = plt.subplots(figsize=(8, 0.32 * len(names) + 1))
    axes.barh(names, [measured[name] for name in names], color="#4477aa")
    axes.set_xscale("log")
    axes.set_xlabel("rows a second, one core unless the name says otherwise")
    figure.savefig(PLOT, bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)


def main() -> int:
    """Print and draw."""
    kept = json.loads(OUT.read_text("utf-8"))
    measured = kept["rows_per_second"]
    print("\n".join(table(measured, kept["spread"])))
    plot(measured)
    for name in ("worker_rss_mb", "job_fixed_seconds", "second_core", "scale"):
        if name in kept:
            print(f"{name}: {json.dumps(kept[name])}")
    if told := slow(measured):
        sys.stderr.write("The machine was not quiet, this run does not count: " + "; ".join(told) + "\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
