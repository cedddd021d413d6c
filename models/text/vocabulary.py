"""Characters and their ids: the one encoder that training, export and serving share.

One character becomes one id, nothing else: every step that changes the length of a text belongs to the
cleaner. All of it works on whole Arrow buffers; no Python code runs per row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models import digests
from models.errors import BundleError, DataError

PAD, UNKNOWN = 0, 1  # the two ids that are no character; characters follow from 2
FIRST_CHAR = 2
SEPARATOR, SEPARATOR_CHAR = 2, "\x1f"  # between the texts of a pair; where there are pairs, the first character
CODE_POINTS = 0x110000

Texts: TypeAlias = "pa.Array | pa.ChunkedArray"


@dataclass(frozen=True, slots=True)
class Encoded:
    """Texts as ids, ragged: row i is `ids[offsets[i]:offsets[i + 1]]`; a null or empty text has no ids.

    Attributes:
        ids: int32, all rows end to end.
        offsets: int64, one more than there are rows.
    """

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Characters per row, int64."""
        return np.diff(self.offsets)

    def take(self, order: NDArray[np.int64]) -> Encoded:
        """The rows named by `order`, in that order; a row may be named twice."""
        lengths = self.lengths[order]
        offsets = _offsets(lengths)
        return Encoded(self.ids[_positions(self.offsets[:-1][order], lengths, offsets)], offsets)

    def padded(self, rows: NDArray[np.int64], *, at_least: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Some rows as one matrix, filled up with PAD on the right.

        Args:
            rows: Row numbers, in the order wanted.
            at_least: Narrowest matrix allowed (the widest filter of the student that reads it).

        Returns:
            ids (rows, max(longest row, at_least)) int64, and the rows' own lengths (rows,) int64.
        """
        starts = self.offsets[rows]
        lengths = self.offsets[rows + 1] - starts
        columns = np.arange(max(int(lengths.max(initial=0)), at_least))
        matrix = np.full((len(rows), len(columns)), PAD, np.int64)
        inside = columns < lengths[:, None]
        matrix[inside] = self.ids[(starts[:, None] + columns)[inside]]
        return matrix, lengths


@dataclass(frozen=True)
class Vocabulary:
    """The characters a model knows, most frequent first: `chars[i]` has the id i + 2."""

    chars: tuple[str, ...]

    def __post_init__(self) -> None:
        if any(len(char) != 1 for char in self.chars):
            raise BundleError("vocabulary: every entry must be exactly one character; build it again")
        if len(set(self.chars)) != len(self.chars):
            raise BundleError("vocabulary: a character is listed twice; build it again")

    def __len__(self) -> int:
        return len(self.chars) + FIRST_CHAR

    @classmethod
    def build(cls, texts: Texts | Iterable[Texts], *, max_size: int, min_count: int = 2, pairs: bool = False) -> Self:
        """The most frequent characters of some texts.

        Args:
            texts: Strings, or blocks of them; nulls are skipped.
            max_size: Largest `len()` of the result, the two reserved ids included.
            min_count: A character seen less often is left out.
            pairs: The separator of pairs comes first, whatever its count.
        """
        counts = np.zeros(CODE_POINTS, np.int64)
        for chunk in blocks_of(texts):
            counts += np.bincount(_code_points(chunk)[0], minlength=CODE_POINTS)
        counts[ord(SEPARATOR_CHAR)] = 0
        known = np.flatnonzero(counts >= max(min_count, 1))
        # A stable sort by falling count: code points are rising already, so ties stay in their order.
        ranked = known[np.argsort(-counts[known], kind="stable")][: max(max_size - FIRST_CHAR, 0)]
        first = (SEPARATOR_CHAR,) if pairs else ()
        return cls((*first, *map(chr, ranked.tolist()))[: max(max_size - FIRST_CHAR, 0)])

    def encode(self, texts: Texts, max_length: int) -> Encoded:
        """Ids of some texts, cut at `max_length` characters.

        Args:
            texts: Strings, also large, dictionary-encoded, sliced or chunked; a null becomes an empty row.
            max_length: Characters kept of each text.

        Raises:
            DataError: The column holds no strings, or bytes that are not UTF-8.
        """
        codes, offsets = _code_points(texts)
        lengths = np.diff(offsets)
        if lengths.max(initial=0) > max_length:
            lengths = np.minimum(lengths, max_length)
            kept = _offsets(lengths)
            codes, offsets = codes[_positions(offsets[:-1], lengths, kept)], kept
        return Encoded(self.by_code_point[np.minimum(codes, len(self.by_code_point) - 1)], offsets)

    @cached_property
    def by_code_point(self) -> NDArray[np.int32]:
        """Ids, int32, by code point; the last entry stands for every code point beyond the largest known one."""
        codes = np.array([ord(char) for char in self.chars], np.int64)
        table = np.full(int(codes.max(initial=0)) + 2, UNKNOWN, np.int32)
        table[codes] = np.arange(FIRST_CHAR, len(self), dtype=np.int32)
        return table

    @property
    def digest(self) -> str:
        """SHA-256 of the characters in their order, 64 hex digits."""
        return digests.of_bytes(self.to_json())

    def to_json(self) -> bytes:
        """A JSON array of the characters, ASCII only: line ends, lone surrogates and the like survive."""
        return json.dumps(self.chars, ensure_ascii=True, indent=0).encode()

    @classmethod
    def from_json(cls, data: bytes, where: str) -> Self:
        """The reverse of `to_json`; `where` names the place in the `BundleError` for anything else."""
        try:
            chars = json.loads(data)
        except ValueError as error:
            raise BundleError(f"{where}: not JSON, expected an array of characters; export the model again") from error
        if not isinstance(chars, list) or not all(isinstance(char, str) for char in chars):
            raise BundleError(f"{where}: expected a JSON array of characters; export the model again")
        return cls(tuple(chars))

    def save(self, path: Path) -> None:
        """Write the characters to one file, overwriting it."""
        path.write_bytes(self.to_json())

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` wrote; `BundleError` for anything else."""
        return cls.from_json(path.read_bytes(), str(path))


def _offsets(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where each row starts when rows of these lengths lie end to end; one more entry than rows."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def _positions(starts: NDArray[np.int64], lengths: NDArray[np.int64], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Where the items of rows that start at `starts` are now, in the order they shall have at `offsets`."""
    return np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], lengths)


