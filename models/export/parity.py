"""Parity: network, graph and engines give the same probabilities, checked before a student is sealed.

The texts are random, over a grid of batches: every batch size meets every length, and a mixture of all lengths. They
depend on the student's sizes alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from models.errors import BundleError
from models.evaluation.predictions import first_threshold, keep_argmax
from models.export.onnx_graph import INPUTS, OUTPUT
from models.serving.bundle import Folding, Parity
from models.serving.folded_tables import read_folded
from models.serving.fused_engine import Network
from models.serving.onnx_engine import inference_session
from models.students.student import Student, as_probabilities
from models.tasks import TaskKind
from models.text.vocabulary import Encoded

BATCHES = (1, 2, 7, 64)
GRAPH_TOLERANCE = 1e-4  # largest difference of a probability between network and graph
PRECISION_TOLERANCE = 1e-3  # between tables of integers and of floats
ENGINE_TOLERANCE = 1e-5  # between two engines that run the same graph
MAX_CHANGED = 0.001  # largest share of decisions that tables of integers may change

Scorer: TypeAlias = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Batch:
    """Random texts: ids (batch, length) filled up with PAD, their lengths (batch,), and a description."""

    ids: NDArray[np.int64]
    lengths: NDArray[np.int64]
    description: str


@dataclass(frozen=True, slots=True)
class Compared:
    """How far two engines differ over a grid: in probabilities, and in decisions by first thresholds."""

    difference: float
    worst_batch: str  # the one with the largest difference
    changed: float
    decisions: int


@dataclass(frozen=True, slots=True)
class Grid:
    """The batches for one student."""

    vocabulary_size: int
    min_length: int  # the widest filter
    max_length: int
    outcome: TaskKind = "multi_label"

    @property
    def lengths(self) -> tuple[int, ...]:
        """The text lengths that are tried."""
        return tuple(
            sorted({1, max(self.min_length - 1, 1), self.min_length, 5, 24, max(self.max_length, self.min_length)})
        )

    def batches(self) -> Iterator[Batch]:
        """All of them, always the same."""
        random = np.random.default_rng(0)
        for batch, length in itertools.product(BATCHES, (*self.lengths, 0)):
            # Length 0 stands for the mixture, which has an empty text in it where there is room.
            sizes = random.choice([0, *self.lengths], batch) if length == 0 else np.full(batch, length)
            ids = random.integers(1, self.vocabulary_size, (batch, max(int(sizes.max()), self.min_length)))
            ids[np.arange(ids.shape[1]) >= sizes[:, None]] = 0
            yield Batch(ids, sizes.astype(np.int64), f"a batch of {batch} texts of {length or 'mixed'} characters")

    def compare(self, reference: Scorer, candidate: Scorer) -> Compared:
        """How far two engines differ; infinitely where one of them cannot run a batch."""
        worst, worst_batch, changed, decisions = 0.0, "", 0, 0
        for batch in self.batches():
            wanted, got = reference(batch.ids, batch.lengths), candidate(batch.ids, batch.lengths)
            alike = got.shape == wanted.shape
            difference = float(np.abs(got - wanted).max()) if alike else np.inf
            if not difference <= worst:  # so that what is no number counts as different
                worst, worst_batch = difference if difference == difference else np.inf, batch.description
            changed += int((self._decided(got) != self._decided(wanted)).sum()) if alike else wanted.size
            decisions += wanted.size
        return Compared(worst, worst_batch, changed / decisions, decisions)

    def _decided(self, probabilities: NDArray[np.float32]) -> NDArray[np.bool_]:
        first = first_threshold(self.outcome, probabilities.shape[1])
        decisions: NDArray[np.bool_] = keep_argmax(probabilities, self.outcome) >= first
        return decisions


def check_parity(
    grid: Grid, network: Scorer, graph: Scorer, *, where: str, tolerance: float = GRAPH_TOLERANCE
) -> Parity:
    """Compare a network and its graph.

    Raises:
        BundleError: A probability differs by more than `tolerance` or is not a number; the message starts
            with `where` and names the batch.
    """
    compared = grid.compare(network, graph)
    if compared.difference > tolerance:
        raise BundleError(
            f"{where}: network and ONNX graph differ by {compared.difference:.2g} in {compared.worst_batch}, "
            f"expected at most {tolerance:g}; nothing was sealed: look for an operation whose result depends on the "
            "batch's shape"
        )
    return Parity(max_difference=compared.difference, grid={"batches": BATCHES, "lengths": grid.lengths})


def check_engines(grid: Grid, model: bytes, folding: Folding, *, labels: int, where: str) -> None:
    """Compare the two engines on one folded graph.

    Raises:
        BundleError: A probability differs by more than 1e-5; the message starts with `where` and names the batch.
    """
    folded = read_folded(model, folding, vocabulary_size=grid.vocabulary_size, labels=labels, where=where)
    compared = grid.compare(session_scorer(inference_session(model)), fused_scorer(Network.of(folded, grid.outcome)))
    if compared.difference > ENGINE_TOLERANCE:
        raise BundleError(
            f"{where}: ONNX Runtime and the fused engine differ by {compared.difference:.2g} in "
            f"{compared.worst_batch}, expected at most {ENGINE_TOLERANCE:g}; nothing was sealed: one of "
            "them reads the graph otherwise"
        )


def network_scorer(student: Student, outcome: TaskKind = "multi_label") -> Scorer:
    """The network itself, in torch."""

    def score(ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits = student(torch.from_numpy(ids), torch.from_numpy(lengths))[0]
        probabilities: NDArray[np.float32] = as_probabilities(logits, outcome).numpy()
        return probabilities

    return score


def session_scorer(session: Any) -> Scorer:
    """A graph in ONNX Runtime; a batch it cannot run gives an empty array."""

    def score(ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        try:
            probabilities: NDArray[np.float32] = session.run([OUTPUT], dict(zip(INPUTS, (ids, lengths), strict=True)))[
                0
            ]
        except Exception:  # onnxruntime's errors have no common base
            return np.empty(0, np.float32)
        return probabilities

    return score


def fused_scorer(network: Network) -> Scorer:
    """Tables in the fused engine, which does without padding."""

    def score(ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        inside = np.arange(ids.shape[1]) < lengths[:, None]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        return network.probabilities(Encoded(ids[inside].astype(np.int32), offsets), np.arange(len(lengths)))

    return score
