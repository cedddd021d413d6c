"""Records with an id that came earlier: repeated, where their content is the same, or rejected, where it is not.

One whose text was erased is rejected without a byte of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

RAW, REJECTED, REPEATED = "raw", "rejected", "repeated"
ERASED = "erased"
"""What became of records whose text was erased; they are rows of `rejected`, with this as their reason."""
_CONTENT = ("text", "text_b", "scene", "event_time")


def mark(records: DataFrame, earlier: DataFrame | None, erased: DataFrame | None = None) -> DataFrame:
    """Records with their `outcome`, and the reason `duplicate_id` where another content has their id.

    Args:
        records: Of this load; the first by file and position is the one that counts.
        earlier: Raw texts that may have the same ids; None where none can.
        erased: The `text_id` of texts that were erased; None where none was.
    """
    if erased is not None:
        gone = records.join(erased.select("text_id"), "text_id", "left_semi")
        kept = records.join(erased.select("text_id"), "text_id", "left_anti").select(*records.columns)
        return mark(kept, earlier).unionByName(_without_bytes(gone).select(*records.columns, "outcome"))
    order = Window.partitionBy("text_id").orderBy("file", "position")
    content = F.struct(*_CONTENT)
    good = records.where("reason is null").withColumns(
        {"nth": F.row_number().over(order), "first_content": F.first(content).over(order)}
    )
    before = F.when(F.col("nth") > 1, F.col("first_content"))
    if earlier is not None:
        known = earlier.join(good.select("text_id"), "text_id", "left_semi").dropDuplicates(["text_id"])
        good = good.join(known.select("text_id", content.alias("known_content")), "text_id", "left")
        before = F.coalesce("known_content", before)
    again = before.isNotNull()
    same = before.eqNullSafe(content)
    marked = good.withColumns(
        {
            "outcome": F.when(~again, F.lit(RAW)).when(same, F.lit(REPEATED)).otherwise(F.lit(REJECTED)),
            "reason": F.when(again, F.lit("duplicate_id")),
            "detail": F.when(again, F.lit("a record with this id and another content came earlier")),
            "raw": F.when(again, F.col("text").cast("binary")),
        }
    ).select(*records.columns, "outcome")
    bad = records.where("reason is not null").withColumn("outcome", F.lit(REJECTED))
    return marked.unionByName(bad)


def _without_bytes(gone: DataFrame) -> DataFrame:
    """Records of erased texts as rows of `rejected`."""
    return gone.withColumns(
        {
            "outcome": F.lit(ERASED), "reason": F.lit(ERASED), "detail": F.lit("its text had been erased when it came"),
            "raw": F.lit(None).cast("binary"), "sha256": F.lit(""), "length": F.lit(0).cast("long"),
        }
    )  # fmt: skip


def days_of_ids(records: DataFrame) -> list[date]:
    """The days of the good records that have ids of their own; one without an id is like no other."""
    own = records.where("reason is null and source_id is not null")
    return [row[0] for row in own.select(F.to_date("event_time")).distinct().collect()]


def earlier_texts(raw_texts: DataFrame, days: Sequence[date], within: int) -> DataFrame | None:
    """The raw texts of days that are near enough to these; None without days.

    No text arrives more than a day before its own time, so that partitions of earlier arrivals are not looked at.
    """
    if not days:
        return None
    near = sorted({day + timedelta(days=by) for day in days for by in range(-within, within + 1)})
    arrived = F.col("arrived_dt") >= F.lit(near[0] - timedelta(days=2))  # two: days are cut in a zone
    return raw_texts.where(arrived & F.col("dt").isin(near))
