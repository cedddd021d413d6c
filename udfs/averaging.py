"""Several teachers' scores of the same rows as one column of logits, on the executors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.evaluation.ensemble import averaged, in_order
from models.evaluation.predictions import probabilities
from models.tasks import TaskKind

Batches = Iterator[pa.RecordBatch]


@dataclass(frozen=True, slots=True)
class Voice:
    """One of the teachers: the column with its scores, in the order of its own labels, and how much it counts."""

    column: str
    labels: tuple[str, ...]
    weight: float
    logits: bool  # whether the column holds logits; else it holds probabilities


def averager(
    voices: Sequence[Voice], labels: Sequence[str], kind: TaskKind, keep: Sequence[str]
) -> Callable[[Batches], Batches]:
    """A batch function from the voices' columns to the columns of `keep` and `soft`, the average's logits.

    A list that is null, and a label that a voice does not know, count as nothing said; where none says anything,
    `soft` has a null in the label's place.
    """

    def average(batches: Batches) -> Batches:
        for batch in batches:
            said = [_probabilities(batch.column(voice.column), voice, labels, kind) for voice in voices]
            soft = averaged(said, [voice.weight for voice in voices], kind)
            flat = pa.array(soft.reshape(-1), pa.float32(), mask=np.isnan(soft).reshape(-1))
            ends = np.arange(0, soft.size + 1, max(len(labels), 1), dtype=np.int32)
            columns = {name: batch.column(name) for name in keep}
            yield pa.RecordBatch.from_pydict(columns | {"soft": pa.ListArray.from_arrays(pa.array(ends), flat)})

    return average


def _probabilities(column: pa.Array, voice: Voice, labels: Sequence[str], kind: TaskKind) -> NDArray[np.float64]:
    own = matrix_of(column, len(voice.labels))
    found: NDArray[np.float64] = probabilities(own, kind) if voice.logits else own.astype(np.float64)
    return in_order(found, voice.labels, labels)


def matrix_of(column: pa.Array | pa.ChunkedArray, labels: int) -> NDArray[np.float32]:
    """Lists of label values as (rows, labels), NaN where a value or a whole list is null."""
    matrix = np.full((len(column), labels), np.nan, np.float32)
    there = ~column.is_null().to_numpy(**({} if isinstance(column, pa.ChunkedArray) else {"zero_copy_only": False}))
    kept = column.drop_null()
    flat = (kept.combine_chunks() if isinstance(kept, pa.ChunkedArray) else kept).flatten()
    matrix[there] = flat.to_numpy(zero_copy_only=False).astype(np.float32).reshape(-1, labels)
    return matrix
