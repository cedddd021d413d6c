"""What a format's reader finds: a record's place and bytes, and how to take it apart."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from udfs.readers.records import RejectedError

MAX_RECORD_BYTES = 8 << 20
MAX_RAW_BYTES = 64 << 10


class LongRecord:
    """A record too long to keep, taken piece by piece: its length and digest are told, its first bytes kept."""

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


class Found(NamedTuple):
    """A record: where it begins, its bytes, its values by name (or `RejectedError`), and what is told if it is long."""

    position: int
    raw: bytes
    parse: Callable[[], Mapping[str, Any]]
    long: LongRecord | None = None
