"""The log of a table by Spark: for a place or a protocol that delta-rs does not open."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from delta import DeltaTable
from pyspark.sql import SparkSession


def history(session: Callable[[], SparkSession], name: str, limit: int) -> list[Mapping[str, Any]]:
    """The newest commits of a table, the newest first: version, userMetadata, operationMetrics."""
    rows = DeltaTable.forName(session(), name).history(limit).select("version", "userMetadata", "operationMetrics")
    return [row.asDict() for row in rows.collect()]
