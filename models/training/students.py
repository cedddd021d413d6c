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
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from models.tasks import StudentKind, StudentSettings, TaskKind
from models.training import folding
from models.vocabulary import PAD, SEPARATOR, Encoded


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
        """What is known of each text before the last layer: (batch, width); the arguments are those of `forward`."""
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


class TextCNN(Student):
    """Filters over character n-grams, each remembered by its strongest answer (Kim 2014, arXiv:1408.5882).

    Where it is trained on a CPU, a convolution is a look-up in tables (`folding`). Elsewhere it is one matrix product
    over windows of neighbouring embeddings: the same sums as `Conv1d`.
    """

    def __init__(self, settings: StudentSettings, vocabulary_size: int, labels: int) -> None:
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
        return torch.relu(maxima)


class BOW(Student):
    """A text as the sum of its characters: one linear layer over the sum, with ReLU.

    A sum grows with its text's length, and gradients with the sum: batches of like length pull by turns at the short
    texts' scale and the long ones', and cost a point of F1 (`make bench-train`). Padding is never looked up, so none
    are needed.
    """

    padded = False

    def __init__(self, settings: StudentSettings, vocabulary_size: int, labels: int) -> None:
        super().__init__(labels, 1, settings.filters)
        self.embedding = nn.Embedding(vocabulary_size, settings.embedding)
        with torch.no_grad():  # sums of a whole text, so each character has to be small at first
            self.embedding.weight.mul_(0.1)
        self.layer = nn.Linear(settings.embedding, settings.filters)
        self.add_head(settings.dropout)

    def features(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """The layer's answers to the sum after ReLU; an empty text is one PAD."""
        effective = lengths.clamp(min=1)
        own = ids[~beyond(ids, effective)]  # text after text
        sums = F.embedding_bag(own, self.embedding.weight, effective.cumsum(0) - effective, mode="sum")
        return torch.relu(self.layer(sums))


class Recurrent(Student):
    """A bidirectional LSTM or GRU, each unit remembered by its largest state.

    Conneau et al. 2017, arXiv:1705.02364.
    """

    def __init__(self, settings: StudentSettings, vocabulary_size: int, labels: int) -> None:
        super().__init__(labels, 1, 2 * settings.hidden)
        self.embedding = nn.Embedding(vocabulary_size, settings.embedding)
        cell = {"bilstm": nn.LSTM, "bigru": nn.GRU}[settings.kind]
        self.cell = cell(settings.embedding, settings.hidden, batch_first=True, bidirectional=True)
        self.add_head(settings.dropout)

    def features(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """The largest state of each unit over a text's own characters; an empty text is one PAD."""
        effective = lengths.clamp(min=1)
        embedded = self.embedding(ids)
        if bool((effective == ids.shape[1]).all()):
            states = self.cell(embedded)[0]
        else:  # so that the way back begins at a text's own end
            packed = pack_padded_sequence(embedded, effective.cpu(), batch_first=True, enforce_sorted=False)
            states = pad_packed_sequence(self.cell(packed)[0], batch_first=True, total_length=ids.shape[1])[0]
        largest: Tensor = states.masked_fill(beyond(ids, effective)[:, :, None], float("-inf")).amax(1)
        return largest


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


def beyond(ids: Tensor, effective: Tensor) -> Tensor:
    """Bool (batch, length): True beyond a text's own characters."""
    return torch.arange(ids.shape[1], device=ids.device)[None, :] >= effective[:, None]


def _strongest(embedded: Tensor, effective: Tensor, width: int, layer: nn.Module) -> Tensor:
    """The largest answer of each filter over a text's own windows: (batch, length, d) -> (batch, filters)."""
    windows = embedded.shape[1] - width + 1
    unfolded = torch.cat([embedded[:, offset : offset + windows] for offset in range(width)], dim=2)
    answers: Tensor = layer(unfolded)
    # Window i covers the characters i to i + width - 1: it is the text's own iff it ends within the text.
    outside = torch.arange(windows, device=embedded.device)[None, :] + width > effective[:, None]
    return answers.masked_fill(outside[:, :, None], float("-inf")).amax(dim=1)


_KINDS: dict[StudentKind, type[TextCNN | BOW | Recurrent]] = {
    "textcnn": TextCNN, "bow": BOW, "bilstm": Recurrent, "bigru": Recurrent,
}  # fmt: skip


def build_student(
    settings: StudentSettings, vocabulary_size: int, labels: int, kind: TaskKind = "multi_label"
) -> Student:
    """A fresh student of the kind the settings ask for, initialised from torch's random state."""
    student = _KINDS[settings.kind](settings, vocabulary_size, labels)
    return Pair(student, settings.dropout) if kind == "pair" else student


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
            answer, _ = student(torch.from_numpy(ids).to(where), torch.from_numpy(lengths).to(where))
            logits[rows] = answer.float().cpu().numpy()
    return logits
