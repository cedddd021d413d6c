"""Stored thresholds: their newest version, and their values by scene and label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

from pyspark.sql import functions as F

from jobs.lake import tables
from jobs.lake.commits import Stamp
from jobs.lake.store import Lake
from models.errors import DataError
from models.tasks import EVERY_SCENE

Thresholds: TypeAlias = Mapping[tuple[str, str], float]
"""Values by (scene, label); the scene `*` stands for all without their own."""


def newest_version(lake: Lake, model_id: str) -> int | None:
    """The newest version of a model's thresholds."""
    rows = lake.read(tables.THRESHOLDS).where(F.col("model_id") == model_id).agg(F.max("version")).collect()
    version = rows[0][0]
    return None if version is None else int(version)


def read(lake: Lake, model_id: str, version: int) -> Thresholds:
    """A model's thresholds of one version."""
    chosen = lake.read(tables.THRESHOLDS).where((F.col("model_id") == model_id) & (F.col("version") == version))
    return {(row["scene"], row["label"]): row["value"] for row in chosen.select("scene", "label", "value").collect()}


def read_newest(lake: Lake, model_id: str) -> Thresholds:
    """A model's thresholds of their newest version."""
    return read(lake, model_id, newest_version(lake, model_id) or 1)


def signed(rows: Iterable[Mapping[str, Any]], stamp: Stamp) -> list[dict[str, Any]]:
    """Rows of `thresholds` with when and by which run they were made."""
    return [{**row, "created_at": datetime.now(UTC), "run_id": stamp.run_id} for row in rows]


def for_scene(thresholds: Thresholds, scene: str, labels: Sequence[str]) -> list[float]:
    """The thresholds of a scene in the order of the labels.

    Raises:
        DataError: A label has no threshold at all.
    """
    if missing := sorted(set(labels) - {label for _, label in thresholds}):
        raise DataError(f"thresholds: {', '.join(missing)} have none; run `pingti thresholds`")
    return [thresholds.get((scene, label), thresholds[EVERY_SCENE, label]) for label in labels]
