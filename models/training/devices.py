"""Where tensors live, and a fixed random state for whoever trains there."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import Literal, TypeAlias

import torch

from models.errors import EnvError

Device: TypeAlias = Literal["cpu", "cuda"]


def device() -> torch.device:
    """The GPU where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


_OWN_PRECISION: ContextVar[bool] = ContextVar("own_precision", default=False)


@contextmanager
def own_precision() -> Iterator[None]:
    """Let networks compute in the precision of their weights, whatever the device; as before afterwards."""
    before = _OWN_PRECISION.set(True)
    try:
        yield
    finally:
        _OWN_PRECISION.reset(before)


def half_precision(where: torch.device) -> AbstractContextManager[object]:
    """bfloat16 for the large matrix products on a GPU that has it; nothing elsewhere: it is slower, or less exact."""
    if _OWN_PRECISION.get():
        return nullcontext()
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


def scoring_device(wanted: Device, gpus: Sequence[str] = ()) -> torch.device:
    """Where a task scores.

    Args:
        wanted: Which kind of device.
        gpus: The addresses of the GPUs that Spark gave the task; none where it gives none.

    Raises:
        EnvError: A GPU is wanted and torch finds none, or not the one that the task was given: nothing falls back to
            the CPU, which would take days where minutes were planned.
    """
    if wanted == "cpu":
        return torch.device("cpu")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    ids = [f"GPU-{torch.cuda.get_device_properties(number).uuid}" for number in range(count)]
    place = gpu_place(gpus, os.environ.get("CUDA_VISIBLE_DEVICES"), ids)
    if place >= count:
        built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
        raise EnvError(
            f"teacher_scoring.device: cuda: torch {torch.__version__} ({built}) finds {count} GPUs here, expected at "
            f"least {place + 1}; give the executors GPUs and a torch with CUDA, or set cpu"
        )
    return torch.device("cuda", place)


def gpu_place(gpus: Sequence[str], visible: str | None, ids: Sequence[str] = ()) -> int:
    """The number by which CUDA knows a task's GPU: its place among those that the process may see.

    Spark's addresses are those of the discovery script: `nvidia-smi`'s numbers, or unique ids. CUDA counts what
    `CUDA_VISIBLE_DEVICES` leaves.

    Args:
        gpus: The task's addresses; the first one counts, 0 where there is none.
        visible: `CUDA_VISIBLE_DEVICES`, None where it is not set.
        ids: The unique ids of the GPUs that CUDA finds, in its order.

    Raises:
        EnvError: The address is none that the process may see.
    """
    if not gpus:
        return 0
    address = gpus[0].strip()
    found = [place for place, name in enumerate(ids) if not address.isdecimal() and name.startswith(address)]
    if found:
        return found[0]
    if visible is None and address.isdecimal():
        return int(address)
    seen = [name.strip() for name in (visible or "").split(",") if name.strip()]
    if address in seen:
        return seen.index(address)
    if len(seen) == 1:
        return 0  # a container's own GPU, which it calls by another name
    if address.isdecimal() and int(address) < len(seen) and not any(name.isdecimal() for name in seen):
        return int(address)  # visible by their unique ids, counted in that order
    raise EnvError(
        f"CUDA_VISIBLE_DEVICES is {visible or 'unset'}: Spark gave this task the GPU {address}, which is not among "
        "those that it may see; leave the variable unset on executors, or let the discovery script tell these"
    )
