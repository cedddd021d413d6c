"""What a teacher said: its rows of `teacher_scores` but for those of texts that it could not score."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake import tables
from jobs.lake.store import Lake


def frame(lake: Lake, model_id: str) -> DataFrame:
    """The texts that a teacher scored, with all columns."""
    own = lake.read(tables.TEACHER_SCORES).where(F.col("model_id") == model_id)
    return own.where(F.col("error").isNull())


def arrow(lake: Lake, model_id: str, *columns: str) -> pa.Table:
    """The same without a session where that can be."""
    own = (pc.field("model_id") == model_id) & pc.field("error").is_null()
    return lake.arrow(tables.TEACHER_SCORES, *columns, where=own)


def errors(lake: Lake, model_id: str) -> Mapping[str, int]:
    """How many texts a teacher could not score, by the reason."""
    failed = (pc.field("model_id") == model_id) & pc.field("error").is_valid()
    told = lake.arrow(tables.TEACHER_SCORES, "error", where=failed).column("error").value_counts()
    return {one["values"]: one["counts"] for one in told.to_pylist()}


def computed_by(lake: Lake, model_id: str) -> list[str]:
    """By what a teacher's scores were computed, each way once, in order."""
    own = pc.field("model_id") == model_id
    told = lake.arrow(tables.TEACHER_SCORES, "computed_by", where=own).column("computed_by").unique().drop_null()
    return sorted(told.to_pylist())
