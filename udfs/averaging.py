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
from udfs.list_arrays import to_lists_with_nulls, to_matrix

Batches = Iterator[pa.RecordBatch]


@dataclass(frozen=True, slots=True)
class EnsembleMember:
    """One of the teachers: the column with its scores, in the order of its own labels, and how much it counts."""

    column: str
    labels: tuple[str, ...]
    weight: float
    logits: bool  # whether the column holds logits; else it holds probabilities


def averager(
    members: Sequence[EnsembleMember], labels: Sequence[str], kind: TaskKind, keep: Sequence[str]
) -> Callable[[Batches], Batches]:
    """A batch function from the members' columns to the columns of `keep` and `soft`, the average's logits.

    A list that is null, and a label that a member does not know, count as unknown; where no member knows a label,
    `soft` has a null in the label's place.
    """

    def average(batches: Batches) -> Batches:
        for batch in batches:
            probabilities_by_member = [
                _probabilities(batch.column(member.column), member, labels, kind) for member in members
            ]
            soft = averaged(probabilities_by_member, [member.weight for member in members], kind)
            columns = {name: batch.column(name) for name in keep}
            yield pa.RecordBatch.from_pydict(columns | {"soft": to_lists_with_nulls(soft)})

    return average


def _probabilities(
    column: pa.Array, member: EnsembleMember, labels: Sequence[str], kind: TaskKind
) -> NDArray[np.float64]:
    own = to_matrix(column, len(member.labels))
    found: NDArray[np.float64] = probabilities(own, kind) if member.logits else own.astype(np.float64)
    return in_order(found, member.labels, labels)
