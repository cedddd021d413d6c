"""TextCNN: convolutions over character n-grams, max-pooled over time."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from models.student_settings import TextCNNSettings
from models.students import table_convolution
from models.students.student import Student


class TextCNN(Student):
    """Filters over character n-grams, each remembered by its largest response (Kim 2014, arXiv:1408.5882).

    Where it is trained on a CPU, a convolution is a look-up in tables (`table_convolution`). Elsewhere it is one matrix
    product over windows of neighbouring embeddings: the same sums as `Conv1d`.
    """

    def __init__(self, settings: TextCNNSettings, vocabulary_size: int, labels: int) -> None:
        super().__init__(labels, max(settings.widths), settings.filters * len(settings.widths))
        self.widths = settings.widths
        self.embedding = nn.Embedding(vocabulary_size, settings.embedding)
        self.filters = nn.ModuleList(
            nn.Linear(width * settings.embedding, settings.filters) for width in settings.widths
        )
        self.add_head(settings.dropout)

    def features(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """All filters' maxima after ReLU, by width."""
        effective = lengths.clamp(min=self.min_length)
        if self.training and ids.device.type == "cpu":
            maxima = table_convolution.strongest(self.embedding, cast(list[nn.Linear], self.filters), ids, effective)
        else:
            embedded = self.embedding(ids)
            maxima = torch.cat(
                [
                    _strongest(embedded, effective, width, layer)
                    for width, layer in zip(self.widths, self.filters, strict=True)
                ],
                dim=1,
            )
        return torch.relu(maxima)


def _strongest(embedded: Tensor, effective: Tensor, width: int, layer: nn.Module) -> Tensor:
    """The largest response of each filter over a text's own windows: (batch, length, d) -> (batch, filters)."""
    windows = embedded.shape[1] - width + 1
    unfolded = torch.cat([embedded[:, offset : offset + windows] for offset in range(width)], dim=2)
    responses: Tensor = layer(unfolded)
    # Window i covers the characters i to i + width - 1: it is the text's own iff it ends within the text.
    outside = torch.arange(windows, device=embedded.device)[None, :] + width > effective[:, None]
    return responses.masked_fill(outside[:, :, None], float("-inf")).amax(dim=1)
