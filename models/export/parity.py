"""Do the engines answer alike? Compared before a student is sealed, on random texts over a grid of batches.

Every batch size meets every length, and a mixture of all lengths. The texts depend on the student's sizes alone.
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
from models.serving.onnx_engine import session_of
from models.students.student import Student, as_probabilities
from models.tasks import TaskKind
from models.text.vocabulary import Encoded

BATCHES = (1, 2, 7, 64)
OF_GRAPH = 1e-4  # largest difference of a probability between network and graph
OF_PRECISION = 1e-3  # between tables of integers and of floats
OF_ENGINES = 1e-5  # between two engines that run the same graph
CHANGED = 0.001  # largest share of decisions that tables of integers may change

Answers: TypeAlias = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Batch:
    """Random texts: ids (batch, length) filled up with PAD, their lengths (batch,), and in words what they are."""

    ids: NDArray[np.int64]
    lengths: NDArray[np.int64]
    told: str


@dataclass(frozen=True, slots=True)
class Compared:
    """How far two engines' answers lie apart over a grid: probabilities, and decisions by first thresholds."""

    difference: float
    where: str  # the batch with the largest difference
    changed: float
    decisions: int


@dataclass(frozen=True, slots=True)
class Grid:
    """The batches for one student."""

    vocabulary_size: int
    least: int  # the widest filter
    max_length: int
    outcome: TaskKind = "multi_label"

    @property
    def lengths(self) -> tuple[int, ...]:
        """The text lengths that are tried."""
        return tuple(sorted({1, max(self.least - 1, 1), self.least, 5, 24, max(self.max_length, self.least)}))

    def batches(self) -> Iterator[Batch]:
        """All of them, always the same."""
        random = np.random.default_rng(0)
        for batch, length in itertools.product(BATCHES, (*self.lengths, 0)):
            # Length 0 stands for the mixture, which has an empty text in it where there is room.
            sizes = random.choice([0, *self.lengths], batch) if length == 0 else np.full(batch, length)
            ids = random.integers(1, self.vocabulary_size, (batch, max(int(sizes.max()), self.least)))
            ids[np.arange(ids.shape[1]) >= sizes[:, None]] = 0
            yield Batch(ids, sizes.astype(np.int64), f"a batch of {batch} texts of {length or 'mixed'} characters")

    def compare(self, one: Answers, other: Answers) -> Compared:
        """How far the answers of two engines lie apart; infinitely where one of them has none."""
        worst, where, changed, decisions = 0.0, "", 0, 0
        for batch in self.batches():
            wanted, got = one(batch.ids, batch.lengths), other(batch.ids, batch.lengths)
            alike = got.shape == wanted.shape
            difference = float(np.abs(got - wanted).max()) if alike else np.inf
            if not difference <= worst:  # so that what is no number counts as different
                worst, where = difference if difference == difference else np.inf, batch.told
            changed += int((self._decided(got) != self._decided(wanted)).sum()) if alike else wanted.size
            decisions += wanted.size
        return Compared(worst, where, changed / decisions, decisions)

    def _decided(self, answers: NDArray[np.float32]) -> NDArray[np.bool_]:
        first = first_threshold(self.outcome, answers.shape[1])
        decisions: NDArray[np.bool_] = keep_argmax(answers, self.outcome) >= first
        return decisions


def check_parity(grid: Grid, network: Answers, graph: Answers, *, where: str, tolerance: float = OF_GRAPH) -> Parity:
    """Compare a network and its graph.

    Raises:
        BundleError: A probability differs by more than `tolerance` or is not a number; the message starts
            with `where` and names the batch.
    """
    found = grid.compare(network, graph)
    if found.difference > tolerance:
        raise BundleError(
            f"{where}: network and ONNX graph differ by {found.difference:.2g} in {found.where}, expected at most "
            f"{tolerance:g}; nothing was sealed: look for an operation whose result depends on the shape of the batch"
        )
    return Parity(max_difference=found.difference, grid={"batches": BATCHES, "lengths": grid.lengths})


def check_engines(grid: Grid, model: bytes, folding: Folding, *, labels: int, where: str) -> None:
    """Compare the two engines on one folded graph.

    Raises:
        BundleError: A probability differs by more than 1e-5; the message starts with `where` and names the batch.
    """
    folded = read_folded(model, folding, vocabulary_size=grid.vocabulary_size, labels=labels, where=where)
    found = grid.compare(of_session(session_of(model)), of_fused(Network.of(folded, grid.outcome)))
    if found.difference > OF_ENGINES:
        raise BundleError(
            f"{where}: ONNX Runtime and the fused engine differ by {found.difference:.2g} in {found.where}, "
            f"expected at most {OF_ENGINES:g}; nothing was sealed: one of them reads the graph otherwise"
        )


def of_network(student: Student, outcome: TaskKind = "multi_label") -> Answers:
    """The network itself, in torch."""

    def answers(ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits = student(torch.from_numpy(ids), torch.from_numpy(lengths))[0]
        probabilities: NDArray[np.float32] = as_probabilities(logits, outcome).numpy()
        return probabilities

    return answers


def of_session(session: Any) -> Answers:
    """A graph in ONNX Runtime; a batch it cannot run has answers of no shape."""

    def answers(ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        try:
            probabilities: NDArray[np.float32] = session.run([OUTPUT], dict(zip(INPUTS, (ids, lengths), strict=True)))[
                0
            ]
        except Exception:  # onnxruntime's errors have no common base
            return np.empty(0, np.float32)
        return probabilities

    return answers


def of_fused(network: Network) -> Answers:
    """Tables in the fused engine, which does without padding."""

    def answers(ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.float32]:
        own = np.arange(ids.shape[1]) < lengths[:, None]
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        return network.probabilities(Encoded(ids[own].astype(np.int32), offsets), np.arange(len(lengths)))

    return answers
