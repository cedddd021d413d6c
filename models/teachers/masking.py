"""Which tokens a model that is pretrained has to guess, and what it is shown in their place.

Tokens are hidden one by one, or whole words at a time as jieba finds them: a character beside the rest of its word is
guessed from that word alone (Cui et al. 2019, arXiv:1906.08101).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from models.errors import SettingsError
from models.text.vocabulary import Encoded
from models.text.word_vocabulary import cut

RANDOM, KEPT = 0.1, 0.1  # of the hidden tokens: Devlin et al. 2018 (arXiv:1810.04805), section 3.1
_BLOCK = 1 << 12  # texts whose tokens are Python lists at a time


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
    distances: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Hide some tokens for the model to guess.

    Args:
        ids: (rows, length).
        candidates: Same shape, True where a token may be hidden.
        symbols: The tokenizer's.
        random: Decides.
        share: Of the candidates, that is hidden on average, whatever the words.
        distances: Of each token from the first of its word, (rows, length); candidates of one word are hidden together.
            None: each is a word.

    Returns:
        The ids to show (of the hidden, 80% are [MASK], 10% another token, 10% themselves), and which are
        hidden: at least one word if there is a candidate.
    """
    draw = random.random(ids.shape)
    if distances is not None:
        draw = np.take_along_axis(draw, np.arange(ids.shape[1]) - distances, axis=1)
    draw = np.where(candidates, draw, 2.0)
    hidden = draw < share
    if candidates.any() and not hidden.any():
        hidden = draw == draw.min()
    kind = random.random(ids.shape)
    others = symbols.ordinary if len(symbols.ordinary) else np.array([symbols.mask])
    drawn = others[random.integers(0, len(others), ids.shape)]
    shown = np.where(kind < 1 - RANDOM - KEPT, symbols.mask, np.where(kind < 1 - KEPT, drawn, ids))
    return np.where(hidden, shown, ids), hidden


def word_distances(tokenizer: Any, texts: Sequence[str], max_tokens: int) -> Encoded:
    """How far each token of some texts is from the first token of its word.

    Args:
        tokenizer: Tells where its tokens stand in a text.
        texts: The texts.
        max_tokens: Where each is cut.

    Returns:
        A row a text as long as `tokenise` makes it; special tokens are words of their own.

    Raises:
        SettingsError: The tokenizer does not tell.
        EnvError: jieba is not installed.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise SettingsError(
            f"teacher.pretrain_masking: whole_words: {type(tokenizer).__name__} does not tell where its tokens stand "
            "in a text, expected a fast tokenizer; set tokens"
        )
    rows = [np.zeros(0, np.int32), *_distances(tokenizer, texts, max_tokens)]
    return Encoded(np.concatenate(rows), np.cumsum([len(row) for row in rows], dtype=np.int64))


def _distances(tokenizer: Any, texts: Sequence[str], max_tokens: int) -> Iterator[NDArray[np.int32]]:
    for start in range(0, len(texts), _BLOCK):
        block = list(texts[start : start + _BLOCK])
        spans = tokenizer(block, truncation=True, max_length=max_tokens, return_offsets_mapping=True)["offset_mapping"]
        for text, places in zip(block, spans, strict=True):
            yield _in_words([len(word) for word in cut(text)], np.array(places, np.int64).reshape(-1, 2))


def _in_words(lengths: Sequence[int], places: NDArray[np.int64]) -> NDArray[np.int32]:
    """Distances of tokens, by their places (first character, one past the last) and the lengths of a text's words."""
    tokens = np.arange(len(places))
    word_of = np.append(np.repeat(np.arange(len(lengths)), lengths), -1)
    # By a token's last character: those of SentencePiece may begin with the space before a word.
    words = np.where(places[:, 0] == places[:, 1], -1 - tokens, word_of[places[:, 1] - 1])
    begins = np.append(True, words[1:] != words[:-1])[: len(words)]
    return (tokens - np.maximum.accumulate(np.where(begins, tokens, 0))).astype(np.int32)
