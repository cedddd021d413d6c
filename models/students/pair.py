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

    def __init__(self, one: Student, dropout: float) -> None:
        super().__init__(one.labels, 1, 4 * one.width)
        one.head = nn.Identity()  # type: ignore[assignment]  # it has no answer of its own
        self.one = one
        self.padded = one.padded
        self.add_head(dropout)

    def features(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """First, second, distance and product: (batch, 4 * width of the one)."""
        first, second = (self.one.features(*part) for part in split_pair(ids, lengths, self.one.min_length))
        return torch.cat([first, second, (first - second).abs(), first * second], dim=1)


def split_pair(ids: Tensor, lengths: Tensor, least: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Rows of `first SEPARATOR second` as two batches of ids and lengths, each at least `least` wide."""
    columns = torch.arange(ids.shape[1] + least, device=ids.device)[None, :]
    wide = F.pad(ids, (0, least), value=PAD)
    separators = (wide == SEPARATOR) & (columns < lengths[:, None])
    at = torch.where(separators.any(1), separators.int().argmax(1), lengths)
    rest = (lengths - at - 1).clamp(min=0)
    shifted = wide.gather(1, (columns + at[:, None] + 1).clamp(max=wide.shape[1] - 1))
    first = wide.masked_fill(columns >= at[:, None], PAD)
    second = shifted.masked_fill(columns >= rest[:, None], PAD)
    return (first, at), (second, rest)
