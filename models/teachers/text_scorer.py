"""Scores texts by a teacher's network: token ids first, in bulk, then batches of like length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.teachers.batch_scoring import REFUSED, Budget, Runner, TextScores, score_tokens
from models.teachers.tokenisation import Tokens, tokenise


@dataclass(frozen=True)
class Prepared:
    """Texts as token ids.

    Attributes:
        tokens: Of the texts that the tokenizer takes.
        rows: Which of the texts these are.
        texts: How many texts there were.
    """

    tokens: Tokens
    rows: NDArray[np.int64]
    texts: int


@dataclass(frozen=True)
class TextScorer:
    """A teacher as its scoring needs it.

    Attributes:
        tokenizer: Its tokenizer.
        max_tokens: Longer texts are cut to this many tokens.
        labels: How many logits it gives.
        width: Of its pooled states.
        runner: Its network.
        budget: Tokens of a batch; halved where the memory does not hold them.
    """

    tokenizer: Any
    max_tokens: int
    labels: int
    width: int
    runner: Runner
    budget: Budget

    def prepare(self, texts: Sequence[str], second: Sequence[str] | None = None) -> Prepared:
        """Token ids of texts, or of pairs of them; one that the tokenizer refuses is left out."""
        try:
            return Prepared(self._tokens(texts, second), np.arange(len(texts)), len(texts))
        except Exception:  # tokenizers raise whatever their rules raise, for all texts at once
            taken = np.array([row for row in range(len(texts)) if self._takes(texts, second, row)], np.int64)
        kept = [texts[row] for row in taken]
        others = None if second is None else [second[row] for row in taken]
        return Prepared(self._tokens(kept, others), taken, len(texts))

    def score(self, prepared: Prepared) -> TextScores:
        """Logits and pooled states of texts; those without have a reason."""
        found = score_tokens(self.runner, prepared.tokens, (self.labels, self.width), self.budget)
        if len(prepared.rows) == prepared.texts:
            return found
        logits, states = (np.full((prepared.texts, size), np.nan, np.float32) for size in (self.labels, self.width))
        logits[prepared.rows], states[prepared.rows] = found.logits, found.states
        reasons = dict.fromkeys(set(range(prepared.texts)).difference(prepared.rows.tolist()), REFUSED)
        reasons |= {int(prepared.rows[row]): reason for row, reason in found.reasons.items()}
        return TextScores(logits, states, reasons)

    def _tokens(self, texts: Sequence[str], second: Sequence[str] | None) -> Tokens:
        return tokenise(self.tokenizer, texts, self.max_tokens, second)

    def _takes(self, texts: Sequence[str], second: Sequence[str] | None, row: int) -> bool:
        try:
            self._tokens(texts[row : row + 1], None if second is None else second[row : row + 1])
        except Exception:
            return False
        return True
