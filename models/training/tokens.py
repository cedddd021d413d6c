"""Texts to token ids in bulk, and batches of them through a transformer, for any Hugging Face tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.training.devices import half_precision
from models.vocabulary import Encoded


def tokenise(tokenizer: Any, texts: Sequence[str], max_tokens: int) -> Encoded:
    """Token ids of some texts, special tokens included, each cut at `max_tokens`."""
    if not len(texts):
        return Encoded(np.zeros(0, np.int32), np.zeros(1, np.int64))
    rows = tokenizer(
        list(texts),
        truncation=True,
        max_length=max_tokens,
        return_attention_mask=False,
        return_token_type_ids=False,
    )["input_ids"]
    offsets = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(row) for row in rows], out=offsets[1:])
    ids = np.fromiter((token for row in rows for token in row), np.int32, int(offsets[-1]))
    return Encoded(ids, offsets)


def forward(model: Any, tokenizer: Any, encoded: Encoded, rows: NDArray[np.int64], **options: bool) -> Any:
    """One batch through the model, padded with the tokenizer's own symbol and masked."""
    ids, lengths = encoded.padded(rows, at_least=1)
    attention = np.arange(ids.shape[1]) < lengths[:, None]
    ids[~attention] = tokenizer.pad_token_id
    with half_precision(model.device):
        return model(
            input_ids=torch.from_numpy(ids).to(model.device),
            attention_mask=torch.from_numpy(attention.astype(np.int64)).to(model.device),
            **options,
        )
