"""BOW: a bag of characters, summed and read by one layer."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.student_settings import BOWSettings
from models.students.student import Student, beyond


class BOW(Student):
    """A text as the sum of its characters: one linear layer over the sum, with ReLU.

    A sum grows with its text's length, and gradients with the sum: batches of like length pull by turns at the short
    texts' scale and the long ones', and cost a point of F1 (`make bench-train`). Padding is never looked up, so none
    are needed.
    """

    padded = False

    def __init__(self, settings: BOWSettings, vocabulary_size: int, labels: int) -> None:
        super().__init__(labels, 1, settings.filters)
        self.embedding = nn.Embedding(vocabulary_size, settings.embedding)
        with torch.no_grad():  # sums of a whole text, so each character has to be small at first
            self.embedding.weight.mul_(0.1)
        self.layer = nn.Linear(settings.embedding, settings.filters)
        self.add_head(settings.dropout)

    def features(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """The layer's outputs after ReLU; an empty text is one PAD."""
        effective = lengths.clamp(min=1)
        characters = ids[~beyond(ids, effective)]  # text after text
        sums = F.embedding_bag(characters, self.embedding.weight, effective.cumsum(0) - effective, mode="sum")
        return torch.relu(self.layer(sums))
