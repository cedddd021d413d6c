"""What a teacher said of texts, out of `teacher_scores`: all there is of one whose scores come from outside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from jobs.lake import teacher_scores
from jobs.lake.registry import RegisteredModel
from jobs.lake.store import Lake
from models.evaluation.ensemble import in_order
from udfs.list_arrays import to_matrix

if TYPE_CHECKING:
    from models.teachers.teacher import Teacher


def can_tell(lake: Lake, teacher: RegisteredModel, texts: pa.Table) -> pa.Table:
    """Those of the texts (with text_hash) whose logits can be had: all, or of a teacher outside those it scored."""
    if not teacher.is_external:
        return texts
    scores = teacher_scores.arrow(lake, teacher.model_id, "text_hash")
    return texts.filter(pc.is_in(texts.column("text_hash"), scores.column("text_hash").combine_chunks()))


def logits_of(
    lake: Lake, teacher: RegisteredModel, trained: Callable[[], Teacher], texts: pa.Table, labels: Sequence[str], *,
    pairs: bool,
) -> NDArray[np.float32]:  # fmt: skip
    """A teacher's logits of texts, (texts, labels) in the order wanted: its network's, or those that were imported.

    Args:
        lake: Where the imported ones are; they are there for each of the texts.
        teacher: Whose.
        trained: Gives its network, where it has one.
        texts: text_hash, text and text_b.
        labels: The labels wanted.
        pairs: Whether text_b counts.
    """
    if not teacher.is_external:
        second = texts.column("text_b").to_pylist() if pairs else None
        logits, _ = trained().score(texts.column("text").to_pylist(), second=second)
        return in_order(logits, teacher.labels, labels)
    scores = teacher_scores.arrow(lake, teacher.model_id, "text_hash", "logits").combine_chunks()
    places = pc.index_in(texts.column("text_hash"), scores.column("text_hash").combine_chunks())
    return in_order(to_matrix(scores.column("logits").take(places), len(teacher.labels)), teacher.labels, labels)
