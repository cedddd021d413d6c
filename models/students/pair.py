"""Pairs of texts: one network reads both, and their features are compared."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.students.student import Student
from models.text.vocabulary import PAD, SEPARATOR


class Pair(Student):
    """Two texts in one row of ids, `first SEPARATOR second`, each read by the same network, and compared.

    The features are those of either, their distance and their product (Conneau et al. 2017, arXiv:1705.02364).
    A row without a separator is a first text with an empty second.
    """

    def __init__(self, encoder: Student, dropout: float) -> None:
        super().__init__(encoder.labels, 1, 4 * encoder.width)
        encoder.head = nn.Identity()  # type: ignore[assignment]  # the pair's head reads both
        self.encoder = encoder
        self.padded = encoder.padded
        self.add_head(dropout)

    def features(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """First, second, distance and product: (batch, 4 * width of the encoder)."""
        first, second = (self.encoder.features(*part) for part in split_pair(ids, lengths, self.encoder.min_length))
        return torch.cat([first, second, (first - second).abs(), first * second], dim=1)


def split_pair(ids: Tensor, lengths: Tensor, min_length: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Rows of `first SEPARATOR second` as two batches of ids and lengths, each at least `min_length` wide."""
    columns = torch.arange(ids.shape[1] + min_length, device=ids.device)[None, :]
    wide = F.pad(ids, (0, min_length), value=PAD)
    separators = (wide == SEPARATOR) & (columns < lengths[:, None])
    at = torch.where(separators.any(1), separators.int().argmax(1), lengths)
    rest = (lengths - at - 1).clamp(min=0)
    shifted = wide.gather(1, (columns + at[:, None] + 1).clamp(max=wide.shape[1] - 1))
    first = wide.masked_fill(columns >= at[:, None], PAD)
    second = shifted.masked_fill(columns >= rest[:, None], PAD)
    return (first, at), (second, rest)
