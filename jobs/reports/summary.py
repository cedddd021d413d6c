"""The run in numbers: the counts that must hold, and what each round came to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyarrow.compute as pc
from pyspark.sql import functions as F

from jobs.lake import loads, registry, tables, text_queries, threshold_queries
from jobs.lake.store import Lake
from models.errors import DataError
from models.tasks import TaskSettings
from udfs.annotation_parsing import REASON_PREFIX


def counts(lake: Lake, tasks: Mapping[str, TaskSettings]) -> dict[str, Any]:
    """Read, raw, rejected, repeated, texts; and per task the texts of its scenes, settled, scored, positive labels."""
    told = loads.totals(lake)
    of_texts = ~F.startswith("reason", F.lit(REASON_PREFIX))
    rejected = lake.read(tables.REJECTED).where(of_texts).count()
    # A task that has no student in force yet has nothing to count.
    live = registry.live(lake)
    per_task = {
        name: _task_counts(lake, name, task, live[name].model_id) for name, task in tasks.items() if name in live
    }
    raw, texts = lake.read(tables.RAW_TEXTS).count(), lake.read(tables.TEXTS).count()
    counted = {"read": told["records"], "raw": raw, "rejected": rejected, "repeated": told["repeated"]}
    return counted | {"texts": texts, "tasks": per_task}


def _task_counts(lake: Lake, name: str, task: TaskSettings, model_id: str) -> dict[str, int]:
    in_scenes = lake.read(tables.TEXTS).where(F.col("scene").isin(*task.scenes))
    settled = F.count_if(text_queries.settled_for(name)).alias("settled")
    row = in_scenes.agg(F.count("*").alias("texts"), settled).collect()[0]
    scored = lake.read(tables.STUDENT_SCORES).where(F.col("model_id") == model_id).count()
    positive = lake.read(tables.LABELS).where(F.col("task") == name).count()
    return {"texts": row["texts"], "settled": row["settled"], "scored": scored, "positive_labels": positive}


def check(found: dict[str, Any]) -> None:
    """The counts that must hold, all that do not in one `DataError`."""
    problems = []
    if found["read"] != found["raw"] + found["rejected"] + found["repeated"]:
        problems.append(
            f"read {found['read']} is not raw {found['raw']} + rejected {found['rejected']} + repeated "
            f"{found['repeated']}"
        )
    if found["raw"] != found["texts"]:
        problems.append(f"raw {found['raw']} is not texts {found['texts']}")
    for name, task in found["tasks"].items():
        if task["texts"] != task["settled"] + task["scored"]:
            problems.append(f"{name}: texts {task['texts']} is not settled {task['settled']} + scored {task['scored']}")
    if problems:
        raise DataError(f"counts: {'; '.join(problems)}; run the jobs again over all days, and report it if it stays")


def rounds(lake: Lake) -> list[dict[str, Any]]:
    """Every round in its order: quality against the teacher, on unseen texts, and of its undistilled baseline."""
    rows = sorted(lake.rows(tables.ROUNDS), key=lambda row: (row["task"], row["round_id"]))
    found = []
    for row in rows:
        own = {(m["model"], m["gold"], m["part"]): m for m in row["metrics"]}
        entry = {
            "task": row["task"], "round": row["number"], "round_id": row["round_id"], "model_id": row["model_id"],
            "sampling": row["sampling"], "rows": row["row_counts"]["train"], "seconds": round(row["seconds"], 1),
            "decision": row["decision"], "reason": row["reason"], "losses": [round(loss, 5) for loss in row["losses"]],
        }  # fmt: skip
        nothing = dict.fromkeys(("precision", "recall", "f1"))
        entry |= _quality(own.get(("student", "teacher", "test"))) or nothing
        entry["unseen"] = _quality(own.get(("student", "teacher", "test_unseen")))
        entry["undistilled"] = _quality(own.get(("undistilled", "teacher", "test")))
        entry["human"] = _quality(own.get(("student", "human", "test")))
        entry["undistilled_human"] = _quality(own.get(("undistilled", "human", "test")))
        entry["teacher_human"] = _quality(own.get(("teacher", "human", "test")))
        found.append(entry)
    return found


def _quality(metric: Any) -> dict[str, float] | None:
    if metric is None:
        return None
    return {name: round(metric[name], 4) for name in ("precision", "recall", "f1")}


def comparisons(lake: Lake) -> list[dict[str, Any]]:
    """The trainings of each task's newest comparison that ended."""
    compared = (pc.field("job") == "compare") & (pc.field("outcome") == "done")
    ended = {row["run_id"] for row in lake.rows(tables.RUNS, "run_id", where=compared)}
    kept = [row for row in lake.rows(tables.COMPARISONS) if row["run_id"] in ended]
    in_time = sorted(kept, key=lambda row: row["run_id"])  # a run's id begins with its time
    newest = {row["task"]: row["run_id"] for row in in_time}
    rows = [row for row in kept if newest[row["task"]] == row["run_id"]]
    return sorted(rows, key=lambda row: (row["task"], row["student"], row["scheme"], row["seed"]))


def labels_by_day(lake: Lake) -> list[dict[str, Any]]:
    """Positives a day and label, with the day's texts; what the report draws."""
    texts = lake.read(tables.TEXTS).groupBy("dt").agg(F.count("*").alias("texts"))
    found = lake.read(tables.LABELS).groupBy("dt", "task", "label").agg(F.count("*").alias("positives"))
    rows = found.join(texts, "dt").orderBy("task", "label", "dt").collect()
    return [row.asDict() for row in rows]


def quality_by_label(lake: Lake) -> list[dict[str, Any]]:
    """The thresholds in force with their evidence, and whether their label is withheld."""
    found = []
    for name, promotion in sorted(registry.live(lake).items()):
        rows = threshold_queries.rows_of_version(lake, promotion.model_id, promotion.threshold_version)
        in_order = sorted(rows, key=lambda row: (row["label"], row["scene"]))
        found += [{"task": name, "withheld": row["label"] in promotion.withheld, **row} for row in in_order]
    return found
