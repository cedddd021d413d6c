"""The column `settled`: which rules of the cleaner settled a text, for which task, and how."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.tasks import EVERY_TASK


class Rule(NamedTuple):
    """An entry of the column, and the row it is of."""

    row: int
    task: str
    label: str | None
    outcome: str
    rule: str


def rules_of(settled: pa.ListArray) -> list[Rule]:
    """All entries, in the order of the rows; few rows have any."""
    entries = settled.flatten()
    if len(entries) == 0:
        return []
    rows = pc.list_parent_indices(settled).to_pylist()
    columns = [entries.field(name).to_pylist() for name in ("task", "label", "outcome", "rule")]
    return [Rule(*values) for values in zip(rows, *columns, strict=True)]


def settled_for(rules: list[Rule], task: str, rows: int) -> NDArray[np.bool_]:
    """(rows,) True where a rule settled the text for the task, or for every task."""
    found = np.zeros(rows, np.bool_)
    found[[rule.row for rule in rules if rule.task in (task, EVERY_TASK)]] = True
    return found
