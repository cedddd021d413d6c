"""Compiles the fused engine's functions once a process, and keeps them on disk where that is possible."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.serving.bow_kernel import add_up
from models.serving.textcnn_kernel import score
from models.serving.utf8_kernel import decode

_log = logging.getLogger(__name__)


class Kernels(NamedTuple):
    """The compiled functions; they take the arguments of `utf8.decode`, `look_up.score` and `adding.add_up`."""

    decode: Callable[..., int]
    score: Callable[..., bool]
    add_up: Callable[..., bool]


@cache
def _jitted(kept: bool) -> Kernels:
    return Kernels(
        njit(nogil=True, cache=kept)(decode),
        njit(nogil=True, cache=kept)(score),
        njit(nogil=True, cache=kept)(add_up),
    )


@cache
def kernels() -> Kernels:
    """The compiled functions: from Numba's cache on disk where there is one, else compiled in each process."""
    try:
        kept = _jitted(True)
        # The shortest column there is, compiled and kept: shows whether the cache can be written.
        kept.decode(*decode_arguments(b"", np.zeros(1, np.int64), np.zeros(1, np.int32), 1))
        return kept
    except (RuntimeError, OSError) as error:  # no place for a cache: code from a zip, a home that cannot be written
        _log.info("compiled code is not kept on disk: %s", error)
        return _jitted(False)


def decode_arguments(
    data: Any, offsets: NDArray[np.int64], known: NDArray[np.int32], most: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int32], int, NDArray[np.int32], NDArray[np.int64]]:
    """What `decode` takes, always of the same types, so that it is compiled once."""
    raw = np.frombuffer(data, np.uint8)
    raw.flags.writeable = False
    return raw, offsets, known, most, np.empty(len(raw), np.int32), np.empty(len(offsets), np.int64)
