"""What a night costs at warehouses of 1, 30 and 365 days: `make bench-night`, to build/bench/night.json.

Each warehouse holds so many days of 100,000 texts, cleaned, scored and labelled; one more day arrives as a file, and
`pingti nightly` runs in a process of its own, three nights in turn. The history is written by this generator: raw texts
with ids of their own each day; the files of texts, scores and labels of all days are one file each under many names,
for a night never opens them. What the night wrote is read from the logs: the rows of that day, and no other.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks import random_student
from benchmarks.random_student import LABELS
from benchmarks.texts import SCENES, rows_of_the_demo
from jobs.days import made_days
from jobs.days.live_files import LiveFiles
from jobs.days.made_days import Made
from jobs.days.raw_days import RawDays
from jobs.ingestion import clean
from jobs.labels import label
from jobs.lake import registry, tables
from jobs.lake.commits import Scope, Stamp, metadata
from jobs.lake.registry import RegisteredModel
from jobs.lake.tables import Table
from jobs.runtime.context import Context, Request, make_context, quiet_reporter
from jobs.scoring import score
from jobs.settings import Settings
from models import digests
from udfs.data_files import DataFile, folder_of
from udfs.list_arrays import to_lists

PLACE = Path("build/bench/night")
OUT = Path("build/bench/night.json")
ROWS, NIGHTS = 100_000, 3
LAST = date(2026, 3, 1)  # of the history
WAREHOUSES = ((1, 2), (30, 2), (365, 2), (1, 20))  # days, tasks
STAMP = Stamp("bench", "bench")


def settings(place: Path, tasks: int) -> dict[str, Any]:
    """Of one warehouse."""
    labels: dict[str, Any] = {one: {} for one in LABELS}
    return {
        "lake": {"location": str(place / "warehouse"), "bundles": str(place / "bundles")},
        "session": {"master": "local[2,4]", "shuffle_partitions": 4},
        "sources": {
            "chat": {
                "path": str(place / "landing" / "*.jsonl"), "format": "jsonl",
                "columns": {"source_id": "id", "text": "text", "event_time": "time", "scene": "scene"},
                "constants": {"source": "app"},
            }
        },
        "tasks": {f"task{at:02}": {"scenes": list(SCENES), "labels": labels} for at in range(tasks)},
    }  # fmt: skip


class Warehouse:
    """A warehouse of so many days and tasks, and its nights."""

    def __init__(self, days: int, tasks: int, texts: list[str]) -> None:
        self.place = PLACE / f"{days}-{tasks}"
        shutil.rmtree(self.place, ignore_errors=True)
        (self.place / "landing").mkdir(parents=True)
        self.texts, self.tasks = texts, tasks
        self.days = [LAST - timedelta(days=at) for at in range(days)]
        self.settings = Settings.model_validate(settings(self.place, tasks))
        (self.place / "settings.yaml").write_text(json.dumps(settings(self.place, tasks)), "utf-8")
        self.models = [f"task{at:02}/textcnn/01" for at in range(tasks)]

    def context(self, job: str) -> Context:
        """Without a session: nobody needs one before the night."""

        def none() -> Any:
            raise RuntimeError("no session is needed here")

        return make_context(job, self.settings, none, Request(), quiet_reporter())

    def make(self) -> None:
        """Write its history, as its jobs would have left it."""
        lake = self.context("bench").lake
        lake.catalog.make()
        self._models()
        self._link(tables.RAW_TEXTS, [(_raw(self.texts, day), {"arrived_dt": day.isoformat()}) for day in self.days])
        ids = pa.array([f"{at:032x}" for at in range(ROWS)])
        common = {"text_id": ids, "scene": pa.array(_scenes()), "clean_version": _repeated(self._clean_version())}
        self._same(tables.TEXTS, _texts(self.texts, common), self._parts())
        probs = np.random.default_rng(1).random(ROWS * len(LABELS), np.float32)
        lists = to_lists(probs.reshape(ROWS, len(LABELS)), np.zeros(ROWS, np.bool_))
        scores = pa.table(common | {"probs": lists, "error": pa.nulls(ROWS, pa.string())})
        self._same(tables.STUDENT_SCORES, scores, self._parts("model_id", self.models))
        self._same(tables.LABELS, _labels(common), self._parts("task", list(self.settings.tasks)))
        self._remember()

    def night(self, number: int) -> dict[str, Any]:
        """One more day arrives, and the night runs; its seconds, and the rows that it wrote of each table."""
        day = LAST + timedelta(days=1 + number)
        with (self.place / "landing" / f"{day}.jsonl").open("w", encoding="utf-8") as file:
            for at, (text, scene) in enumerate(zip(self.texts, _scenes(), strict=True)):
                told = {"id": f"{day}-{at}", "text": text, "scene": scene, "time": f"{day}T12:00:00+08:00"}
                file.write(json.dumps(told, ensure_ascii=False) + "\n")
        before = {table: self.context("bench").lake.log.version(table) for table in _WRITTEN}
        command = [sys.executable, "-m", "jobs.submit", "nightly", "--settings", str(self.place / "settings.yaml")]
        started = time.perf_counter()
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        seconds = time.perf_counter() - started
        return {
            "seconds": seconds,
            "rows": {table.name: self._written(table, before[table], day) for table in _WRITTEN},
        }

    def _written(self, table: Table, before: int, day: date) -> int:
        """The rows that commits since then added; all of them of that day, or the night did more than its news."""
        lake = self.context("bench").lake
        rows = 0
        for version in range(before + 1, lake.log.version(table) + 1):
            actions = lake.catalog.arrow.actions(table, version) or []
            if table is not tables.RAW_TEXTS and {action.partition["dt"] for action in actions} - {day.isoformat()}:
                raise RuntimeError(f"{table.name}: version {version} wrote another day than {day}")
            there = {file.path: file.rows for file in lake.catalog.arrow.files(table)}
            rows += sum(there.get(action.path) or 0 for action in actions if action.added)
        return rows

    def _models(self) -> None:
        lake, texts = self.context("bench").lake, pa.array(self.texts[:20_000], pa.string())
        for at, model in enumerate(self.models):
            task = f"task{at:02}"
            _, _, bundle = random_student.seal(lake.bundles.folder / "students" / task, texts, task, model)
            row = RegisteredModel(
                model, task, "textcnn", "student", LABELS, None, None, str(bundle), self._clean_version()
            )
            registry.register(lake, row, settings="{}", stamp=STAMP)
        now = datetime(2026, 1, 1, tzinfo=UTC)
        lake.append_rows(tables.THRESHOLDS, [
            {
                "model_id": model, "label": one, "scene": "*", "version": 1, "value": 0.5, "method": "bench",
                "gold": "teacher", "created_at": now, "run_id": "bench",
            }
            for model in self.models for one in LABELS
        ], STAMP)  # fmt: skip
        lake.append_rows(tables.PROMOTIONS, [
            {"task": model.split("/")[0], "from_ts": now, "model_id": model, "threshold_version": 1, "reason": "bench",
             "run_id": "bench"} for model in self.models
        ], STAMP)  # fmt: skip

    def _clean_version(self) -> str:
        return self.settings.cleaning.version

    def _parts(self, column: str = "", values: Sequence[str] = ()) -> list[dict[str, str | None]]:
        if not column:
            return [{"dt": day.isoformat()} for day in self.days]
        return [{"dt": day.isoformat(), column: value} for day in self.days for value in values]

    def _same(self, table: Table, rows: pa.Table, parts: list[dict[str, str | None]]) -> None:
        """One file under the names of all partitions."""
        template = self.place / f"{table.name}.parquet"
        declared = {field.name: field.type for field in table.columns if field.name not in parts[0]}
        pq.write_table(
            rows.select(list(declared)).cast(pa.schema(list(declared.items()))), template, compression="zstd"
        )
        files = []
        for part in parts:
            path = f"{folder_of(part)}part-0.zstd.parquet"
            target = Path(self.context("bench").lake.catalog.place(table) or "") / path
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(template, target)
            files.append(DataFile(path, template.stat().st_size, rows.num_rows, part))
        self._commit(table, files)

    def _link(self, table: Table, days: list[tuple[pa.Table, dict[str, str | None]]]) -> None:
        """A file of its own for each partition."""
        files = []
        for rows, part in days:
            path = f"{folder_of(part)}part-0.zstd.parquet"
            target = Path(self.context("bench").lake.catalog.place(table) or "") / path
            target.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(rows, target, compression="zstd")
            files.append(DataFile(path, target.stat().st_size, rows.num_rows, part))
        self._commit(table, files)

    def _commit(self, table: Table, files: list[DataFile]) -> None:
        self.context("bench").lake.catalog.arrow.append(table, files, metadata(STAMP, Scope()))

    def _remember(self) -> None:
        """What the jobs would have written down of the days that they made."""
        raw = RawDays(self.context("bench").lake)
        raw.signatures()
        raw.remember(STAMP)
        for job, table in ((clean.JOB, tables.TEXTS), (score.JOB, tables.STUDENT_SCORES), (label.JOB, tables.LABELS)):
            context = self.context(job.name)
            payload: Any = job.plan(context).required()
            work = getattr(payload, "cells", payload)
            outputs = LiveFiles(context.lake, table).signatures()
            made = {cell: Made(recipe, outputs.get(cell, "")) for cell, recipe in work.recipes.items()}
            made_days.write(context.lake, table, made, STAMP)
            if job.plan(self.context(job.name)).steps:
                raise RuntimeError(f"{job.name}: the history is not whole")


_WRITTEN = (tables.RAW_TEXTS, tables.TEXTS, tables.STUDENT_SCORES, tables.LABELS)


def _scenes() -> list[str]:
    scenes = list(SCENES)
    return [scenes[at % len(scenes)] for at in range(ROWS)]


def _repeated(value: Any) -> pa.Array:
    return pa.repeat(pa.scalar(value), ROWS)


def _raw(texts: list[str], day: date) -> pa.Table:
    source_ids = [f"{day}-{at}" for at in range(ROWS)]
    columns = {
        "text_id": [digests.of_source("app", one) for one in source_ids], "source": _repeated("app"),
        "source_id": source_ids, "scene": _scenes(), "text": texts, "text_b": pa.nulls(ROWS, pa.string()),
        "event_time": _repeated(datetime.combine(day, clock(4), UTC)), "dt": _repeated(day),
        "load_id": _repeated(f"load-{day}"), "file": _repeated(f"{day}.jsonl"), "position": pa.array(range(ROWS)),
        "run_id": _repeated("bench"),
    }  # fmt: skip
    declared = [field for field in tables.RAW_TEXTS.columns if field.name in columns]
    return pa.table({field.name: columns[field.name] for field in declared}).cast(
        pa.schema([(field.name, field.type) for field in declared])
    )


def _texts(texts: list[str], common: dict[str, pa.Array]) -> pa.Table:
    nothing = tables.TEXTS.columns.field("settled").type
    columns = common | {
        "source": _repeated("app"), "source_id": common["text_id"], "text": pa.array(texts),
        "text_b": pa.nulls(ROWS, pa.string()), "text_hash": common["text_id"],
        "length": pa.array([len(one) for one in texts], pa.int32()),
        "event_time": _repeated(datetime.combine(LAST, clock(4), UTC)),
        "settled": pa.array([[]] * ROWS, nothing), "occurrences": _repeated(1),
    }  # fmt: skip
    return pa.table(columns)


def _labels(common: dict[str, pa.Array]) -> pa.Table:
    columns = {"text_id": common["text_id"], "scene": common["scene"]} | {
        "label": _repeated(LABELS[0]), "score": _repeated(0.95), "threshold": _repeated(0.9),
        "model_id": _repeated("bench"), "threshold_version": _repeated(1), "rule": pa.nulls(ROWS, pa.string()),
    }  # fmt: skip
    return pa.table(columns)


def main() -> None:
    """Measure all warehouses; the nights of each in a row."""
    texts = rows_of_the_demo(ROWS)
    found: list[dict[str, Any]] = []
    for days, tasks in WAREHOUSES:
        warehouse = Warehouse(days, tasks, texts)
        warehouse.make()
        nights = [warehouse.night(number) for number in range(NIGHTS)]
        seconds = [night["seconds"] for night in nights]
        found.append({
            "days": days, "tasks": tasks, "seconds": statistics.median(seconds), "nights": seconds,
            "rows": nights[-1]["rows"], "load": os.getloadavg(),
        })  # fmt: skip
        print(
            f"{days:>4} days, {tasks:>2} tasks: {found[-1]['seconds']:6.1f} s a night ({found[-1]['rows']})", flush=True
        )
        shutil.rmtree(warehouse.place)
    by_size = {(one["days"], one["tasks"]): one["seconds"] for one in found}
    figures = {
        "rows_a_day": ROWS, "warehouses": found, "ratio_365_to_1": by_size[365, 2] / by_size[1, 2],
        "seconds_a_further_task": (by_size[1, 20] - by_size[1, 2]) / 18,
    }  # fmt: skip
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")
    ratio, further = figures["ratio_365_to_1"], figures["seconds_a_further_task"]
    print(f"365 days over 1: {ratio:.2f}; a further task: {further:.2f} s")


if __name__ == "__main__":
    main()
