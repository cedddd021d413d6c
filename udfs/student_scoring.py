"""Scoring with students on the executors: clean texts in Arrow batches, a row of probabilities a text and model.

Needs neither torch nor Spark. A student is opened once per worker process, at the first batch that has a row for it:
Spark calls the function for empty partitions too, and those must not pay for a model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models.engine import OnnxEngine
from models.errors import BundleError

SCORES_DDL = (
    "text_id string, dt date, model_id string, scene string, probs array<float>, error string, clean_version string"
)
_PROBS = pa.list_(pa.float32())

Batches = Iterator[pa.RecordBatch]


@dataclass(frozen=True, slots=True)
class Served:
    """A student to score with: its bundle, and the boolean column that says which rows are its own."""

    model_id: str
    bundle: str
    wanted: str


@lru_cache(maxsize=16)
def _engine(bundle: str, model_id: str) -> OnnxEngine:
    engine = OnnxEngine.open(bundle, threads=1)
    if engine.bundle.manifest.model_id != model_id:
        got = engine.bundle.manifest.model_id
        raise BundleError(f"{bundle}: holds {got}, the table models says {model_id}; train the round again")
    return engine


def student_scorer(students: Sequence[Served]) -> Callable[[Batches], Batches]:
    """A batch function from clean texts to scores (`SCORES_DDL`), several students in one pass over the text."""

    def score(batches: Batches) -> Batches:
        for batch in batches:
            for student in students:
                own = batch.filter(batch.column(student.wanted))
                if own.num_rows:
                    yield score_batch(own, student)

    return score


def score_batch(batch: pa.RecordBatch, student: Served) -> pa.RecordBatch:
    """Score one batch with one student. A null text keeps a null score and an `error`; no row is ever dropped."""
    texts = batch.column("text")
    probabilities = _engine(student.bundle, student.model_id).probabilities(texts)
    null = texts.is_null()
    missing = null.to_numpy(zero_copy_only=False)
    columns = {
        "text_id": batch.column("text_id"),
        "dt": batch.column("dt"),
        "model_id": pa.repeat(pa.scalar(student.model_id), batch.num_rows),
        "scene": batch.column("scene"),
        "probs": _lists(probabilities, missing),
        "error": pc.if_else(null, "no_text", pa.scalar(None, pa.string())),
        "clean_version": batch.column("clean_version"),
    }
    return pa.RecordBatch.from_pydict(columns)


def _lists(
    values: np.ndarray[tuple[int, int], np.dtype[np.float32]],
    missing: np.ndarray[tuple[int], np.dtype[np.bool_]],
) -> pa.ListArray:
    """(rows, labels) as a list array without a Python object a row; missing rows are null."""
    rows, labels = values.shape
    flat = pa.array(values.reshape(-1), pa.float32())
    offsets = np.arange(0, (rows + 1) * labels, labels, dtype=np.int32)
    mask = pa.array(missing) if missing.any() else None
    return pa.ListArray.from_arrays(pa.array(offsets), flat, type=_PROBS, mask=mask)
