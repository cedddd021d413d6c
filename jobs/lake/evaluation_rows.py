"""Rows of `evaluations`: the counts of one day, scene and label."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

from models.evaluation.metrics import Quality
from models.evaluation.sliced_metrics import SliceCounts

EPOCH = date(1970, 1, 1)
"""Days are numbered from here, as Arrow numbers them."""


def evaluation_row(
    cut: SliceCounts, *, round_id: str, model_id: str, gold: str, purpose: str, run_id: str
) -> dict[str, Any]:
    """The counts of a model's decisions against a gold; precision, recall and F1 are by occurrence."""
    return {
        "round_id": round_id, "model_id": model_id, "dt": EPOCH + timedelta(days=cut.day), "scene": cut.scene,
        "label": cut.label, "gold": gold, "purpose": purpose,
        "tp": cut.counts.tp, "fp": cut.counts.fp, "fn": cut.counts.fn, "tn": cut.counts.tn,
        **quality_columns(cut.counts.quality), "run_id": run_id,
        "text_tp": cut.distinct.tp, "text_fp": cut.distinct.fp, "text_fn": cut.distinct.fn,
        "text_tn": cut.distinct.tn,
    }  # fmt: skip


def quality_columns(quality: Quality | None) -> dict[str, float | None]:
    """Precision, recall and F1 by name; null where there is nothing to be good at."""
    if quality is None:
        return dict.fromkeys(("precision", "recall", "f1"))
    return {"precision": quality.precision, "recall": quality.recall, "f1": quality.f1}
