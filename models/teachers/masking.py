"""Which tokens a model that is pretrained has to guess, and what it is shown in their place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

RANDOM, KEPT = 0.1, 0.1  # of the hidden tokens: Devlin et al. 2018 (arXiv:1810.04805), section 3.1


@dataclass(frozen=True, slots=True)
class MaskSymbols:
    """The symbols of a tokenizer, as far as masking is concerned.

    Attributes:
        mask: The id of [MASK].
        ordinary: The ids of all symbols that are not special, rising, int64: they may be hidden, and stand in for
            others.
    """

    mask: int
    ordinary: NDArray[np.int64]

    @classmethod
    def of(cls, tokenizer: Any) -> Self:
        """Those of a Hugging Face tokenizer that has a mask symbol."""
        special = set(tokenizer.all_special_ids)
        ordinary = sorted(set(tokenizer.get_vocab().values()) - special)
        return cls(int(tokenizer.mask_token_id), np.array(ordinary, np.int64))

    def may_be_hidden(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Where ids are no special symbols, padding included; the same shape."""
        return np.isin(ids, self.ordinary)


def mask_tokens(
    ids: NDArray[np.int64],
    candidates: NDArray[np.bool_],
    symbols: MaskSymbols,
    random: np.random.Generator,
    share: float,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Hide some tokens for the model to guess.

    Args:
        ids: (rows, length).
        candidates: Same shape, True where a token may be hidden.
        symbols: The tokenizer's.
        random: Decides.
        share: Of the candidates, that is hidden on average.

    Returns:
        The ids to show (of the hidden, 80% are [MASK], 10% another token, 10% themselves), and which are
        hidden: at least one if there is a candidate.
    """
    draw = np.where(candidates, random.random(ids.shape), 2.0)
    hidden = draw < share
    if candidates.any() and not hidden.any():
        hidden = draw == draw.min()
    kind = random.random(ids.shape)
    others = symbols.ordinary if len(symbols.ordinary) else np.array([symbols.mask])
    drawn = others[random.integers(0, len(others), ids.shape)]
    shown = np.where(kind < 1 - RANDOM - KEPT, symbols.mask, np.where(kind < 1 - KEPT, drawn, ids))
    return np.where(hidden, shown, ids), hidden
