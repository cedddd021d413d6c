"""A teacher under training: by itself in `fine_tuning`, or beside a student in a joint scheme."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models import digests
from models.errors import SettingsError
from models.evaluation.predictions import logits_of
from models.tasks import TeacherSettings
from models.teachers.fine_tuning_rows import FineTuningRows
from models.teachers.huggingface import load_base
from models.teachers.teacher import Teacher
from models.teachers.tokenisation import Tokens, forward, tokenise
from models.training.devices import device


class TeacherInTraining:
    """A transformer that learns: by itself (`fine_tune`), or beside a student in a joint scheme.

    Attributes:
        module: The network.
        learning_rate: Of its own steps.
        batch: Rows of each of these.
        epochs: How often it goes through its texts.
        tokens: Its texts.
    """

    def __init__(
        self, module: Any, tokenizer: Any, tokens: Tokens, lesson: FineTuningRows, settings: TeacherSettings, layer: int
    ) -> None:
        self.module = module
        self.learning_rate, self.batch, self.epochs = settings.learning_rate, settings.batch, settings.epochs
        self.tokens = tokens
        self._tokenizer = tokenizer
        self._labels = lesson.labels
        self._layer = layer

    @classmethod
    def of(cls, base: str | Path, lesson: FineTuningRows, settings: TeacherSettings, layer: int = -1) -> Self:
        """A base with a new last layer that answers with each label's frequency; `layer` is whose [CLS] it tells.

        Raises: what `fine_tune` raises; `SettingsError` for a layer that the base does not have.
        """
        lesson.check()
        tokenizer, model = load_base(base, lesson.labels, lesson.kind)
        depth = getattr(model.config, "num_hidden_layers", 0)
        if not -depth - 1 <= layer <= depth:
            raise SettingsError(f"student.hint_layer: got {layer}, {base} has {depth} layers")
        _start_at_base_rates(model, lesson)
        limit = min(settings.max_tokens, getattr(model.config, "max_position_embeddings", settings.max_tokens))
        model.config.pingti_max_tokens = limit
        tokens = tokenise(tokenizer, lesson.texts, limit, lesson.second)
        return cls(model.to(device()), tokenizer, tokens, lesson, settings, layer)

    @property
    def digest(self) -> str:
        """SHA-256 of its weights as they are now, its texts and its schedule, 64 hex digits."""
        texts = [digests.of_bytes(part.tobytes()) for part in (self.tokens.encoded.ids, self.tokens.encoded.offsets)]
        return digests.of_json([self.teacher().digest, texts, self.learning_rate, self.batch, self.epochs, self._layer])

    @property
    def state_width(self) -> int:
        """Width of the [CLS] states."""
        return int(self.module.config.hidden_size)

    def answer(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Logits (rows, labels) and the layer's [CLS] states (rows, width) of some of its texts."""
        answer = forward(self.module, self._tokenizer, self.tokens, rows, output_hidden_states=True)
        return answer.logits.float(), answer.hidden_states[self._layer][:, 0].float()

    def teacher(self) -> Teacher:
        """The teacher as it is now; it shares its numbers with this one."""
        return Teacher(self._labels, self.module.config.pingti_max_tokens, self.module.eval(), self._tokenizer)


def _start_at_base_rates(model: Any, lesson: FineTuningRows) -> None:
    """Let the new last layer answer with each label's frequency, as the students' does: most are rare."""
    head = getattr(model, "classifier", None)
    if isinstance(head, nn.Linear) and head.bias is not None:
        rates = (np.where(lesson.mask, lesson.targets, 0).sum(0) + 1) / (lesson.mask.sum(0) + 2)
        with torch.no_grad():
            head.bias.copy_(torch.from_numpy(logits_of(rates, lesson.kind)))
