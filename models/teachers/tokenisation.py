"""Texts to token ids in bulk, and batches of them as a transformer reads them, for any Hugging Face tokenizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import TokenizersBackend

from models.text.vocabulary import Encoded

_BLOCK = 1 << 14  # texts whose ids are Python lists at a time


@dataclass(frozen=True, slots=True)
class Tokens:
    """Texts, or pairs of texts, as token ids."""

    encoded: Encoded
    pairs: bool = False

    def __len__(self) -> int:
        return len(self.encoded)


def tokenise(tokenizer: Any, texts: Sequence[str], max_tokens: int, second: Sequence[str] | None = None) -> Tokens:
    """Token ids of some texts, special tokens included, each cut at `max_tokens`; of a pair the longer one is cut."""
    ids, lengths = [np.zeros(0, np.int32)], [np.zeros(1, np.int64)]
    for start in range(0, len(texts), _BLOCK):
        block = slice(start, start + _BLOCK)
        rows = _ids(tokenizer, list(texts[block]), None if second is None else list(second[block]), max_tokens)
        lengths.append(np.fromiter(map(len, rows), np.int64, len(rows)))
        ids.append(np.fromiter(chain.from_iterable(rows), np.int32, int(lengths[-1].sum())))
    return Tokens(Encoded(np.concatenate(ids), np.cumsum(np.concatenate(lengths))), second is not None)


def _ids(tokenizer: Any, texts: list[str], second: list[str] | None, max_tokens: int) -> list[list[int]]:
    """Token ids of each text, as the tokenizer's own call gives them.

    What that call does beside is a third of its time, and all of it under Python's lock, for which a GPU waits. So it
    is made for the first text alone, which sets the tokenizer up, and what it calls is called for all.
    """

    def call(texts: list[str], second: list[str] | None) -> list[list[int]]:
        found: list[list[int]] = tokenizer(
            texts, second, truncation=True, max_length=max_tokens, return_attention_mask=False,
            return_token_type_ids=False,
        )["input_ids"]  # fmt: skip
        return found

    if getattr(type(tokenizer), "_encode_plus", None) is not TokenizersBackend._encode_plus:
        return call(texts, second)
    call(texts[:1], None if second is None else second[:1])
    given = texts if second is None else list(zip(texts, second, strict=True))
    return [one.ids for one in tokenizer.backend_tokenizer.encode_batch_fast(given)]


def inputs_of(tokenizer: Any, config: Any, tokens: Tokens, rows: NDArray[np.int64]) -> dict[str, Tensor]:
    """One batch as a model of this config reads it, on the CPU: padded with the tokenizer's own symbol and masked."""
    ids, lengths = tokens.encoded.padded(rows, at_least=1)
    attention = np.arange(ids.shape[1]) < lengths[:, None]
    ids[~attention] = tokenizer.pad_token_id
    inputs = {"input_ids": ids, "attention_mask": attention.astype(np.int64)}
    if tokens.pairs and getattr(config, "type_vocab_size", 0) > 1:
        ends = ids == tokenizer.sep_token_id
        inputs["token_type_ids"] = (ends.cumsum(1) - ends > 0).astype(np.int64)  # 1 from the second text on
    return {name: torch.from_numpy(value) for name, value in inputs.items()}


def on_device(inputs: dict[str, Tensor], where: torch.device) -> dict[str, Tensor]:
    """The batch's tensors on a device."""
    return {name: value.to(where, non_blocking=True) for name, value in inputs.items()}
