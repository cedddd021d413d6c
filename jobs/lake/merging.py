"""Merging a frame of whole rows into a table by its key."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from delta import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lake.tables import Table

_USER_METADATA = "spark.databricks.delta.commitInfo.userMetadata"


def changed_rows(frame: DataFrame, stored: DataFrame, table: Table) -> DataFrame:
    """The rows whose key is new or whose values differ; which run or file brought a row does not count."""
    compared = [name for name in table.names if name not in (*table.key, "run_id", "file")]
    equal = [F.col(f"s.{name}").eqNullSafe(F.col(f"t.{name}")) for name in (*table.key, *compared)]
    return frame.alias("s").join(stored.alias("t"), equal, "left_anti")


def merge(into: DeltaTable, rows: DataFrame, table: Table, metadata: str) -> None:
    """Insert rows with a new key and update the others, in one commit with this `userMetadata`."""
    same_key = " AND ".join(f"t.{name} = s.{name}" for name in table.key)
    merged = into.alias("t").merge(rows.alias("s"), same_key)
    with _user_metadata(rows.sparkSession, metadata):
        merged.whenMatchedUpdateAll().whenNotMatchedInsertAll().execute()


@contextmanager
def _user_metadata(spark: SparkSession, metadata: str) -> Iterator[None]:
    """A merge takes it from the session alone; no later commit may find it there."""
    spark.conf.set(_USER_METADATA, metadata)
    try:
        yield
    finally:
        spark.conf.unset(_USER_METADATA)
