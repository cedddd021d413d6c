"""A record where it lies in its file: its place and bytes, and how to take it apart."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

MAX_RECORD_BYTES = 8 << 20
MAX_RAW_BYTES = 64 << 10


class RejectedError(Exception):
    """A record, or a whole file, that cannot be taken, with its reason code; never its content."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


class LongRecord:
    """A record too long to keep, taken piece by piece: its length, its digest and its first bytes are kept."""

    def __init__(self, blanks: bytes | None = None) -> None:
        """`blanks`: the bytes that make no record of their own; white space by default."""
        self._blanks = blanks
        self._digest = hashlib.sha256()
        self.head = b""
        self.length = 0
        self.filled = False  # with anything but blanks

    def add(self, piece: bytes) -> None:
        """Take the next piece."""
        self.head += piece[: MAX_RAW_BYTES - len(self.head)]
        self.length += len(piece)
        self.filled = self.filled or bool(piece.strip(self._blanks))
        self._digest.update(piece)

    @property
    def sha256(self) -> str:
        """The digest of all pieces."""
        return self._digest.hexdigest()

    def parse(self) -> Mapping[str, Any]:
        """Reject it.

        Raises:
            RejectedError: always.
        """
        raise RejectedError("too_long", f"a record of {self.length} bytes, at most {MAX_RECORD_BYTES} are read")


class RecordSpan(NamedTuple):
    """A record: where it begins, its bytes, and how its values by name are parsed (or it is rejected).

    Of a `long` record `raw` is the beginning only.
    """

    position: int
    raw: bytes
    parse: Callable[[], Mapping[str, Any]]
    long: LongRecord | None = None

    @property
    def length(self) -> int:
        """The number of its bytes."""
        return self.long.length if self.long else len(self.raw)

    @property
    def sha256(self) -> str:
        """The digest of its bytes."""
        return self.long.sha256 if self.long else hashlib.sha256(self.raw).hexdigest()

    @property
    def head(self) -> bytes:
        """As many of its first bytes as are kept of a record that is set aside."""
        return self.raw[:MAX_RAW_BYTES]
