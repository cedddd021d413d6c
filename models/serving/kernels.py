"""Compiles the fused engine's functions once a process, and keeps them on disk where that is possible."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from models.folders import home_cache
from models.serving.bow_kernel import bow_logits
from models.serving.textcnn_kernel import textcnn_logits
from models.serving.utf8_kernel import decode_utf8

_log = logging.getLogger(__name__)


class Kernels(NamedTuple):
    """The compiled functions; they take the arguments of the functions of these names."""

    decode_utf8: Callable[..., int]
    textcnn_logits: Callable[..., bool]
    bow_logits: Callable[..., bool]


@cache
def _jitted(cached: bool) -> Kernels:
    return Kernels(
        njit(nogil=True, cache=cached)(decode_utf8),
        njit(nogil=True, cache=cached)(textcnn_logits),
        njit(nogil=True, cache=cached)(bow_logits),
    )


@cache
def kernels() -> Kernels:
    """The compiled functions: from Numba's cache on disk where there is one, else compiled in each process."""
    # Numba looks for the user's cache by this name, of code from a zip too. An executor's user often has no home.
    os.environ.setdefault("XDG_CACHE_HOME", str(home_cache()))
    try:
        cached = _jitted(True)
        # The shortest column there is, compiled and kept: shows whether the cache can be written.
        cached.decode_utf8(*decode_arguments(b"", np.zeros(1, np.int64), np.zeros(1, np.int32), 1))
        return cached
    except (RuntimeError, OSError) as error:  # no place for a cache: code from a zip, a home that cannot be written
        _log.info("compiled code is not kept on disk: %s", error)
        return _jitted(False)


def decode_arguments(
    data: Any, offsets: NDArray[np.int64], ids_by_code_point: NDArray[np.int32], max_length: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.int32], int, NDArray[np.int32], NDArray[np.int64]]:
    """What `decode_utf8` takes, always of the same types, so that it is compiled once."""
    raw = np.frombuffer(data, np.uint8)
    raw.flags.writeable = False
    return raw, offsets, ids_by_code_point, max_length, np.empty(len(raw), np.int32), np.empty(len(offsets), np.int64)
