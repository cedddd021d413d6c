"""BiLSTM and BiGRU: bidirectional recurrent networks, max-pooled over time."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from models.student_settings import RecurrentSettings
from models.students.student import Student, beyond


class Recurrent(Student):
    """A bidirectional LSTM or GRU, each unit remembered by its largest state.

    Conneau et al. 2017, arXiv:1705.02364.
    """

    def __init__(self, settings: RecurrentSettings, vocabulary_size: int, labels: int) -> None:
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
