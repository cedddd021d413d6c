"""Short [CLS] vectors that can be stored for millions of texts."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

PROJECTION_VERSION = "gaussian-1"


def project(states: NDArray[np.float32], width: int, seed: int) -> NDArray[np.float32]:
    """Shorten [CLS] states by a random projection that keeps distances in expectation.

    Gaussian entries of variance 1 / width (Johnson and Lindenstrauss 1984; Dasgupta and Gupta 2003). Computed
    in float64, so that rounding by the number of rows disappears in float32.

    Args:
        states: (rows, hidden).
        width: Columns of the result.
        seed: Projections are comparable only with equal seed, hidden size, width and PROJECTION_VERSION.

    Returns:
        (rows, width) float32.
    """
    matrix = _matrix(states.shape[1], width, seed)
    projected: NDArray[np.float32] = (states.astype(np.float64) @ matrix).astype(np.float32)
    return projected


@lru_cache(maxsize=4)
def _matrix(hidden: int, width: int, seed: int) -> NDArray[np.float64]:
    matrix: NDArray[np.float64] = np.random.default_rng(seed).standard_normal((hidden, width)) / np.sqrt(width)
    return matrix
