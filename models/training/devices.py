"""Where tensors live, and a fixed random state for whoever trains there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch


def device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def half_precision(where: torch.device) -> AbstractContextManager[object]:
    """bfloat16 for the large matrix products on a GPU that has it; nothing elsewhere: it is slower, or less exact."""
    if where.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return torch.autocast("cuda", torch.bfloat16)
    return nullcontext()


@contextmanager
def reproducible(seed: int, threads: int | None = None) -> Iterator[None]:
    """Seed torch and ask it for deterministic kernels; everything is as before afterwards.

    Args:
        seed: For all of torch's generators.
        threads: Threads of a CPU operation while this lasts (None: as they are). Sums are split by threads,
            so equal results need equal threads.
    """
    # Read when CUDA's matrix library starts; without it some of its sums come in any order (PyTorch, Reproducibility).
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    threads_before = torch.get_num_threads()
    deterministic_before = torch.are_deterministic_algorithms_enabled()
    warn_only_before = torch.is_deterministic_algorithms_warn_only_enabled()
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True, warn_only=True)
        if threads is not None:
            torch.set_num_threads(threads)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(deterministic_before, warn_only=warn_only_before)
            torch.set_num_threads(threads_before)
