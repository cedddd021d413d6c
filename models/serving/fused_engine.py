"""Scores texts with a folded student by compiled table look-ups, from Arrow's own buffers; needs Numba.

The numbers are those of the bundle's `model.onnx`; the probabilities equal ONNX Runtime's within 1e-5.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from models.errors import BundleError, DataError
from models.serving.bundle import Bundle
from models.serving.engine import Engine
from models.serving.folded_tables import Floats, Folded, read_folded
from models.serving.kernels import decode_arguments, kernels
from models.serving.textcnn_kernel import BLOCK, LANE_BYTES
from models.tasks import TaskKind
from models.text.vocabulary import UNKNOWN, Encoded, Texts, Vocabulary, as_large_string

_log = logging.getLogger(__name__)
_CACHE_LINE = 64  # bytes


@dataclass(frozen=True, slots=True)
class Network:
    """A folded network, laid out for the kernel; no state between calls, so threads may share it."""

    min_length: int
    tables: tuple[tuple[NDArray[Any], ...], ...]
    sums: np.dtype[Any]
    scale: Floats
    bias: Floats
    head: Floats
    head_bias: Floats
    outcome: TaskKind
    pooling: Literal["max", "sum"] = "max"

    @classmethod
    def of(cls, folded: Folded, outcome: TaskKind = "multi_label") -> Self:
        """Cut the tables into parts of `LANE_BYTES`, the last one filled up with filters of zeros."""
        sums = folded.tables[0][0].dtype
        if folded.pooling == "sum":
            return cls(
                1,
                ((np.ascontiguousarray(folded.tables[0][0])[None],),),
                np.dtype(np.float32 if sums == np.float32 else np.int64),
                folded.scale,
                folded.bias,
                np.ascontiguousarray(folded.head, np.float32),
                np.ascontiguousarray(folded.head_bias, np.float32),
                outcome,
                pooling="sum",
            )
        sums = np.dtype(np.int16) if sums == np.int8 else sums
        lanes = LANE_BYTES // sums.itemsize
        by_width = (len(folded.widths), folded.filters)

        def widened(numbers: Floats) -> Floats:
            apart = numbers.reshape(-1, *by_width)
            return np.pad(apart, ((0, 0), (0, 0), (0, -folded.filters % lanes))).reshape(len(apart), -1)

        return cls(
            max(folded.widths),
            tuple(tuple(_in_parts(table, lanes) for table in places) for places in folded.tables),
            sums,
            widened(folded.scale)[0],
            widened(folded.bias)[0],
            np.ascontiguousarray(widened(folded.head)),
            np.ascontiguousarray(folded.head_bias, np.float32),
            outcome,
        )

    def probabilities(self, encoded: Encoded, rows: NDArray[np.int64]) -> Floats:
        """Probabilities (rows, labels) of the named rows among texts that are ids.

        Raises:
            DataError: An id that the tables do not have: the texts were encoded with another vocabulary.
        """
        starts, ends = encoded.offsets[rows], encoded.offsets[rows + 1]
        logits = np.empty((len(starts), len(self.head)), np.float32)
        rest = (self.scale, self.bias, self.head, self.head_bias, logits)
        if self.pooling == "sum":
            sums = np.empty(len(self.scale), self.sums)
            known = kernels().bow_logits(encoded.ids, starts, ends, self.tables[0][0][0], sums, *rest)
        else:
            maxima = np.empty(min(BLOCK, max(len(starts), 1)) * len(self.scale), self.sums)
            known = kernels().textcnn_logits(encoded.ids, starts, ends, self.min_length, self.tables, maxima, *rest)
        if not known:
            raise DataError(
                f"texts to score: an id is outside 0 to {self.tables[0][0].shape[1] - 1}; "
                "encode them with this student's own vocabulary"
            )
        if self.outcome == "multi_class":
            shares: Floats = np.exp(np.subtract(logits, logits.max(axis=1, keepdims=True), out=logits), out=logits)
            shares /= shares.sum(axis=1, keepdims=True)
            return shares
        with np.errstate(over="ignore"):  # exp of a large number is infinite, and its inverse the right 0
            inverse = np.exp(np.negative(logits, out=logits), out=logits)
        inverse += 1
        return np.reciprocal(inverse, out=inverse)


@dataclass(frozen=True)
class FusedEngine(Engine):
    """One folded student.

    Attributes:
        bundle: The sealed student.
        network: Its numbers.
        compile_seconds: What compiling took when it was opened; near 0 where it was compiled before.
    """

    bundle: Bundle
    network: Network
    compile_seconds: float

    @classmethod
    def of(cls, bundle: Bundle, threads: int = 1) -> Self:
        """See `Engine.of`; compiles the kernels. It always keeps to the caller's thread.

        Raises:
            BundleError: The bundle is not folded, or its graph lacks numbers that its manifest names.
        """
        manifest = bundle.manifest
        if manifest.folding is None:
            raise BundleError(
                f"{bundle.path}: a {manifest.kind} that was not folded, expected tables; "
                "take the engine onnxruntime, or auto, in the settings' scoring"
            )
        folded = read_folded(
            bundle.model.read_bytes(), manifest.folding, vocabulary_size=manifest.vocabulary_size,
            labels=len(manifest.labels), where=str(bundle.model),
        )  # fmt: skip
        network = Network.of(folded, manifest.outcome)
        started = time.perf_counter()
        network.probabilities(Encoded(np.full(1, UNKNOWN, np.int32), np.arange(2)), np.arange(1))
        seconds = time.perf_counter() - started
        _log.info(
            "%s: fused engine, %s tables, compiled in %.2f s", manifest.model_id, manifest.folding.precision, seconds
        )
        return cls(bundle, network, seconds)

    def encode(self, texts: Texts) -> Encoded:
        """Clean texts as this student's ids: what `Vocabulary.encode` gives, straight from Arrow's buffers."""
        vocabulary, most = self.bundle.vocabulary, self.bundle.manifest.max_length
        if not isinstance(vocabulary, Vocabulary):
            return vocabulary.encode(texts, most)
        column = as_large_string(texts)
        if len(column) == 0:
            return vocabulary.encode(column, most)
        _, places, data = column.buffers()
        offsets = np.frombuffer(places, np.int64)[column.offset : column.offset + len(column) + 1]
        raw = b"" if data is None else memoryview(data)[offsets[0] : offsets[-1]]
        arguments = decode_arguments(raw, offsets - offsets[0], vocabulary.by_code_point, most)
        characters = kernels().decode_utf8(*arguments)
        if characters < 0:  # the slower way says where the wrong byte is
            return vocabulary.encode(column, most)
        ids, ends = arguments[-2:]
        return Encoded(ids[:characters], ends)

    def probabilities_unchecked(self, encoded: Encoded, rows: NDArray[np.int64]) -> Floats:
        """See `Engine.probabilities_unchecked`."""
        return self.network.probabilities(encoded, rows)


def _in_parts(table: NDArray[Any], lanes: int) -> NDArray[Any]:
    """(vocabulary, filters) as (parts, vocabulary, lanes), each character's part on cache lines of its own."""
    characters, filters = table.shape
    parts = -(-filters // lanes)
    room = np.zeros(parts * characters * lanes + _CACHE_LINE // table.itemsize, table.dtype)
    skipped = -room.ctypes.data % _CACHE_LINE // table.itemsize
    laid = room[skipped : skipped + parts * characters * lanes].reshape(parts, characters, lanes)
    for part in range(parts):
        block = table[:, part * lanes : (part + 1) * lanes]
        laid[part, :, : block.shape[1]] = block
    return laid
