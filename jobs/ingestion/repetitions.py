"""Records with an id that came earlier: repeated, where their content is the same, or rejected, where it is not.

One whose text was erased is rejected without a byte of it. The same rules twice: `mark` for frames, `mark_rows` for
rows that the driver holds; a property test holds them to each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import reduce

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs.lake import loads

RAW, REJECTED, REPEATED = "raw", "rejected", "repeated"
ERASED = loads.ERASED
"""What became of records whose text was erased; they are rows of `rejected`, with this as their reason."""
CONTENT = ("text", "text_b", "scene", "event_time")
"""What a record with the id of another one is compared by."""
_DUPLICATE = "a record with this id and another content came earlier"
_ERASED = "its text had been erased when it came"


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
    content = F.struct(*CONTENT)
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
            "detail": F.when(again, F.lit(_DUPLICATE)),
            "raw": F.when(again, F.col("text").cast("binary")),
        }
    ).select(*records.columns, "outcome")
    bad = records.where("reason is not null").withColumn("outcome", F.lit(REJECTED))
    return marked.unionByName(bad)


def _without_bytes(gone: DataFrame) -> DataFrame:
    """Records of erased texts as rows of `rejected`."""
    return gone.withColumns(
        {
            "outcome": F.lit(ERASED), "reason": F.lit(ERASED), "detail": F.lit(_ERASED),
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
    near = days_near(days, within)
    return texts_of_days(raw_texts, near) if near else None


def texts_of_days(raw_texts: DataFrame, near: Sequence[date]) -> DataFrame:
    """The raw texts of these days."""
    return raw_texts.where((F.col("arrived_dt") >= F.lit(arrivals_from(near))) & F.col("dt").isin(list(near)))


def days_near(days: Sequence[date], within: int) -> list[date]:
    """The days that are near enough to one of these, rising."""
    return sorted({day + timedelta(days=by) for day in days for by in range(-within, within + 1)})


def arrivals_from(near: Sequence[date]) -> date:
    """The first day on which a text of one of these days can have arrived."""
    return min(near) - timedelta(days=2)  # two: days are cut in a zone


# --- rows that the driver holds -------------------------------------------------------------------------------------


def local_days(times: pa.ChunkedArray, zone: str) -> pa.ChunkedArray:
    """The day of each time in a zone, as Spark's `to_date` has it in a session of that zone."""
    return pc.local_timestamp(times.cast(pa.timestamp("us", zone))).cast(pa.date32())


def mark_rows(records: pa.Table, earlier: pa.Table | None, erased: pa.ChunkedArray | None) -> pa.Table:
    """As `mark`, of an Arrow table of records: `RECORDS` and `outcome`, in no order."""
    if erased is not None:
        gone = pc.is_in(records["text_id"], erased.combine_chunks())
        kept = records.filter(pc.invert(gone))
        return pa.concat_tables([mark_rows(kept, earlier, None), _rows_without_bytes(records.filter(gone))])
    good = records.filter(pc.is_null(records["reason"]))
    good = good.sort_by([("text_id", "ascending"), ("file", "ascending"), ("position", "ascending")]).combine_chunks()
    bad = records.filter(pc.is_valid(records["reason"]))
    again, same = _held_to_earlier(good, earlier)
    rejected = pc.and_(again, pc.invert(same))
    outcome = pc.if_else(rejected, REJECTED, pc.if_else(again, REPEATED, RAW))
    told = {
        "reason": pc.if_else(again, "duplicate_id", None),
        "detail": pc.if_else(again, _DUPLICATE, None),
        "raw": pc.if_else(again, good["text"].cast(pa.binary()), pa.scalar(None, pa.binary())),
    }
    marked = _with(good, told).append_column("outcome", outcome)
    return pa.concat_tables([marked, _outcome(bad, REJECTED)])


def _held_to_earlier(good: pa.Table, earlier: pa.Table | None) -> tuple[pa.Array, pa.Array]:
    """Of each record, ordered by id: whether one with its id came before, and whether that had the same content."""
    ids = good["text_id"].combine_chunks() if good.num_rows else pa.array([], pa.string())
    codes = ids.dictionary_encode().indices.to_numpy(zero_copy_only=False)
    place = np.arange(len(codes))
    begins = np.r_[True, codes[1:] != codes[:-1]][: len(codes)]
    first = np.maximum.accumulate(np.where(begins, place, 0)) if len(codes) else place
    # Contents to compare with: those of this load, and behind them the earlier ones.
    before = np.where(begins, -1, first)
    contents = [good.select(CONTENT)]
    if earlier is not None and earlier.num_rows:
        at = pc.fill_null(pc.index_in(ids, earlier["text_id"].combine_chunks()), -1).to_numpy()
        before = np.where(at >= 0, len(codes) + at, before)
        contents.append(earlier.select(CONTENT).cast(contents[0].schema))
    there = pa.concat_tables(contents).combine_chunks()
    other = there.take(pa.array(np.maximum(before, 0)))
    equal = [_equal_or_both_null(good[name], other[name]) for name in CONTENT]
    return pa.array(before >= 0), reduce(pc.and_, equal)


def _equal_or_both_null(left: pa.ChunkedArray, right: pa.ChunkedArray) -> pa.ChunkedArray:
    both_null = pc.and_(pc.is_null(left), pc.is_null(right))
    return pc.or_(pc.fill_null(pc.equal(left, right), False), both_null)


def _rows_without_bytes(gone: pa.Table) -> pa.Table:
    """As `_without_bytes`."""
    told = {"reason": ERASED, "detail": _ERASED, "raw": None, "sha256": "", "length": 0}
    return _outcome(_with(gone, {name: pa.scalar(value) for name, value in told.items()}), ERASED)


def _with(rows: pa.Table, told: Mapping[str, pa.Array | pa.ChunkedArray | pa.Scalar]) -> pa.Table:
    """Rows with other values in some columns."""
    for name, value in told.items():
        field = rows.schema.field(name)
        column = pa.repeat(value.cast(field.type), rows.num_rows) if isinstance(value, pa.Scalar) else value
        rows = rows.set_column(rows.schema.names.index(name), field, column.cast(field.type))
    return rows


def _outcome(rows: pa.Table, outcome: str) -> pa.Table:
    return rows.append_column("outcome", pa.repeat(pa.scalar(outcome), rows.num_rows))
