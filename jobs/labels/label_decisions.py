"""From scores to labels: which label holds for which text, by what is in force at a moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.lake import registry, tables, text_queries, threshold_queries
from jobs.lake.registry import Promotion, RegisteredModel
from jobs.lake.store import Lake
from jobs.lake.threshold_queries import Thresholds
from jobs.runtime.executors import map_batches
from models.errors import DataError
from models.tasks import EVERY_SCENE, TaskSettings
from udfs.label_deciding import DECIDED, TaskDecider, label_decider


@dataclass(frozen=True, slots=True)
class Decider:
    """What decides one task: its promoted model and the thresholds in force with it."""

    promotion: Promotion
    model: RegisteredModel
    thresholds: Thresholds


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
    """The labels that hold, a row each: the columns of `labels`.

    Raises:
        DataError: A label of a model has no threshold.
    """
    function = label_decider(tasks, [_executors(tasks[name], decider) for name, decider in deciders.items()])
    kept = F.struct("model_id", "probs")
    wide = _with_scores(texts.select("text_id", "dt", "scene", "settled"), scores, deciders, kept)
    return map_batches(wide, function, DECIDED).select(*tables.LABELS.names)


def count_undecidable(
    texts: DataFrame, scores: DataFrame, tasks: Mapping[str, TaskSettings], days: Mapping[str, Column],
    deciders: Mapping[str, Decider],
) -> dict[tuple[str, str], int]:  # fmt: skip
    """How many texts a decider cannot decide, by its model and the problem, in one pass.

    Args:
        texts: The texts.
        scores: The scores.
        tasks: The settings' tasks.
        days: By task, whether a row is of a day that the decider is needed on.
        deciders: What decides each task.
    """
    columns = ("text_id", "dt", "scene", "settled", "text_b", "clean_version")
    wide = _with_scores(texts.select(*columns), scores, deciders, F.struct("model_id", "clean_version"))
    counts = {}
    for name, decider in deciders.items():
        model_id = decider.model.model_id
        own = _score_of(model_id)
        wanted = text_queries.wanted(name, tasks[name]) & days[name]
        if tasks[name].kind == "pair":
            wanted = wanted & F.col("text_b").isNotNull()
        counts[model_id, "no score"] = wanted & own.isNull()
        counts[model_id, "only a score of an earlier cleaning"] = wanted & (
            own["clean_version"] != F.col("clean_version")
        )
    row = wide.agg(*[F.count_if(column) for column in counts.values()]).collect()[0]
    return {key: count for key, count in zip(counts, row, strict=True) if count}


def _score_of(model_id: str) -> Column:
    return F.get(F.filter("scores", lambda one: one["model_id"] == model_id), F.lit(0))


def _with_scores(texts: DataFrame, scores: DataFrame, deciders: Mapping[str, Decider], kept: Column) -> DataFrame:
    """The texts with the scores of all deciding models as one list: one join, however many tasks."""
    models = [decider.model.model_id for decider in deciders.values()]
    own = scores.where(F.col("model_id").isin(models)).groupBy("text_id", "dt")
    return texts.join(own.agg(F.collect_list(kept).alias("scores")), ["text_id", "dt"], "left")


def _executors(task: TaskSettings, decider: Decider) -> TaskDecider:
    """What executors need of a decider."""
    labels = decider.model.labels
    if missing := set(labels) - {label for _, label in decider.thresholds}:
        raise DataError(
            f"thresholds: {decider.model.model_id} lacks {', '.join(sorted(missing))}; run `pingti thresholds`"
        )
    limits = {
        scene: tuple(threshold_queries.for_scene(decider.thresholds, scene, labels))
        for scene in (EVERY_SCENE, *task.scenes)
    }
    promotion = decider.promotion
    return TaskDecider(promotion.task, decider.model.model_id, labels, promotion.threshold_version, limits)
