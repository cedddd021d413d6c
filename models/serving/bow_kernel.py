"""The fused engine's kernel for BOW students, which add up their characters. Compiled by Numba."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.serving.textcnn_kernel import activate, dense


def bow_logits(
    ids: NDArray[np.int32],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    table: NDArray[Any],
    sums: NDArray[Any],
    scale: NDArray[np.float32],
    bias: NDArray[np.float32],
    head: NDArray[np.float32],
    head_bias: NDArray[np.float32],
    logits: NDArray[np.float32],
) -> bool:
    """Logits of texts that are ids; False if there is an id that the table does not have.

    Args:
        ids: All texts' ids.
        starts: Where each text starts among the ids.
        ends: Where it ends; an empty text is one PAD, which is id 0.
        table: (vocabulary, features), integers or floats.
        sums: Room for one text, (features,), wide enough for the sum of the longest.
        scale: (features,).
        bias: (features,).
        head: (labels, features).
        head_bias: (labels,).
        logits: (texts, labels), written.
    """
    active = np.empty(len(scale), np.float32)
    fine = True
    for row in range(len(starts)):
        sums[:] = 0
        if starts[row] == ends[row]:
            sums += table[0]
        for place in range(starts[row], ends[row]):
            character = ids[place]
            usual = (character >= 0) & (character < len(table))
            fine &= usual
            numbers = table[character if usual else 0]
            for feature in range(len(sums)):
                sums[feature] += numbers[feature]
        activate(sums, scale, bias, active)
        dense(active, head, head_bias, logits[row])
    return fine
