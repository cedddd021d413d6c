"""Stored thresholds: their newest version, and their values by scene and label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

import pyarrow.compute as pc

from jobs.lake import tables
from jobs.lake.commits import Stamp
from jobs.lake.store import Lake
from models.errors import DataError
from models.tasks import EVERY_SCENE

Thresholds: TypeAlias = Mapping[tuple[str, str], float]
"""Values by (scene, label); the scene `*` stands for all without their own."""


def newest_version(lake: Lake, model_id: str) -> int | None:
    """The newest version of a model's thresholds."""
    rows = lake.rows(tables.THRESHOLDS, "version", where=pc.field("model_id") == model_id)
    return max((int(row["version"]) for row in rows), default=None)


def read(lake: Lake, model_id: str, version: int) -> Thresholds:
    """A model's thresholds of one version."""
    return {(row["scene"], row["label"]): row["value"] for row in rows_of_version(lake, model_id, version)}


def rows_of_version(lake: Lake, model_id: str, version: int) -> list[dict[str, Any]]:
    """The rows of one version of a model's thresholds."""
    return lake.rows(tables.THRESHOLDS, where=(pc.field("model_id") == model_id) & (pc.field("version") == version))


def read_newest(lake: Lake, model_id: str) -> Thresholds:
    """A model's thresholds of their newest version."""
    return read(lake, model_id, newest_version(lake, model_id) or 1)


def first_rows(model_id: str, labels: Sequence[str], value: float) -> list[dict[str, Any]]:
    """A teacher's first thresholds, which nothing was searched for; `signed` completes them."""
    return [
        {
            "model_id": model_id, "label": label, "scene": EVERY_SCENE, "version": 1, "value": value,
            "method": "default", "gold": "none",
        }
        for label in labels
    ]  # fmt: skip


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
