"""The base of every student network: its contract, its probabilities, and its logits of many texts.

The contract: a text's logits never depend on the texts beside it in its batch. A text is as
long as its characters, but at least as long as the widest filter; the difference is filled with the padding
symbol, which has an embedding of its own and is learnt like any other. What a batch adds beyond is masked.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.tasks import TaskKind
from models.text.vocabulary import Encoded


class Student(nn.Module):
    """A network from ids to one logit per label.

    Attributes:
        labels: How many logits there are.
        min_length: The narrowest batch it accepts: shorter texts are padded to this.
        width: How many features there are before the last layer.
        padded: Whether a batch costs as much as its longest text would everywhere, so that like lengths pay.
    """

    head: nn.Linear
    padded = True

    def __init__(self, labels: int, min_length: int, width: int) -> None:
        super().__init__()
        self.labels = labels
        self.min_length = min_length
        self.width = width

    def add_head(self, dropout: float) -> None:
        """The last layer, and the dropout before it; called last, as what is made first is drawn first."""
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.width, self.labels)

    def features(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """The features before the last layer, (batch, width); the arguments are those of `forward`."""
        raise NotImplementedError(f"{type(self).__name__} has no features")

    def forward(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Read a batch.

        Args:
            ids: int64 (batch, length), length at least `min_length`, filled up with PAD on the right.
            lengths: int64 (batch,), the characters of each text; may be 0.

        Returns:
            Logits (batch, labels) and the features before the last layer (batch, width).
        """
        features = self.features(ids, lengths)
        return self.head(self.dropout(features)), features


def beyond(ids: Tensor, effective: Tensor) -> Tensor:
    """Bool (batch, length): True beyond a text's own characters."""
    return torch.arange(ids.shape[1], device=ids.device)[None, :] >= effective[:, None]


def as_probabilities(logits: Tensor, outcome: TaskKind) -> Tensor:
    """Logits (texts, labels) as a student is served: each label by itself, or classes that share one probability."""
    return torch.softmax(logits, dim=1) if outcome == "multi_class" else torch.sigmoid(logits)


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
            output, _ = student(torch.from_numpy(ids).to(where), torch.from_numpy(lengths).to(where))
            logits[rows] = output.float().cpu().numpy()
    return logits
