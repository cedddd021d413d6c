"""Records counted by another way than the parsers': line by line, byte by byte, block by block."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class _Unmarked:
    """Takes the byte order marks off the beginnings of lines: one each, as the readers do.

    A file that was joined of several, or of gzip members, has some in its midst.
    """

    def __init__(self, *, begins: bool = True) -> None:
        """`begins`: whether the first block begins a line."""
        self._held = b"\n" if begins else b""
        self._before = begins  # the line's end before the first block is not of the file

    def feed(self, block: bytes) -> bytes:
        """The next block, without marks; what may be the beginning of one is held back."""
        block = self._held + block
        at = block.rfind(b"\n", max(0, len(block) - len(BYTE_ORDER_MARK)))
        whole = at < 0 or not BYTE_ORDER_MARK.startswith(block[at + 1 :])
        block, self._held = (block, b"") if whole else (block[:at], block[at:])
        return self._plain(block)

    def rest(self) -> bytes:
        """What was held back."""
        block, self._held = self._held, b""
        return self._plain(block)

    def _plain(self, block: bytes) -> bytes:
        plain = block.replace(b"\n" + BYTE_ORDER_MARK, b"\n")
        if self._before and plain:
            self._before = False
            return plain[1:]
        return plain


class LineCounter:
    """Counts lines with anything but blanks in them."""

    def __init__(self) -> None:
        self._count = 0
        self._filled = False
        self._unmarked = _Unmarked()

    def feed(self, block: bytes) -> None:
        """Take the next block of the file."""
        self._feed(self._unmarked.feed(block))

    def _feed(self, block: bytes) -> None:
        first, *others = block.split(b"\n")
        self._filled = self._filled or bool(first.strip())
        if others:
            self._count += self._filled + sum(1 for line in others[:-1] if line.strip())
            self._filled = bool(others[-1].strip())

    def records(self) -> int:
        """How many the blocks held; none may follow."""
        self._feed(self._unmarked.rest())
        return self._count + self._filled


class CsvCounter:
    """Counts line ends outside quotes, less the header and empty lines.

    A quote opens only where a field begins, and a doubled one inside stands for itself (RFC 4180, and what Python's
    csv does with a quote elsewhere): `5" pipe,1` has no quoted field.
    """

    def __init__(self, delimiter: bytes, *, inside: bool | None = None) -> None:
        """`inside`: whether a quoted field is open where the counting starts, if that is within a file."""
        self._field_starts = frozenset(delimiter + b"\r\n")
        self._ends = 0
        self._inside = bool(inside)
        self._filled = False
        self._before = 0x0A  # the byte before the block
        self._unmarked = _Unmarked(begins=inside is None)
        self._rest = b""  # quotes at a block's end, for the next block says what they mean

    def feed(self, block: bytes) -> None:
        """Take the next block of the file."""
        self._feed(self._unmarked.feed(block))

    def _feed(self, block: bytes) -> None:
        block = self._rest + block
        kept = block.rstrip(b'"')
        quotes = len(block) - len(kept)
        if kept:
            self._count(kept)
        self._rest = b'"' * (2 - quotes % 2 if quotes else 0)  # a run of quotes means what one or two of them mean

    def inside(self) -> bool:
        """Whether a quoted field is open where the blocks end."""
        self._flush()
        return self._inside

    def records(self) -> int:
        """How many the blocks held; none may follow."""
        self._flush()
        return max(0, self._ends + self._filled - 1)

    def _flush(self) -> None:
        self._feed(self._unmarked.rest())
        if self._rest:
            self._count(self._rest)
            self._rest = b""

    def _count(self, block: bytes) -> None:
        data = np.frombuffer(block, np.uint8)
        turns = self._turns(data)
        breaks = np.flatnonzero(data == 0x0A)
        ends = breaks[(np.searchsorted(turns, breaks) + self._inside) % 2 == 0]
        content = np.concatenate(([self._filled], np.cumsum((data != 0x0A) & (data != 0x0D)) + self._filled))
        marks = content[ends]
        before = np.concatenate(([0], marks[:-1])) if len(ends) else marks
        self._ends += int(np.count_nonzero(marks > before))
        self._filled = bool(content[-1] > (marks[-1] if len(ends) else 0))
        self._inside = bool((len(turns) + self._inside) % 2)
        self._before = block[-1]

    def _turns(self, data: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Where quoted fields open and close, in turn."""
        quotes = np.flatnonzero(data == 0x22)
        before = np.where(quotes > 0, data[quotes - 1], self._before)
        opens = np.isin(before, list(self._field_starts)).tolist()
        turns: list[int] = []
        inside, doubled = self._inside, -1
        for at, opening in zip(quotes.tolist(), opens, strict=True):
            if at == doubled:
                continue
            if inside and at + 1 < len(data) and data[at + 1] == 0x22:
                doubled = at + 1
            elif inside or opening:
                inside = not inside
                turns.append(at)
        return np.array(turns, np.int64)
