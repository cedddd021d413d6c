"""Annotations find their texts: by id, by their source's id, or by their words where these are of one day."""

from __future__ import annotations

from typing import Literal

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

_KEY = ("source", "text_hash", "day")


def match(parsed: DataFrame, texts: DataFrame, several_days: Literal["set_aside", "earliest"]) -> DataFrame:
    """Parsed annotations with the `text_id`, `text_hash` and `dt` of their text; null where none is meant.

    By `text_id`, else by source and the source's id, else by clean text (of a pair both), and by source and day where
    these are told. `ambiguous` is true where such a text is of several sources, or of several days and these are to be
    set aside; of several on one day the first by `text_id` is meant, for all have the same words.
    """
    known = texts.select("text_id", "text_hash", "dt")
    identified = texts.where("source_id is not null")
    identified = identified.select("source", "source_id", F.col("text_id").alias("by_source_id"))
    spelt = _spelt(parsed.where("text_id is null and source_id is null and text_hash is not null"), texts)
    candidates = parsed.join(identified, ["source", "source_id"], "left")
    same = [candidates[name].eqNullSafe(spelt[f"of_{name}"]) for name in _KEY]
    by_words = candidates["text_id"].isNull() & candidates["source_id"].isNull()
    candidates = candidates.join(spelt, [*same, by_words], "left")
    many_days = F.lit(several_days == "set_aside") & (F.col("days") > 1)
    ambiguous = F.coalesce((F.col("sources") > 1) | many_days, F.lit(False))
    chosen = F.coalesce("text_id", "by_source_id", F.when(~ambiguous, F.col("first")["text_id"]))
    matched = candidates.withColumn("ambiguous", ambiguous).withColumn("text_id", chosen)
    matched = matched.drop("by_source_id", "first", "sources", "days", "text_hash", *(f"of_{name}" for name in _KEY))
    return matched.join(known, "text_id", "left")


def _spelt(parsed: DataFrame, texts: DataFrame) -> DataFrame:
    """For each source, hash and day that is asked for: the first such text, and of how many sources and days are."""
    keys = parsed.select(*(F.col(name).alias(f"of_{name}") for name in _KEY)).distinct()
    fits = (
        (F.col("text_hash") == F.col("of_text_hash"))
        & (F.col("of_source").isNull() | (F.col("source") == F.col("of_source")))
        & (F.col("of_day").isNull() | (F.col("dt") == F.col("of_day")))
    )
    found = texts.select("text_id", "source", "text_hash", "dt").join(F.broadcast(keys), fits)
    return found.groupBy(*(f"of_{name}" for name in _KEY)).agg(
        F.min(F.struct("dt", "text_id")).alias("first"),
        F.count_distinct("source").alias("sources"),
        F.count_distinct("dt").alias("days"),
    )
