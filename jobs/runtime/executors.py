"""Batch functions of `udfs` over frames: their Arrow schema as Spark's, on workers of the driver's own build."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql.pandas.types import from_arrow_schema

from udfs.build import same_build


def map_batches(
    frame: DataFrame, function: Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]], schema: pa.Schema
) -> DataFrame:
    """The frame's batches through a batch function that gives batches of this schema.

    A worker that runs another build than the driver refuses them (`EnvError`).
    """
    return frame.mapInArrow(same_build(function), from_arrow_schema(schema))
