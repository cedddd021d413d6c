"""Which texts share a forward pass: by length, so that hardly any padding is computed, and by a budget of tokens."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CPU_TOKENS, GPU_TOKENS = 512, 32_768
"""Tokens of a batch by default: on a CPU few enough for a core's cache, on a GPU enough to keep it busy."""


def token_batches(lengths: NDArray[np.int64], budget: int) -> list[NDArray[np.int64]]:
    """Rows by rising length, cut into batches whose padded size is within the budget.

    A pure function of its arguments: rows of one length keep their order, so that the same texts in the same order
    always share their passes.

    Args:
        lengths: Tokens of each text.
        budget: Tokens of a batch, padding included: rows times the longest. A longer text is a batch of its own.

    Returns:
        Row numbers, int64, each row once; the shortest texts first.
    """
    order = np.argsort(lengths, kind="stable")
    rising = np.maximum(lengths[order], 1)
    batches = []
    start = 0
    while start < len(order):
        window = rising[start : start + max(budget // int(rising[start]), 1)]
        padded = np.arange(1, len(window) + 1) * window
        rows = max(int(np.searchsorted(padded, budget, "right")), 1)
        batches.append(order[start : start + rows])
        start += rows
    return batches
