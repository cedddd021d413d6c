"""Signatures of sets of files: sums of digests, so that a commit can be added or taken back without the rest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import date
from typing import NamedTuple
from urllib.parse import unquote

_SIZE = 16
_MODULUS = 1 << (8 * _SIZE)


class Cell(NamedTuple):
    """What is made at once: a day, or a day's part (of a task, of a model)."""

    day: date
    part: str = ""


def of_item(item: str) -> int:
    """The signature of a set of one item."""
    return int.from_bytes(hashlib.blake2b(item.encode(), digest_size=_SIZE).digest(), "big")


def of_path(path: str) -> int:
    """The signature of one file, however its path is escaped."""
    return of_item(unquote(path))


def together(signatures: Iterable[int]) -> int:
    """The signature of sets that have nothing in common."""
    return sum(signatures) % _MODULUS


def without(signature: int, taken: Iterable[int]) -> int:
    """The signature of a set that some of its items were taken from."""
    return (signature - sum(taken)) % _MODULUS


def written(signature: int) -> str:
    """A signature as tables keep it; an empty set's is empty."""
    return f"{signature:0{2 * _SIZE}x}" if signature else ""
