"""Twelve million rows on one core and on two, and what Spark's event log says of many cores: `make bench-scale`.

From the log of each run come the fixed cost of a task, the start of a worker with its model, and what the driver does
alone (planning, the commit). With these a plain model tells the time of 100 million rows on N cores; what keeps it from
N times as fast is named beside.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks import job
from benchmarks.results import child, note
from jobs.runtime.context import Days
from jobs.scoring import score

EVENTS = Path("build/bench/events")
TIMES = 4  # the days of the table, again and again: twelve million rows
CORES = (20, 200, 1000)
TARGET_ROWS = 100_000_000


@dataclass(frozen=True, slots=True)
class Costs:
    """What a run of the job costs, in seconds, apart from the rows themselves."""

    row: float  # of one core
    task: float  # over its rows: scheduling, opening the file, closing the file written
    worker: float  # a core's first task: its Python, imports, the model and its compilation
    driver: float  # of the whole job, while no task runs: planning, listing, the commit
    driver_file: float  # of the commit, a file written
    tasks_a_million: float


def tasks_of(log: Path) -> list[dict[str, float]]:
    """Each finished task: its stage, when it began, its seconds."""
    found = []
    for line in log.read_text("utf-8").splitlines():
        event = json.loads(line)
        if event["Event"] != "SparkListenerTaskEnd" or event["Task End Reason"]["Reason"] != "Success":
            continue
        info = event["Task Info"]
        found.append(
            {
                "stage": event["Stage ID"],
                "start": info["Launch Time"] / 1000,
                "seconds": (info["Finish Time"] - info["Launch Time"]) / 1000,
            }
        )
    return found


def busy(tasks: Iterable[Mapping[str, float]]) -> float:
    """Seconds in which at least one task ran."""
    total, end = 0.0, -math.inf
    for start, finish in sorted((task["start"], task["start"] + task["seconds"]) for task in tasks):
        total += max(0.0, finish - max(start, end))
        end = max(end, finish)
    return total


def predicted(costs: Costs, rows: int, cores: int) -> dict[str, float]:
    """Seconds of the job on so many cores, and its efficiency: one core's seconds ÷ (cores × these)."""

    def seconds(of: int) -> float:
        tasks = max(of, math.ceil(rows / 1e6 * costs.tasks_a_million))
        rounds = math.ceil(tasks / of)
        return (
            costs.driver + tasks * costs.driver_file + costs.worker + rounds * (costs.task + rows / tasks * costs.row)
        )

    alone = seconds(1)
    return {"seconds": round(seconds(cores), 2), "efficiency": round(alone / (cores * seconds(cores)), 4)}


def measure(cores: int) -> dict[str, Any]:
    """The job over all days, then over a few rows, in a fresh session that writes its event log."""
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:cores]))
    folder = EVENTS / f"{cores}-{time.time_ns()}"
    folder.mkdir(parents=True)
    context = job.open_context(
        cores, {"spark.eventLog.enabled": "true", "spark.eventLog.dir": str(folder), "spark.eventLog.compress": "false"}
    )
    every = Days(job.FIRST, job.FIRST + timedelta(days=job.DAYS * TIMES - 1))
    found: dict[str, Any] = {}
    for name, days in (("cold", Days(job.FEW, job.FEW)), ("few", Days(job.FEW, job.FEW)), ("all", every)):
        started = time.time()
        score.execute(context, job.work_of(days))
        found[name] = (started, time.time())
    found["worker_rss_mb"] = job.peak_of_workers()
    context.spark.stop()
    (log,) = (path for path in folder.rglob("*") if path.is_file() and "appstatus" not in path.name)
    tasks = tasks_of(log)
    for name in ("cold", "few", "all"):
        start, end = found[name]
        own = [task for task in tasks if start <= task["start"] <= end]
        found[name] = {
            "seconds": end - start, "busy": busy(own), "tasks": len(own),
            "rows": job.ROWS * TIMES if name == "all" else job.FEW_ROWS,
            "task_seconds": sum(task["seconds"] for task in own),
            "longest": max(task["seconds"] for task in own),
            "shortest": min(task["seconds"] for task in own),
        }  # fmt: skip
    return found


def costs_of(one: Mapping[str, Any]) -> Costs:
    """From a run on one core: of few rows cold, of few rows warm, and of all."""
    cold, few, every = one["cold"], one["few"], one["all"]
    task = statistics.fmean([few["shortest"]])
    idle = {name: one[name]["seconds"] - one[name]["busy"] for name in ("few", "all")}
    files = max(every["tasks"] - few["tasks"], 1)
    return Costs(
        row=(every["task_seconds"] - every["tasks"] * task) / every["rows"],
        task=task,
        worker=max(0.0, cold["task_seconds"] - few["task_seconds"]),
        driver=idle["few"],
        driver_file=max(0.0, (idle["all"] - idle["few"]) / files),
        tasks_a_million=every["tasks"] / every["rows"] * 1e6,
    )


def main() -> int:
    """Measure on one core and on two, and predict."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", type=int)
    parser.add_argument("--prepare", action="store_true")
    asked = parser.parse_args()
    if asked.prepare:
        job.prepare(TIMES)
        return 0
    if asked.cores:
        print(json.dumps(measure(asked.cores)))
        return 0
    child("benchmarks.scale", "--prepare")
    runs = {cores: json.loads(child("benchmarks.scale", "--cores", str(cores))) for cores in (1, 2)}
    costs = costs_of(runs[1])
    spent = {cores: run["all"]["seconds"] - run["few"]["seconds"] for cores, run in runs.items()}
    note(
        {
            "scale": {
                "runs": runs, "second_core": round(spent[1] / spent[2], 3), "costs": asdict(costs),
                "predicted": {str(cores): predicted(costs, TARGET_ROWS, cores) for cores in CORES},
                "load": os.getloadavg(),
            }
        }
    )  # fmt: skip
    return 0


if __name__ == "__main__":
    sys.exit(main())
