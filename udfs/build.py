"""Driver and executors run the same build, or the executor says that it does not.

An executor with an older zip would clean, score and reject by older rules, and nobody would see it in the tables.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from importlib import metadata, resources

import pyarrow as pa

from models import digests
from models.errors import EnvError
from models.text.characters import UNICODE_VERSION

Batches = Iterator[pa.RecordBatch]
# Packages whose version can change what an executor writes.
_DECIDING = ("numpy", "pyarrow", "onnxruntime", "numba", "torch", "transformers")


@cache
def code_version() -> str:
    """A digest of the project's own code, the same for a checkout, a wheel and a zip of it."""
    pieces: dict[str, str] = {}
    for package in ("jobs", "udfs", "models"):
        pending = [(package, resources.files(package))]
        while pending:
            name, place = pending.pop()
            if place.is_dir():
                pending += [(f"{name}/{child.name}", child) for child in place.iterdir() if child.name != "__pycache__"]
            elif name.endswith(".py"):
                pieces[name] = digests.of_bytes(place.read_bytes())
    return digests.of_json(pieces, chars=12)


@cache
def build() -> dict[str, str]:
    """What this process runs: the project's code, its version of Unicode, and the packages that decide what is written.

    Of packages, those that it has.
    """
    found = {"pingti": code_version(), "unicode": UNICODE_VERSION}
    for name in _DECIDING:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name).partition("+")[0]  # a driver's torch may be the build without CUDA
    return found


def same_build(function: Callable[[Batches], Batches]) -> Callable[[Batches], Batches]:
    """The batch function, refused by a worker that runs another build than this process.

    Call it on the driver. A worker compares once in its life, before its first batch.
    """
    wanted = build()

    def checked(batches: Batches) -> Batches:
        check(wanted)
        return function(batches)

    return checked


def check(wanted: dict[str, str]) -> None:
    """Raise `EnvError` naming every difference between the driver's build and this process's."""
    got = build()
    both = got.keys() & wanted.keys()  # a CPU executor may well lack what only the driver needs
    different = [f"{name} {got[name]} (driver: {wanted[name]})" for name in sorted(both) if got[name] != wanted[name]]
    if different:
        raise EnvError(
            f"executor {platform.node()}: runs another build than the driver: {', '.join(different)}; "
            "ship the same dist/pingti.zip and the same constraints.txt to both"
        )
