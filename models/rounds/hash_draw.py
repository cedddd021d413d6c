"""Draws by hash: the order in which Spark's `xxhash64` puts texts, and which of them a teacher was given as a draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.digests import TEXT_HASH_CHARS
from models.rounds.date_layout import Window

_P1, _P2, _P3, _P4, _P5 = (
    np.uint64(prime)
    for prime in (
        0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5,
    )
)  # fmt: skip
_SPARKS_SEED = 42
_LANES = TEXT_HASH_CHARS // 8  # of eight bytes; four of them are one stripe of the algorithm
_Words = NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Draw:
    """A draw by hash: the first `texts` distinct texts of some days, in the order of a seed."""

    window: Window
    texts: int
    seed: int


def draw_order(text_hashes: Sequence[str], seed: int) -> NDArray[np.int64]:
    """The numbers by which `text_queries.drawn_by_hash` sorts: Spark's `xxhash64(text_hash, seed)`.

    Args:
        text_hashes: Of `digests.of_text`, (n,).
        seed: Of the draw; Spark hashes four bytes of one that fits, else eight.
    """
    if not len(text_hashes):
        return np.zeros(0, np.int64)
    lanes = np.array(text_hashes, f"S{TEXT_HASH_CHARS}").view("<u8").reshape(-1, _LANES)
    with np.errstate(over="ignore"):  # all sums and products are modulo 2^64
        return _of_number(_of_stripe(lanes), seed).view(np.int64)


def buckets(text_hashes: Sequence[str], count: int) -> NDArray[np.int32]:
    """The buckets of texts: Spark's `pmod(xxhash64(text_hash), count)`.

    Args:
        text_hashes: Of `digests.of_text`, (n,).
        count: How many buckets there are.
    """
    if not len(text_hashes):
        return np.zeros(0, np.int32)
    lanes = np.array(text_hashes, f"S{TEXT_HASH_CHARS}").view("<u8").reshape(-1, _LANES)
    with np.errstate(over="ignore"):
        return np.mod(_of_stripe(lanes).view(np.int64), count).astype(np.int32)


def drawn(scored: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Which texts of a draw stand for all texts: those scored, up to where most texts stop being scored.

    A draw that was scored whole is all there. Texts that arrived since are missing here and there, and cost no more
    than themselves. Where the draw was made larger since, what follows its old end is scored for other reasons alone.

    Args:
        scored: (n,) whether each text of the draw was scored, in the order of the draw.

    Returns:
        (n,) True for what was scored before the end.
    """
    balance = np.cumsum(np.where(scored, 1, -1))
    if not len(scored) or balance.max() <= 0:
        return np.zeros(len(scored), np.bool_)
    end = len(scored) - int(np.argmax(balance[::-1]))  # the last of equal ones
    kept: NDArray[np.bool_] = scored & (np.arange(len(scored)) < end)
    return kept


def _of_stripe(lanes: _Words) -> _Words:
    """XXH64 of texts of 32 bytes, given as (n, 4) little-endian words."""
    seed = np.uint64(_SPARKS_SEED)
    starts = (seed + _P1 + _P2, seed + _P2, seed, seed - _P1)
    mixed = [_round(start, lanes[:, at]) for at, start in enumerate(starts)]
    total = sum((_rotated(part, by) for part, by in zip(mixed, (1, 7, 12, 18), strict=True)), np.uint64(0))
    for part in mixed:
        total = (total ^ _round(np.uint64(0), part)) * _P1 + _P4
    return _finished(np.asarray(total + np.uint64(TEXT_HASH_CHARS), np.uint64))


def _of_number(before: _Words, number: int) -> _Words:
    """XXH64 of a number, seeded by the hashes of what comes before it."""
    if -(2**31) <= number < 2**31:
        mixed = (before + _P5 + np.uint64(4)) ^ (np.uint64(number & 0xFFFFFFFF) * _P1)
        return _finished(_rotated(mixed, 23) * _P2 + _P3)
    mixed = (before + _P5 + np.uint64(8)) ^ _round(np.uint64(0), np.uint64(number & 0xFFFFFFFFFFFFFFFF))
    return _finished(_rotated(mixed, 27) * _P1 + _P4)


def _round(accumulated: np.uint64 | _Words, lane: np.uint64 | _Words) -> _Words:
    return _rotated(accumulated + lane * _P2, 31) * _P1


def _rotated(words: np.uint64 | _Words, by: int) -> _Words:
    return np.asarray((words << np.uint64(by)) | (words >> np.uint64(64 - by)), np.uint64)


def _finished(words: _Words) -> _Words:
    words = (words ^ (words >> np.uint64(33))) * _P2
    words = (words ^ (words >> np.uint64(29))) * _P3
    return np.asarray(words ^ (words >> np.uint64(32)), np.uint64)
