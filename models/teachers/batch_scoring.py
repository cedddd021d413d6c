"""Texts through a network in batches by a budget of tokens, halved where the memory does not hold one.

The network is a `Runner`: torch or ONNX Runtime, on a CPU or on a GPU. On a GPU batches are begun ahead of those whose
results are waited for, so that it computes while the next batch is made.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.errors import DataError
from models.teachers.token_batches import token_batches
from models.teachers.tokenisation import Tokens

Result: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Logits (rows, labels) and pooled states (rows, width) of a batch."""

NOT_FINITE = "not_finite"
"""Why a text has no score: its logits, or its state, are no finite numbers."""
OUT_OF_MEMORY = "out_of_memory"
"""Why a text has no score: it does not fit the memory, even by itself."""
REFUSED = "tokenisation"
"""Why a text has no score: the tokenizer refuses it."""


class DoesNotFitError(Exception):
    """A batch did not fit; the runner can go on with a smaller one."""


class Runner(ABC):
    """Computes logits and pooled states of batches.

    Attributes:
        ahead: Batches that are begun before the first of them is waited for; 1 where nothing runs beside the caller.
    """

    ahead: int = 1

    @abstractmethod
    def start(self, tokens: Tokens, rows: NDArray[np.int64]) -> Callable[[], Result]:
        """Begin a batch; what is given back waits for its result.

        Raises:
            DoesNotFitError: It does not fit.
        """

    def free(self) -> None:  # noqa: B027  (most runners keep nothing)
        """Give back the memory that no batch needs."""


@dataclass
class Budget:
    """Tokens of a batch, padding included, and how often they were halved."""

    tokens: int
    halvings: int = 0

    def halve_below(self, tokens: int) -> None:
        """Halve until fewer than `tokens` are left, which were too many."""
        while self.tokens >= tokens and self.tokens > 1:
            self.tokens //= 2
            self.halvings += 1


@dataclass(frozen=True)
class TextScores:
    """Scores of some texts, in their order.

    Attributes:
        logits: (texts, labels), float32; not a number where there is a reason.
        states: (texts, width), float32, pooled; likewise.
        reasons: By row, why a text has no score.
    """

    logits: NDArray[np.float32]
    states: NDArray[np.float32]
    reasons: dict[int, str] = field(default_factory=dict)

    def whole(self) -> Result:
        """Logits and states of texts that all have them.

        Raises:
            DataError: Some have none.
        """
        if self.reasons:
            told = ", ".join(sorted(set(self.reasons.values())))
            raise DataError(
                f"{len(self.reasons)} of {len(self.logits)} texts cannot be scored by their teacher ({told}), expected "
                "a finite logit a label; look at the teacher's weights, or score on a machine with more memory"
            )
        return self.logits, self.states


def score_tokens(runner: Runner, tokens: Tokens, shape: tuple[int, int], budget: Budget) -> TextScores:
    """Score texts in batches of like length.

    Which texts share a pass depends on their lengths, their order and the budget alone. Where a batch does not fit the
    memory, the budget is halved, also for what the caller scores later; the last bits of what follows may differ from
    those of a machine with more memory.

    Args:
        runner: The network.
        tokens: The texts.
        shape: How many labels, and the width of a state.
        budget: Tokens of a batch; changed where they were too many.
    """
    lengths = tokens.encoded.lengths
    logits, states = (np.full((len(tokens), size), np.nan, np.float32) for size in shape)
    scores = TextScores(logits, states)
    todo = deque(token_batches(lengths, budget.tokens))
    begun: deque[tuple[NDArray[np.int64], Callable[[], Result]]] = deque()
    while todo or begun:
        if todo and len(begun) < runner.ahead:
            rows = todo.popleft()
            try:
                begun.append((rows, runner.start(tokens, rows)))
                continue
            except DoesNotFitError:
                todo.appendleft(rows)
            runner.free()  # here: the error would still hold what was computed so far
            if not begun:  # else it is tried again when those are done
                todo = deque(_smaller(lengths, todo, budget, scores.reasons))
                continue
        rows, result = begun.popleft()
        scores.logits[rows], scores.states[rows] = result()
    for row in np.flatnonzero(~(np.isfinite(scores.logits).all(1) & np.isfinite(scores.states).all(1))):
        scores.reasons.setdefault(int(row), NOT_FINITE)
        scores.logits[row], scores.states[row] = np.nan, np.nan
    return scores


def _smaller(
    lengths: NDArray[np.int64], batches: deque[NDArray[np.int64]], budget: Budget, reasons: dict[int, str]
) -> list[NDArray[np.int64]]:
    """The rows of batches whose first does not fit, in smaller ones; without that first, where it is a single text."""
    first = batches[0]
    if len(first) == 1:
        reasons[int(first[0])] = OUT_OF_MEMORY
        return list(batches)[1:]
    budget.halve_below(len(first) * int(lengths[first].max()))
    rows = np.concatenate(batches)
    return [rows[batch] for batch in token_batches(lengths[rows], budget.tokens)]
