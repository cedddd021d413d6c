"""The labels that a student did not learn from its teacher, and is therefore not held to it."""

from __future__ import annotations

import pyarrow.compute as pc

from jobs.lake import tables
from jobs.lake.registry import RegisteredModel
from jobs.lake.store import Lake
from models.evaluation.label_trust import untrusted


def untrusted_labels(lake: Lake, student: RegisteredModel) -> frozenset[str]:
    """Those of a student's labels of which its teacher was not trusted, by the newest round that made it."""
    rows = lake.rows(tables.ROUNDS, "run_id", "trust", where=pc.field("model_id") == student.model_id)
    newest = max(rows, key=lambda row: str(row["run_id"]), default=None)
    return untrusted(dict(newest["trust"] or {})) if newest is not None else frozenset()
