"""Which records came earlier is decided alike by Spark's joins and by the driver's Arrow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.ingestion import repetitions
from tests.support import rows_of
from udfs.readers.reading import RECORDS

pytestmark = pytest.mark.spark

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def records(seed: int, rows: int) -> pa.Table:
    """Records of few ids and few contents, in files and places of no order; some of them bad."""
    random = np.random.default_rng(seed)

    def pick(*values: Any) -> list[Any]:
        return [values[at] for at in random.integers(len(values), size=rows)]

    bad = random.random(rows) < 0.1
    columns = {
        "file": pick("b", "a", "c"), "position": list(random.permutation(rows)), "length": [9] * rows,
        "sha256": ["0" * 64] * rows, "detail": [None] * rows,
        "reason": ["malformed" if one else None for one in bad], "raw": [b"{" if one else None for one in bad],
        "text_id": pa.array([f"id{at}" for at in random.integers(rows // 3, size=rows)], mask=bad),
        "source": ["app"] * rows, "source_id": pick("x", None), "scene": pick("chat", "asr"),
        "text": pick("好", "你好", ""), "text_b": pick(None, "好", ""),
        "event_time": pick(NOON, NOON + timedelta(microseconds=1)), "load_id": pick("first", "second"),
    }  # fmt: skip
    return pa.table(columns, RECORDS)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("others", ["none", "earlier", "erased", "both"])
def test_the_driver_marks_as_spark_does(spark: SparkSession, seed: int, others: str) -> None:
    rows = records(seed, 300)
    there = records(seed + 10, 100).filter(pa.compute.field("reason").is_null())
    earlier = there.take(pa.array(np.unique(there["text_id"].to_numpy(), return_index=True)[1]))
    gone = pa.table({"text_id": [f"id{at}" for at in range(0, 100, 7)]})
    with_earlier, with_gone = others in ("earlier", "both"), others in ("erased", "both")
    by_driver = repetitions.mark_rows(rows, earlier if with_earlier else None, gone["text_id"] if with_gone else None)
    by_spark = repetitions.mark(
        spark.createDataFrame(rows),
        spark.createDataFrame(earlier) if with_earlier else None,
        spark.createDataFrame(gone) if with_gone else None,
    )
    columns = by_driver.column_names
    assert rows_of(spark.createDataFrame(by_driver), *columns) == rows_of(by_spark, *columns)
    outcomes = set(by_driver["outcome"].to_pylist())
    assert {repetitions.RAW, repetitions.REJECTED, repetitions.REPEATED} <= outcomes
    assert (repetitions.ERASED in outcomes) == with_gone


def test_nothing_is_marked_of_nothing() -> None:
    assert repetitions.mark_rows(RECORDS.empty_table(), None, None).num_rows == 0


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "America/New_York", "UTC"])
def test_days_are_cut_as_spark_cuts_them(spark: SparkSession, zone: str) -> None:
    seconds = np.random.default_rng(1).integers(0, 2**31, 500)  # to 2038: Arrow knows no summer time after it
    times = pa.chunked_array([pa.array(seconds * 1_000_000, pa.timestamp("us", "UTC"))])
    frame = spark.createDataFrame(pa.table({"nth": range(500), "micros": seconds * 1_000_000}))
    utc = F.convert_timezone(None, F.lit("UTC"), F.timestamp_micros("micros").cast("timestamp_ntz"))
    shifted = F.convert_timezone(F.lit("UTC"), F.lit(zone), utc)
    days = frame.select("nth", F.to_date(shifted).alias("day")).orderBy("nth").toArrow()["day"]
    assert repetitions.local_days(times, zone).to_pylist() == days.to_pylist()
