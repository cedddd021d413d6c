"""`pingti diff MODEL MODEL`: what a promotion would change, before it is made: labels gained and lost, with examples.

Both models decide the stored scores of the same days, each with its thresholds and what is in force of other tasks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jobs.labels.label_decisions import Decider, count_undecidable, decide_labels, deciders
from jobs.lake import registry, tables, threshold_queries
from jobs.lake.promotions import NamedModel, Promotion
from jobs.lake.store import Lake
from jobs.runtime.context import Context
from models import label_dependencies
from models.errors import DataError, SettingsError

_KEY = ("text_id", "dt", "task", "label", "scene")
_WIDEST = 60


@dataclass(frozen=True, slots=True)
class Changes:
    """What the second model decides otherwise than the first.

    Attributes:
        counts: A row a task, label, scene and change (`gained`, `lost`, `kept`): task, label, scene, change, count.
        examples: Some texts of each that was gained or lost: with text_id, score and text.
    """

    counts: list[dict[str, Any]]
    examples: list[dict[str, Any]]


def changes(context: Context, first: str, second: str, examples: int) -> Changes:
    """Compare two students of one task, each `MODEL` or `MODEL@VERSION` of its thresholds.

    Raises:
        SettingsError: They are of two tasks, or no students.
        DataError: A text of the days asked for has no score of one of them.
    """
    lake, tasks = context.lake, context.settings.tasks
    pair = [_decider(lake, NamedModel.parse(name, "diff")) for name in (first, second)]
    name = pair[0].promotion.task
    if pair[1].promotion.task != name:
        raise SettingsError(f"diff: {first} and {second} are of two tasks; name two students of one")
    context.settings.task(name)
    affected = label_dependencies.dependents(tasks, name)
    context.start_session()  # columns cannot even be written down without one
    decided = [_decided(context, one, affected) for one in pair]
    was, now = (
        frame.select(*_KEY, F.col("score").alias(score), F.lit(True).alias(there))
        for frame, score, there in zip(decided, ("was", "now"), ("before", "after"), strict=True)
    )  # a rule's label has no score: what counts is that the row is there
    change = F.when(F.col("before") & F.col("after"), "kept").when(F.col("after"), "gained").otherwise("lost")
    told = was.join(now, list(_KEY), "full_outer").withColumn("change", change).persist()
    try:
        grouped = told.groupBy("task", "label", "scene", "change").count()
        counts = [row.asDict() for row in grouped.orderBy("task", "label", "scene", "change").collect()]
        return Changes(counts, _examples(lake, told, examples))
    finally:
        told.unpersist()


def _examples(lake: Lake, told: DataFrame, examples: int) -> list[dict[str, Any]]:
    order = Window.partitionBy("task", "label", "change").orderBy(F.xxhash64("text_id"), "text_id")
    some = told.where("change <> 'kept'").withColumn("place", F.row_number().over(order))
    some = some.where(F.col("place") <= examples)
    texts = lake.read(tables.TEXTS).select("text_id", "dt", "text", "text_b")
    found = some.join(texts, ["text_id", "dt"]).orderBy("task", "label", "change", "place")
    return [row.asDict() for row in found.collect()]


def _decider(lake: Lake, named: NamedModel) -> Decider:
    model = registry.model(lake, named.model_id)
    if model.role != "student":
        raise SettingsError(f"diff: {model.model_id} is a {model.role}, expected a student")
    version = named.version or threshold_queries.newest_version(lake, model.model_id)
    if version is None:
        raise DataError(f"diff: {model.model_id} has no thresholds; run `pingti thresholds` first")
    promotion = Promotion(model.task, model.model_id, version, "diff")
    return Decider(promotion, model, threshold_queries.read(lake, model.model_id, version))


def _decided(context: Context, one: Decider, affected: frozenset[str]) -> DataFrame:
    """The labels of the tasks that depend on it, with this decider in the place of what is in force."""
    lake, tasks = context.lake, context.settings.tasks
    live = registry.live(lake)
    own = replace(one.promotion, withheld=live[one.promotion.task].withheld if one.promotion.task in live else ())
    used: Mapping[str, Decider] = deciders(lake, tasks, live) | {own.task: replace(one, promotion=own)}
    needed = {name for task in affected & used.keys() for name in label_dependencies.dependencies(tasks, task)}
    used = {name: decider for name, decider in used.items() if name in needed}
    days = F.lit(True)
    if context.request.days is not None:
        days = F.col("dt").between(context.request.days.first, context.request.days.last)
    texts, scores = lake.read(tables.TEXTS).where(days), lake.read(tables.STUDENT_SCORES).where(days)
    missing = count_undecidable(texts, scores, tasks, dict.fromkeys(used, F.lit(True)), used)
    if missing:
        problems = "; ".join(f"{count} texts have {problem} of {model}" for (model, problem), count in missing.items())
        raise DataError(f"diff: {problems}; name days that are scored by --dt, or run `pingti score`")
    return decide_labels(texts, scores, tasks, used).where(F.col("task").isin(*sorted(affected)))


def show(context: Context, first: str, second: str, examples: int, console: Console) -> None:
    """Print the counts and examples."""
    found = changes(context, first, second, examples)
    console.print(_counts(found))
    if not found.examples:
        return
    table = Table(show_edge=False, header_style="bold", title="\nexamples", title_justify="left")
    for name in ("change", "label", "scene", "day", "was", "now", "text"):
        table.add_column(name, overflow="fold", max_width=_WIDEST)
    for row in found.examples:
        text = row["text"] if row["text_b"] is None else f"{row['text']} / {row['text_b']}"
        scores = ["–" if row[side] is None else f"{row[side]:.3f}" for side in ("was", "now")]
        table.add_row(
            row["change"], f"{row['task']}.{row['label']}", row["scene"], str(row["dt"]), *scores, Text(text[:200])
        )
    console.print(table)


def _counts(found: Changes) -> Table:
    table = Table(show_edge=False, header_style="bold")
    for name in ("label", "scene", "kept", "gained", "lost"):
        table.add_column(name, justify="right" if name in ("kept", "gained", "lost") else "left")
    by_row: dict[tuple[str, str, str], dict[str, int]] = {}
    for row in found.counts:
        by_row.setdefault((row["task"], row["label"], row["scene"]), {})[row["change"]] = row["count"]
    for (task, label, scene), counts in sorted(by_row.items()):
        table.add_row(
            f"{task}.{label}", scene, *[f"{counts.get(change, 0):,}" for change in ("kept", "gained", "lost")]
        )
    return table
