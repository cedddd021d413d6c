"""Texts to token ids in bulk, and batches of them through a transformer, for any Hugging Face tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.training.devices import half_precision
from models.vocabulary import Encoded


@dataclass(frozen=True, slots=True)
class Tokens:
    """Texts, or pairs of texts, as token ids."""

    encoded: Encoded
    pairs: bool = False

    def __len__(self) -> int:
        return len(self.encoded)


def tokenise(tokenizer: Any, texts: Sequence[str], max_tokens: int, second: Sequence[str] | None = None) -> Tokens:
    """Token ids of some texts, special tokens included, each cut at `max_tokens`; of a pair the longer one is cut."""
    if not len(texts):
        return Tokens(Encoded(np.zeros(0, np.int32), np.zeros(1, np.int64)), second is not None)
    rows = tokenizer(
        list(texts),
        None if second is None else list(second),
        truncation=True,
        max_length=max_tokens,
        return_attention_mask=False,
        return_token_type_ids=False,
    )["input_ids"]
    offsets = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    ids = np.fromiter((token for row in rows for token in row), np.int32, int(offsets[-1]))
    return Tokens(Encoded(ids, offsets), second is not None)


def forward(model: Any, tokenizer: Any, tokens: Tokens, rows: NDArray[np.int64], **options: bool) -> Any:
    """One batch through the model, padded with the tokenizer's own symbol and masked."""
    ids, lengths = tokens.encoded.padded(rows, at_least=1)
    attention = np.arange(ids.shape[1]) < lengths[:, None]
    ids[~attention] = tokenizer.pad_token_id
    given = {"input_ids": ids, "attention_mask": attention.astype(np.int64)}
    if tokens.pairs and getattr(model.config, "type_vocab_size", 0) > 1:
        ends = ids == tokenizer.sep_token_id
        given["token_type_ids"] = (ends.cumsum(1) - ends > 0).astype(np.int64)  # 1 from the second text on
    with half_precision(model.device):
        return model(**{name: torch.from_numpy(value).to(model.device) for name, value in given.items()}, **options)
