"""What a student learns from: arrays in memory, or mapped from files where memory does not hold them."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from models import digests
from models.errors import DataError
from models.evaluation.predictions import probabilities
from models.tasks import TaskKind
from models.text.vocabulary import Encoded

_BLOCK = 1 << 16  # rows looked at together where all are
_TYPES = {
    "hard": np.float32, "hard_mask": np.bool_, "soft": np.float32, "soft_mask": np.bool_, "weight": np.float32,
    "cls_states": np.float32, "curriculum": np.float32, "by_teacher": np.bool_,
}  # fmt: skip


@dataclass(frozen=True)
class TrainingRows:
    """What a student learns from, row by row and label by label.

    Attributes:
        texts: The texts as ids.
        hard: (rows, labels) float32 targets, 0 to 1, read where `hard_mask` is True.
        hard_mask: (rows, labels) bool.
        soft: (rows, labels) float32 logits of the teacher, read where `soft_mask` is True.
        soft_mask: (rows, labels) bool.
        weight: (rows,) float32, how much a row counts.
        cls_states: (rows, width) float32, the teacher's [CLS] states, NaN where it has not seen the text; or None.
        curriculum: (rows, checkpoints, labels) float32, the logits of the teacher's intermediate checkpoints, the
            earliest first; or None.
        by_teacher: (rows,) bool, True where the hard targets are the teacher's decisions, not annotators' answers; or
            None, where none are.
    """

    texts: Encoded
    hard: NDArray[np.float32]
    hard_mask: NDArray[np.bool_]
    soft: NDArray[np.float32]
    soft_mask: NDArray[np.bool_]
    weight: NDArray[np.float32]
    cls_states: NDArray[np.float32] | None = None
    curriculum: NDArray[np.float32] | None = None
    by_teacher: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.texts)

    def check(self, labels: int) -> None:
        """Raise `DataError` if there are no rows, or arrays that do not fit together."""
        rows = len(self)
        expected = {name: (rows, labels) for name in ("hard", "hard_mask", "soft", "soft_mask")} | {"weight": (rows,)}
        for name, shape in expected.items():
            if (got := getattr(self, name).shape) != shape:
                raise DataError(f"training rows: {name} has shape {got}, expected {shape}; join them again")
        states, curriculum = self.cls_states, self.curriculum
        if states is not None and (states.ndim, len(states)) != (2, rows):
            raise DataError(f"training rows: cls_states have shape {states.shape}, expected ({rows}, width)")
        if curriculum is not None and (curriculum.ndim, *curriculum.shape[::2]) != (3, rows, labels):
            raise DataError(
                f"training rows: curriculum has shape {curriculum.shape}, expected ({rows}, checkpoints, {labels})"
            )
        if rows == 0:
            raise DataError("training rows: got none, expected at least one; widen the training days or the sample")

    @property
    def digest(self) -> str:
        """SHA-256 of all of it, 64 hex digits."""
        parts = {
            name: digests.of_bytes(value.reshape(-1).view(np.uint8).data) for name, value in self._arrays().items()
        }
        return digests.of_json(parts)

    def _arrays(self) -> dict[str, NDArray[Any]]:
        arrays = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "texts"}
        arrays |= {"ids": self.texts.ids, "offsets": self.texts.offsets}
        return {name: np.ascontiguousarray(value) for name, value in arrays.items() if value is not None}

    def labels_with_hard_targets(self, learnt: NDArray[np.int64]) -> NDArray[np.bool_]:
        """(labels,) bool, True where one of these rows has a hard target."""
        known = np.zeros(self.hard_mask.shape[1], np.bool_)
        for start in range(0, len(learnt), _BLOCK):
            known |= self.hard_mask[learnt[start : start + _BLOCK]].any(0)
        return known

    def base_rates(self, learnt: NDArray[np.int64], kind: TaskKind, *, soft: bool) -> NDArray[np.float64]:
        """How often each label holds among these rows, by weight; never 0 or 1.

        Args:
            learnt: Row numbers.
            kind: The task's kind.
            soft: Where no hard target is known, the teacher's probability counts as one.
        """
        positives = known = np.zeros(self.hard.shape[1])
        for start in range(0, len(learnt), _BLOCK):
            block = learnt[start : start + _BLOCK]
            mask, weight = self.hard_mask[block], self.weight[block].astype(np.float64)
            positives = positives + weight @ np.where(mask, self.hard[block], 0)
            known = known + weight @ mask
            if soft:
                guessed = self.soft_mask[block] & ~mask
                probability = probabilities(np.where(self.soft_mask[block], self.soft[block], np.nan), kind)
                positives = positives + weight @ np.where(guessed, probability, 0)
                known = known + weight @ guessed
        rates: NDArray[np.float64] = (positives + 1) / (known + 2)
        return rates


class RowsWriter:
    """Writes training rows into a folder, block by block, to be mapped from there: more rows than memory holds.

    Use as a context manager; `finished` gives the rows. The folder's files are the caller's to remove.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._files: dict[str, IO[bytes]] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}
        self._rows = 0
        self._last = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for file in self._files.values():
            file.close()

    def add(self, block: TrainingRows) -> None:
        """Append a block of rows; all blocks have the same arrays."""
        arrays = block._arrays()
        offsets = arrays.pop("offsets") + self._last
        self._write("offsets", offsets[1:] if self._rows else offsets)
        for name, value in arrays.items():
            self._write(name, value)
        self._last = int(offsets[-1])
        self._rows += len(block)

    def _write(self, name: str, value: NDArray[Any]) -> None:
        if name not in self._files:
            self._files[name] = (self._folder / name).open("wb")
        known = self._shapes.setdefault(name, value.shape[1:])
        if known != value.shape[1:]:
            raise DataError(f"training rows: {name} has rows of {value.shape[1:]}, those before had {known}")
        self._files[name].write(np.ascontiguousarray(value).data)

    def finished(self) -> TrainingRows:
        """The rows, mapped read-only."""
        for file in self._files.values():
            file.flush()
        arrays = {
            name: self._mapped(name, (self._rows, *shape)) for name, shape in self._shapes.items() if name in _TYPES
        }
        texts = Encoded(
            self._mapped("ids", (self._last,), np.int32), self._mapped("offsets", (self._rows + 1,), np.int64)
        )
        return TrainingRows(texts, **arrays)

    def _mapped(self, name: str, shape: tuple[int, ...], kind: Any = None) -> NDArray[Any]:
        kind = np.dtype(kind or _TYPES[name])
        if 0 in shape:  # an empty file cannot be mapped
            return np.zeros(shape, kind)
        return np.memmap(self._folder / name, kind, "r", shape=shape)


def mean_and_deviation(states: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation of each dimension, (width,) each, over the rows that have no NaN."""
    total, squares, seen = np.zeros(states.shape[1]), np.zeros(states.shape[1]), 0
    for start in range(0, len(states), _BLOCK):
        block = states[start : start + _BLOCK].astype(np.float64)
        block = block[~np.isnan(block).any(1)]
        total, squares, seen = total + block.sum(0), squares + (block**2).sum(0), seen + len(block)
    mean = total / max(seen, 1)
    deviation = np.sqrt(np.maximum(squares / max(seen, 1) - mean**2, 1e-12))
    return mean.astype(np.float32), deviation.astype(np.float32)
