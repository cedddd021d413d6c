"""From scores to labels: which label holds for which text, by what is in force at a moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.lake import registry, score_columns, tables, text_queries, threshold_queries
from jobs.lake.promotions import Promotion
from jobs.lake.registry import RegisteredModel, aligned_labels
from jobs.lake.store import Lake
from jobs.lake.threshold_queries import Thresholds
from models import label_dependencies
from models.errors import DataError
from models.label_dependencies import Label
from models.tasks import TaskSettings


@dataclass(frozen=True, slots=True)
class Decider:
    """What decides one task: its promoted model and the thresholds in force with it."""

    promotion: Promotion
    model: RegisteredModel
    thresholds: Thresholds

    def positions(self, task: TaskSettings) -> dict[str, int | None]:
        """Where each label of the task stands among the model's; None where the model does not know it."""
        return dict(zip(task.labels, aligned_labels(self.model.labels, task.label_names), strict=True))


def deciders(lake: Lake, tasks: Mapping[str, TaskSettings], promotions: Mapping[str, Promotion]) -> dict[str, Decider]:
    """The promoted models with their thresholds, of the tasks that the settings know."""
    return {
        name: Decider(
            promotion,
            registry.model(lake, promotion.model_id),
            threshold_queries.read(lake, promotion.model_id, promotion.threshold_version),
        )
        for name, promotion in promotions.items()
        if name in tasks
    }


def decide_labels(
    texts: DataFrame, scores: DataFrame, tasks: Mapping[str, TaskSettings], deciders: Mapping[str, Decider]
) -> DataFrame:
    """The labels that hold, a row each: the columns of `labels`."""
    wide = texts.select("text_id", "dt", "scene", "settled")
    for name, decider in deciders.items():
        wide = _with_scores(wide, scores, tasks[name], decider)
    above = {
        (name, label): _above(tasks[name], name, label, position)
        for name, decider in deciders.items()
        for label, position in decider.positions(tasks[name]).items()
        if label not in decider.promotion.withheld
    }
    holds = label_dependencies.decide(tasks, above, never=F.lit(False))
    rows = [_row(tasks[key[0]], deciders[key[0]], key, column) for key, column in holds.items()]
    exploded = wide.select("text_id", "dt", "scene", F.explode(F.array(*rows)).alias("row")).where("row is not null")
    return exploded.select("text_id", "dt", "scene", "row.*").select(*tables.LABELS.names)


def _with_scores(wide: DataFrame, scores: DataFrame, task: TaskSettings, decider: Decider) -> DataFrame:
    """The texts with a task's scores and thresholds, in the model's order."""
    name, labels = decider.promotion.task, decider.model.labels
    missing = set(labels) - {label for _, label in decider.thresholds}
    if missing:
        raise DataError(
            f"thresholds: {decider.model.model_id} lacks {', '.join(sorted(missing))}; run `pingti thresholds`"
        )
    probabilities = score_columns.keep_argmax(F.col("probs"), task.kind)
    own = scores.where(F.col("model_id") == decider.model.model_id)
    own = own.select("text_id", "dt", probabilities.alias(f"probs_{name}"))
    limits = score_columns.limits(decider.thresholds, task.scenes, labels)
    return wide.join(own, ["text_id", "dt"], "left").withColumn(f"limits_{name}", limits)


def _above(settings: TaskSettings, task: str, label: str, position: int | None) -> Column:
    """Whether a label's score reaches its threshold, or a rule settled the text as positive for it.

    A text of no scene of the task has none of its labels; one that a rule settled has no score that counts.
    """
    reached = F.lit(False)
    if position is not None:
        score, limit = F.col(f"probs_{task}")[position], F.col(f"limits_{task}")[position]
        reached = F.coalesce(score_columns.reaches(score, limit), reached)
    decided = (reached & ~text_queries.settled_for(task)) | _ruled(task, label)
    return F.col("scene").isin(*settings.scenes) & decided


def _ruled(task: str, label: str) -> Column:
    return F.exists(
        "settled",
        lambda rule: (rule["task"] == task) & (rule["outcome"] == "positive") & (rule["label"] == label),
    )


def _row(settings: TaskSettings, decider: Decider, key: Label, holds: Any) -> Column:
    """The struct of a label that holds, null where it does not."""
    task, label = key
    position = decider.positions(settings)[label]
    rule = F.filter("settled", lambda one: (one["task"] == task) & (one["label"] == label))
    score, limit = F.lit(None).cast("float"), F.lit(None).cast("double")
    if position is not None:
        score, limit = F.col(f"probs_{task}")[position], F.col(f"limits_{task}")[position]
    fields = {
        "task": F.lit(task), "label": F.lit(label), "score": score,
        "threshold": F.when(score.isNotNull(), limit),
        "model_id": F.lit(decider.model.model_id), "threshold_version": F.lit(decider.promotion.threshold_version),
        "rule": F.get(rule, F.lit(0))["rule"],
    }  # fmt: skip
    return F.when(holds, F.struct(*[column.alias(name) for name, column in fields.items()]))
