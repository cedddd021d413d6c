"""Batches of texts of about equal length, in a random but repeatable order."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CHUNK = 64  # batches sorted together: enough to leave hardly any padding, few enough to keep batches mixed


def length_batches(
    lengths: NDArray[np.int64], batch: int, random: np.random.Generator, chunk: int = CHUNK
) -> list[NDArray[np.int64]]:
    """Every row once: shuffled, sorted by length within large chunks, cut into batches, the batches shuffled.

    Args:
        lengths: Length of each row.
        batch: Rows per batch; the last batch of a chunk may be smaller.
        random: Decides all orders.
        chunk: Batches sorted together; 1 leaves lengths as mixed as they come.
    """
    order = random.permutation(len(lengths))
    batches: list[NDArray[np.int64]] = []
    for start in range(0, len(order), batch * chunk):
        some = order[start : start + batch * chunk]
        some = some[np.argsort(lengths[some], kind="stable")]
        batches += [some[at : at + batch] for at in range(0, len(some), batch)]
    return [batches[at] for at in random.permutation(len(batches))]


def ramp(progress: float, warm_up: float = 0.1) -> float:
    """Share of the learning rate at a progress of 0 to 1: linear rise to 1 at `warm_up`, linear fall to 0."""
    return progress / warm_up if progress < warm_up else (1 - progress) / (1 - warm_up)
