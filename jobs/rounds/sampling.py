"""Which rows a round learns from: a registry of strategies.

A new one is a function, a line in `STRATEGIES`, and its name in `models.rounds.date_layout.Sampling`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from pyspark.sql import DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from jobs.lake import score_columns, tables, teacher_scores, text_queries, threshold_queries
from jobs.lake.store import Lake
from jobs.rounds.round import Round
from models.errors import DataError
from models.rounds.date_layout import RoundSettings

ROW = ("text_id", "text_hash", "text", "text_b", "reasons", "hard", "soft")
"""The columns that a strategy gives: the text, why it was drawn, hard targets (0, 1 or null), the teacher's logits."""


@dataclass(frozen=True, slots=True)
class SamplingFrames:
    """What strategies draw from.

    Attributes:
        base: The teacher's fine-tuning rows (`ROW`), with annotators' answers as hard targets.
        pool: What else the teacher scored of the training days (`ROW` without reasons), none of it in `base`; hard
            targets are the teacher's decisions.
    """

    base: DataFrame
    pool: DataFrame


Strategy: TypeAlias = Callable[[Round, SamplingFrames, RoundSettings], DataFrame]
"""From a round and its frames to rows (`ROW`), each with its reasons."""


def annotated(_: Round, frames: SamplingFrames, __: RoundSettings) -> DataFrame:
    """The teacher's fine-tuning rows, all of them."""
    return frames.base


def random(round_: Round, frames: SamplingFrames, settings: RoundSettings) -> DataFrame:
    """The fine-tuning rows, and a hash draw of what the teacher scored of the training days."""
    order = text_queries.drawn_by_hash("text_hash", round_.seed)
    drawn = frames.pool.orderBy(order, "text_hash").limit(settings.random_texts)
    return frames.base.unionByName(drawn.withColumn("reasons", F.array(F.lit("random"))).select(*ROW))


STRATEGIES: Mapping[str, Strategy] = {"annotated": annotated, "random": random}


def sample(lake: Lake, round_: Round, settings: RoundSettings) -> DataFrame:
    """The rows of a round, as `round_samples` has them, by its strategy."""
    if round_.sampling not in STRATEGIES:
        raise DataError(
            f"{round_.round_id}: no sampling {round_.sampling!r}, expected one of {', '.join(STRATEGIES)}; "
            "use the version that asked for it"
        )
    rows = STRATEGIES[round_.sampling](round_, frames_of(lake, round_), settings)
    numbered = rows.withColumns(
        {
            "round_id": F.lit(round_.round_id),
            "position": F.row_number().over(in_hash_order(round_.seed)).cast("bigint"),
            "split": F.lit("train"),
            "weight": F.lit(1.0).cast("float"),
        }
    )
    return numbered.select(*tables.ROUND_SAMPLES.names)


def frames_of(lake: Lake, round_: Round) -> SamplingFrames:
    """The frames of a round's teacher; all targets are in the order of the round's labels."""
    teacher, task, labels = round_.teacher, round_.task, round_.labels
    logits = score_columns.aligned(F.col("logits"), teacher.labels, labels)
    scored = teacher_scores.frame(lake, teacher.model_id)
    soft = scored.select("text_hash", logits.alias("soft"))
    base = lake.read(tables.ROUND_SAMPLES).where(F.col("round_id") == teacher.model_id).drop("soft")
    base = base.withColumn("hard", score_columns.aligned(F.col("hard"), teacher.labels, labels))
    texts = text_queries.distinct_texts(lake, teacher.task, task, round_.layout, "train")
    thresholds = threshold_queries.read_newest(lake, teacher.model_id)
    limits = score_columns.limits(thresholds, task.scenes, teacher.labels)
    probabilities = score_columns.probabilities(F.col("logits"), task.kind)
    decided = F.transform(score_columns.decisions(probabilities, limits, task.kind), lambda holds: holds.cast("float"))
    hard = score_columns.aligned(decided, teacher.labels, labels)
    pool = texts.join(scored.select("text_hash", "logits"), "text_hash")
    pool = pool.join(base.select("text_hash"), "text_hash", "left_anti")
    pool = pool.select("text_id", "text_hash", "text", "text_b", hard.alias("hard"), logits.alias("soft"))
    return SamplingFrames(base.join(soft, "text_hash", "left").select(*ROW), pool)


def in_hash_order(seed: int) -> WindowSpec:
    """The order in which the trainer meets the rows, whatever the partitioning."""
    return Window.orderBy(text_queries.drawn_by_hash("text_hash", seed), "text_hash")
