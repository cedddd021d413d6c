"""From UTF-8 bytes to ids: decoding and vocabulary in one pass. Compiled by Numba; one thread, no Python lock."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray


def decode_utf8(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    ids_by_code_point: NDArray[np.int32],
    max_length: int,
    ids: NDArray[np.int32],
    ends: NDArray[np.int64],
) -> int:
    """Ids of UTF-8 texts, end to end; how many there are, or -1 if there is a byte that is not UTF-8.

    Args:
        data: The bytes.
        offsets: (texts + 1,), where each text starts among the bytes.
        ids_by_code_point: Ids; the last entry stands for every code point beyond.
        max_length: Characters kept of a text.
        ids: Written; room for as many ids as bytes.
        ends: (texts + 1,), written: where each text starts among the ids.
    """
    last = len(ids_by_code_point) - 1
    fill = 0
    ends[0] = 0
    for row in range(len(offsets) - 1):
        at, end = offsets[row], offsets[row + 1]
        begin = fill
        while at < end:
            code, size = _character(data, at, end)
            if size == 0:
                return -1
            if fill - begin < max_length:
                ids[fill] = ids_by_code_point[min(code, last)]
                fill += 1
            at += size
        ends[row + 1] = fill
    return fill


@njit(nogil=True, forceinline=True)  # type: ignore[untyped-decorator]
def _character(data: NDArray[np.uint8], at: int, end: int) -> tuple[Any, int]:
    """Code point and bytes of the character at `at`; no bytes if it is not UTF-8, or does not end before `end`."""
    lead = np.int32(data[at])
    if lead < 0x80:
        return lead, 1
    if lead & 0xF0 == 0xE0 and at + 3 <= end:  # nearly all Chinese characters: no loop
        second, third = np.int32(data[at + 1]), np.int32(data[at + 2])
        code = (lead & 15) << 12 | (second & 63) << 6 | third & 63
        right = (second & 0xC0 == 0x80) & (third & 0xC0 == 0x80) & (code >= 0x800)
        return code, 3 if right else 0
    decoded: tuple[Any, int] = _rare_character(data, at, end)
    return decoded


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _rare_character(data: NDArray[np.uint8], at: int, end: int) -> tuple[Any, int]:
    """See `_character`; of two or four bytes."""
    lead = np.int32(data[at])
    size = 2 if lead < 0xE0 else 4
    if not 0xC0 <= lead < 0xF8 or lead & 0xF0 == 0xE0 or at + size > end:
        return np.int32(0), 0
    code: Any = lead & (31 if size == 2 else 7)
    strange: Any = 0
    for place in range(at + 1, at + size):
        strange |= np.int32(data[place]) >> 6 ^ 2  # every byte but the first begins with the bits 10
        code = code << 6 | np.int32(data[place]) & 63
    # The shortest form only, and nothing beyond Unicode.
    right = code >= 0x80 if size == 2 else 0x10000 <= code <= 0x10FFFF
    return code, size if right and strange == 0 else 0
