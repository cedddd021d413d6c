"""Columns of scores and what they decide: `models.evaluation.predictions` as Spark's expressions."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark.sql import Column
from pyspark.sql import functions as F

from jobs.lake.registry import aligned_labels
from jobs.lake.threshold_queries import Thresholds, for_scene
from models.tasks import EVERY_SCENE, TaskKind


def aligned(values: Column, own: Sequence[str], wanted: Sequence[str]) -> Column:
    """An array column in the order of a model's own labels, in the order wanted: null for labels it does not know."""
    if tuple(own) == tuple(wanted):
        return values
    nothing = F.lit(None).cast("float")
    places = aligned_labels(own, wanted)
    return F.when(values.isNotNull(), F.array(*[nothing if at is None else values[at] for at in places]))


def probabilities(logits: Column, kind: TaskKind) -> Column:
    """`predictions.probabilities` of an array column; a label without a logit (null) has no probability."""
    if kind != "multi_class":
        return F.transform(logits, lambda logit: 1 / (1 + F.exp(-logit)))
    shares = F.transform(logits, lambda logit: F.exp(logit - F.array_max(logits)))
    total = F.aggregate(shares, F.lit(0.0), lambda so_far, share: so_far + F.coalesce(share, F.lit(0.0)))
    return F.transform(shares, lambda share: share / total)


def keep_argmax(probabilities: Column, kind: TaskKind) -> Column:
    """`predictions.keep_argmax` of an array column: of classes, all but the likeliest become 0."""
    if kind != "multi_class":
        return probabilities
    winner = F.array_position(probabilities, F.array_max(probabilities)) - 1  # counted from 1, as SQL does
    return F.transform(probabilities, lambda one, at: F.when(at == winner, one).otherwise(F.lit(0).cast("float")))


def limits(thresholds: Thresholds, scenes: Sequence[str], labels: Sequence[str]) -> Column:
    """The thresholds of the row's `scene`, an array in the order of the labels."""
    everywhere = for_scene(thresholds, EVERY_SCENE, labels)
    column = _array(everywhere)
    for scene in scenes:
        if (values := for_scene(thresholds, scene, labels)) != everywhere:
            column = F.when(F.col("scene") == scene, _array(values)).otherwise(column)
    return column


def _array(values: Sequence[float]) -> Column:
    return F.array(*[F.lit(value) for value in values])


def reaches(score: Column, limit: Column) -> Column:
    """Whether a score, of classes one that `keep_argmax` kept, reaches its threshold; null where there is no score."""
    return score >= limit


def decisions(probabilities: Column, limits: Column, kind: TaskKind) -> Column:
    """`predictions.decide` of an array column: array<boolean>, null where there is no probability."""
    return F.zip_with(keep_argmax(probabilities, kind), limits, reaches)
