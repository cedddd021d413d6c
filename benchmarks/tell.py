"""What `make bench` measured, as the table and the plot of docs/performance.md: `python -m benchmarks.tell`.

Prints the table and writes `build/bench/performance.svg`. A baseline is compared with the fused engine of the same run:
what slows the machine slows both, so the run counts, and a ratio that is far from the usual one is named.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from benchmarks.results import OUT

# How many times as fast as each baseline the fused engine usually is, by the median of quiet runs.
USUAL = {"bert_base": 58_000.0, "onnxruntime_textcnn": 66.0, "fasttext": 13.2, "sklearn": 19.0}
FACTOR = 1.5
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


def unusual(measured: dict[str, float]) -> list[str]:
    """The baselines whose ratio to the fused engine of the same run is not the usual one, told one by one."""
    ratios = {name: measured["engine"] / measured[name] for name in USUAL if name in measured and "engine" in measured}
    return [
        f"{name}: the engine is {ratio:,.1f} times as fast, usually {USUAL[name]:,.1f}"
        for name, ratio in ratios.items()
        if not USUAL[name] / FACTOR <= ratio <= USUAL[name] * FACTOR
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
    for name in ("label_counts", "worker_rss_mb", "job_fixed_seconds", "second_core", "scale"):
        if name in kept:
            print(f"{name}: {json.dumps(kept[name])}")
    if told := unusual(measured):
        sys.stderr.write("These ratios are off, read them with care: " + "; ".join(told) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