def _code_points(texts: Texts) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """All characters of a column as code points end to end, and the rows' offsets among them (rows + 1)."""
    column = as_large_string(texts)
    if len(column) == 0:
        return np.zeros(0, np.uint32), np.zeros(1, np.int64)
    _, offset_buffer, data = column.buffers()
    ends = np.frombuffer(offset_buffer, np.int64)[column.offset : column.offset + len(column) + 1]
    raw = b"" if data is None else memoryview(data)[ends[0] : ends[-1]]
    try:
        # surrogatepass: a lone surrogate is one (unknown) character, not a reason to lose the whole batch.
        codes = np.frombuffer(str(raw, "utf-8", "surrogatepass").encode("utf-32-le", "surrogatepass"), "<u4")
    except UnicodeDecodeError as error:
        raise DataError(
            f"texts to encode: byte {error.start} of {len(raw)} is not UTF-8; clean the texts first"
        ) from None
    # A character begins at each byte that is no continuation (10xxxxxx): counting those turns byte offsets
    # into character offsets.
    begins = (np.frombuffer(raw, np.uint8) & 0xC0) != 0x80
    return codes, _offsets(begins)[ends - ends[0]]


def blocks_of(texts: Texts | Iterable[Texts]) -> Iterable[Texts]:
    """A column, or blocks of columns, block by block."""
    if isinstance(texts, pa.ChunkedArray):
        return texts.chunks  # type: ignore[no-any-return]
    return [texts] if isinstance(texts, pa.Array) else texts


def as_large_string(texts: Texts) -> pa.LargeStringArray:
    """One contiguous large_string array without nulls (a null becomes the empty text); `DataError` for no strings."""
    column = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    if isinstance(column, pa.ChunkedArray):  # strings too large for one array stay chunked
        column = pa.concat_arrays([chunk.cast(pa.large_string()) for chunk in column.chunks])
    if not (pa.types.is_dictionary(column.type) or _is_string(column.type) or pa.types.is_null(column.type)):
        raise DataError(f"texts to encode: got a column of {column.type}, expected strings")
    column = column.cast(pa.large_string())
    # Arrow allows bytes under a null; filling drops them.
    return pc.fill_null(column, "") if column.null_count else column


def _is_string(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))
