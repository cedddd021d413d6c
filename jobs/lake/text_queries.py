"""Texts by task, day and part of the date layout; draws by hash; annotators' majority."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import reduce
from zoneinfo import ZoneInfo

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.lake import tables
from jobs.lake.store import Lake
from models.rounds.date_layout import DateLayout, Part, RoundSettings, Window, lay_out
from models.tasks import EVERY_TASK, TaskSettings


def date_layout(lake: Lake, settings: RoundSettings) -> DateLayout:
    """The windows of the days that have texts now; today is no whole day yet, and is left out."""
    today = datetime.now(ZoneInfo(lake.timezone)).date()
    return lay_out({day: count for day, count in lake.days(tables.TEXTS).items() if day != today}, settings)


def texts_for(texts: DataFrame, name: str, task: TaskSettings) -> DataFrame:
    """The texts a task's models are for: of its scenes, settled by no rule for it, of a task of pairs with a second."""
    own = texts.where(wanted(name, task))
    return own.where("text_b IS NOT NULL") if task.kind == "pair" else own


def wanted(name: str, task: TaskSettings) -> Column:
    """True where a text is of the task's scenes and no rule settled it for the task."""
    return F.col("scene").isin(*task.scenes) & ~settled_for(name)


def settled_for(task: str) -> Column:
    """True where a rule settled the text for this task, or for every task."""
    return F.exists("settled", lambda rule: rule["task"].isin(task, EVERY_TASK))


def within(window: Window) -> Column:
    """True for the days of a window."""
    return F.col("dt").between(window.first, window.last)


def drawn_by_hash(column: str, seed: int) -> Column:
    """A number by which to sort for a random draw: the same for a seed, whatever the partitioning."""
    return F.xxhash64(F.col(column), F.lit(seed))


def distinct_texts(lake: Lake, name: str, task: TaskSettings, layout: DateLayout, part: Part) -> DataFrame:
    """The distinct texts of one part: text_hash, and of their first occurrence text, text_b, text_id and scene.

    Those of the training days leave out every text that occurs on a threshold, test or gate day too: none of these is
    ever drawn. A threshold searched on what was learnt by heart would be wrong for what is new.
    """
    own = texts_for(lake.read(tables.TEXTS), name, task)
    texts = own.where(within(layout.window(part))).groupBy("text_hash")
    grouped = texts.agg(
        F.first("text").alias("text"), F.first("text_b").alias("text_b"), F.min("text_id").alias("text_id"),
        F.min_by("scene", "text_id").alias("scene"),
    )  # fmt: skip
    if part != "train":
        return grouped
    held_out = (
        own.where(within(layout.threshold) | within(layout.test) | within(layout.gate)).select("text_hash").distinct()
    )
    return grouped.join(held_out, "text_hash", "left_anti")


def occurrences(texts: DataFrame, windows: Sequence[Window], carried: Sequence[str] = ("text", "text_b")) -> DataFrame:
    """The texts of some days, a row a day, scene and distinct text, with how often it occurs.

    `carried` are the columns that are the same wherever the text is.
    """
    inside = reduce(Column.__or__, map(within, windows))
    grouped = texts.where(inside).groupBy("dt", "scene", "text_hash")
    first = [F.first(name).alias(name) for name in carried]
    return grouped.agg(*first, F.count("*").alias("occurrences"))


def majority(lake: Lake, task: str, labels: Sequence[str], window: Window | None = None) -> DataFrame:
    """What most annotators say: text_hash, label, positive (boolean; null where they disagree evenly)."""
    annotations = lake.read(tables.ANNOTATIONS).where((F.col("task") == task) & F.col("label").isin(*labels))
    if window is not None:
        annotations = annotations.where(within(window))
    share = F.avg(F.col("value").cast("int"))
    votes = annotations.groupBy("text_hash", "label").agg(share.alias("share"))
    return votes.select("text_hash", "label", F.when(F.col("share") != 0.5, F.col("share") > 0.5).alias("positive"))
