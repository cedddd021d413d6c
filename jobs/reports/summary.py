"""The run in numbers: the counts that must hold, and what each round came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow.compute as pc
from pyspark.sql import functions as F

from jobs.lake import loads, registry, tables, text_queries, threshold_queries
from jobs.lake.store import Lake
from models.errors import DataError
from models.evaluation.figures import Figure, Weight, figures_of, headline, named
from models.tasks import TaskSettings
from udfs.set_aside import NO_TEXT


def counts(lake: Lake, tasks: Mapping[str, TaskSettings]) -> dict[str, Any]:
    """Read, raw, rejected, repeated, texts; and per task the texts of its scenes, settled, scored, positive labels."""
    told = loads.totals(lake)
    of_texts = ~F.rlike("reason", F.lit(NO_TEXT))
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
    """Every round in its order, with its figures.

    `precision`, `recall` and `f1` are the student's against its teacher on seen and unseen texts of the test days, by
    occurrence; `unseen` and `unseen_by_text` on those that training has not seen; `undistilled` of the same student
    without distillation, on these; `human`, `undistilled_human` and `teacher_human` against annotators on these, and
    `human_by_text` and `human_by_row` the student's. `average` names what `unseen` is; each says over how many labels
    it is, `of_labels`. `figures` has all of them, micro averages too.
    """
    rows = sorted(lake.rows(tables.ROUNDS), key=lambda row: (row["task"], row["round_id"]))
    return [_entry(row, figures_of(row)) for row in rows]


def _entry(row: Mapping[str, Any], figures: Sequence[Figure]) -> dict[str, Any]:
    entry = {
        "task": row["task"], "round": row["number"], "round_id": row["round_id"], "model_id": row["model_id"],
        "sampling": row["sampling"], "rows": row["row_counts"]["train"], "seconds": round(row["seconds"], 1),
        "decision": row["decision"], "reason": row["reason"], "losses": [round(loss, 5) for loss in row["losses"]],
    }  # fmt: skip
    shown: dict[str, tuple[str, str, str, Weight]] = {
        "unseen": ("student", "teacher", "test_unseen", "occurrence"),
        "unseen_by_text": ("student", "teacher", "test_unseen", "text"),
        "undistilled": ("undistilled", "teacher", "test_unseen", "occurrence"),
        "human": ("student", "human", "test_unseen", "occurrence"),
        "human_by_text": ("student", "human", "test_unseen", "text"),
        "human_by_row": ("student", "human", "test_unseen", "row"),
        "undistilled_human": ("undistilled", "human", "test_unseen", "occurrence"),
        "teacher_human": ("teacher", "human", "test_unseen", "occurrence"),
    }
    whole = headline(figures, "student", "teacher", "test")
    first = headline(figures, *shown["unseen"]) or whole
    entry["average"] = named(first) if first else None
    entry["of_labels"] = _of_labels(first)
    entry |= _rounded(whole) if whole else dict.fromkeys(("precision", "recall", "f1"))
    entry |= {name: _quality(headline(figures, *which)) for name, which in shown.items()}
    entry["figures"] = [one.as_row() | _rounded(one) for one in figures]
    return entry


def _of_labels(figure: Figure | None) -> str | None:
    """Over how many labels an average is, of how many; None where nobody knows."""
    if figure is None or not figure.averaged.labels:
        return None
    return f"{figure.averaged.labels}/{figure.averaged.labels + figure.averaged.left_out}"


def _quality(figure: Figure | None) -> dict[str, Any] | None:
    return None if figure is None else _rounded(figure) | {"of_labels": _of_labels(figure)}


def _rounded(figure: Figure) -> dict[str, float]:
    quality = figure.averaged.quality
    return {name: round(getattr(quality, name), 4) for name in ("precision", "recall", "f1")}


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
