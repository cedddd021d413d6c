"""Student networks: small enough to score a whole history on CPU cores.

The contract of all of them: a text's answer never depends on the texts beside it in its batch. A text is as
long as its characters, but at least as long as the widest filter; the difference is filled with the padding
symbol, which has an embedding of its own and is learnt like any other. What a batch adds beyond is masked.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.tasks import StudentSettings, TaskKind
from models.training import folding
from models.vocabulary import Encoded


class Student(nn.Module):
    """A network from character ids to one logit per label.

    Attributes:
        labels: How many logits there are.
        min_length: The narrowest batch it accepts: shorter texts are padded to this.
    """

    head: nn.Linear

    def __init__(self, labels: int, min_length: int) -> None:
        super().__init__()
        self.labels = labels
        self.min_length = min_length

    def forward(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Read a batch.

        Args:
            ids: int64 (batch, length), length at least `min_length`, filled up with PAD on the right.
            lengths: int64 (batch,), the characters of each text; may be 0.

        Returns:
            Logits (batch, labels) and the features before the last layer (batch, width).
        """
        raise NotImplementedError(f"{type(self).__name__} has no forward pass")


class TextCNN(Student):
    """Filters over character n-grams, each remembered by its strongest answer (Kim 2014, arXiv:1408.5882).

    Where it is trained on a CPU, a convolution is a look-up in tables (`folding`). Elsewhere it is one matrix product
    over windows of neighbouring embeddings: the same sums as `Conv1d`.
    """

    def __init__(self, settings: StudentSettings, vocabulary_size: int, labels: int) -> None:
        super().__init__(labels, max(settings.widths))
        self.widths = settings.widths
        self.embedding = nn.Embedding(vocabulary_size, settings.embedding)
        self.filters = nn.ModuleList(
            nn.Linear(width * settings.embedding, settings.filters) for width in settings.widths
        )
        self.dropout = nn.Dropout(settings.dropout)
        self.head = nn.Linear(settings.filters * len(settings.widths), labels)

    def forward(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """See `Student.forward`; the features are all filters' maxima after ReLU, by width."""
        effective = lengths.clamp(min=self.min_length)
        if self.training and ids.device.type == "cpu":
            maxima = folding.strongest(self.embedding, cast(list[nn.Linear], self.filters), ids, effective)
        else:
            embedded = self.embedding(ids)
            maxima = torch.cat(
                [
                    _strongest(embedded, effective, width, layer)
                    for width, layer in zip(self.widths, self.filters, strict=True)
                ],
                dim=1,
            )
        features = torch.relu(maxima)
        return self.head(self.dropout(features)), features


def _strongest(embedded: Tensor, effective: Tensor, width: int, layer: nn.Module) -> Tensor:
    """The largest answer of each filter over a text's own windows: (batch, length, d) -> (batch, filters)."""
    windows = embedded.shape[1] - width + 1
    unfolded = torch.cat([embedded[:, offset : offset + windows] for offset in range(width)], dim=2)
    answers: Tensor = layer(unfolded)
    # Window i covers the characters i to i + width - 1: it is the text's own iff it ends within the text.
    outside = torch.arange(windows, device=embedded.device)[None, :] + width > effective[:, None]
    return answers.masked_fill(outside[:, :, None], float("-inf")).amax(dim=1)


def build_student(settings: StudentSettings, vocabulary_size: int, labels: int) -> Student:
    """A fresh student of the kind the settings ask for, initialised from torch's random state."""
    kinds = {"textcnn": TextCNN}
    return kinds[settings.kind](settings, vocabulary_size, labels)


def as_probabilities(logits: Tensor, outcome: TaskKind) -> Tensor:
    """Logits (texts, labels) as a student is served: each label by itself, or classes that share one probability."""
    return torch.sigmoid(logits) if outcome == "multi_label" else torch.softmax(logits, dim=1)


def predict(student: Student, encoded: Encoded, batch: int = 256) -> NDArray[np.float32]:
    """A student's logits, (texts, labels) float32 in the texts' order; leaves it in evaluation mode."""
    student.eval()
    where = next(student.parameters()).device
    logits = np.empty((len(encoded), student.labels), np.float32)
    order = np.argsort(encoded.lengths, kind="stable")
    with torch.inference_mode():
        for start in range(0, len(order), batch):
            rows = order[start : start + batch]
            ids, lengths = encoded.padded(rows, at_least=student.min_length)
            answer, _ = student(torch.from_numpy(ids).to(where), torch.from_numpy(lengths).to(where))
            logits[rows] = answer.float().cpu().numpy()
    return logits
