"""Merging whole rows into a table by its key: by Arrow where the driver can hold the table, else by Spark.

A column of times may say which of two rows of a key is the newer one: an older row changes nothing, nor does one
without a time where the other has one. Of equal times, or none, the row that comes later holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc
from delta import DeltaTable
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lake.tables import Table

_USER_METADATA = "spark.databricks.delta.commitInfo.userMetadata"
_STORED = "stored "
"""What the names of stored columns begin with beside new ones."""


def compared(table: Table) -> list[str]:
    """The columns that make a row another one; which run or file brought it does not count."""
    return [name for name in table.names if name not in (*table.key, "run_id", "file")]


def merged_rows(stored: pa.Table, rows: pa.Table, table: Table, newer_by: str | None) -> pa.Table | None:
    """All rows of a table after a merge; None where none of them changes. `rows` has each key once."""
    values, key = compared(table), list(table.key)
    stored, rows = (part.select(table.names).cast(table.columns) for part in (stored, rows))
    numbered = stored.select([*key, *values]).append_column("nth", pa.array(range(stored.num_rows), pa.int64()))
    renamed = numbered.rename_columns([name if name in key else f"{_STORED}{name}" for name in numbered.column_names])
    both = rows.join(renamed, key, join_type="left outer")
    new = pc.is_null(both[f"{_STORED}nth"])
    differs = reduce(pc.or_, (_differs(both[name], both[f"{_STORED}{name}"]) for name in values))
    if newer_by is not None:
        before = both[f"{_STORED}{newer_by}"]
        newer = pc.fill_null(pc.greater_equal(both[newer_by], before), False)
        differs = pc.and_(differs, pc.or_(pc.is_null(before), newer))
    changed = both.filter(pc.or_(new, differs))
    if changed.num_rows == 0:
        return None
    replaced = pc.is_in(numbered["nth"], changed[f"{_STORED}nth"].combine_chunks().drop_null())
    kept = stored.filter(pc.invert(replaced))
    return pa.concat_tables([kept, changed.select(table.names).cast(table.columns)])


def _differs(value: pa.ChunkedArray, stored: pa.ChunkedArray) -> pa.ChunkedArray:
    """Where two columns differ; nulls are equal to each other."""
    return pc.or_(pc.fill_null(pc.not_equal(value, stored), False), pc.xor(pc.is_null(value), pc.is_null(stored)))


def changed_rows(frame: DataFrame, stored: DataFrame, table: Table, newer_by: str | None) -> DataFrame:
    """The rows whose key is new, or whose values differ and are not older."""
    same_key = reduce(Column.__and__, (F.col(f"s.{name}") == F.col(f"t.{name}") for name in table.key))
    equal = reduce(Column.__and__, (F.col(f"s.{name}").eqNullSafe(F.col(f"t.{name}")) for name in compared(table)))
    stays = equal if newer_by is None else equal | ~_newer(newer_by)
    return frame.alias("s").join(stored.alias("t"), same_key & stays, "left_anti")


def merge(into: DeltaTable, rows: DataFrame, table: Table, metadata: str, newer_by: str | None) -> None:
    """Insert rows with a new key and update the others, in one commit with this `userMetadata`."""
    same_key = " AND ".join(f"t.{name} = s.{name}" for name in table.key)
    merged = into.alias("t").merge(rows.alias("s"), same_key)
    with _user_metadata(rows.sparkSession, metadata):
        # Again here: a row may have become newer since the changed ones were told apart.
        condition = None if newer_by is None else _newer(newer_by)
        merged.whenMatchedUpdateAll(condition).whenNotMatchedInsertAll().execute()


def _newer(by: str) -> Column:
    """Whether a row is not older than the stored one of its key; never null."""
    return F.coalesce(F.col(f"s.{by}") >= F.col(f"t.{by}"), F.col(f"t.{by}").isNull())


@contextmanager
def _user_metadata(spark: SparkSession, metadata: str) -> Iterator[None]:
    """A merge takes it from the session alone; no later commit may find it there."""
    spark.conf.set(_USER_METADATA, metadata)
    try:
        yield
    finally:
        spark.conf.unset(_USER_METADATA)
