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
from models.evaluation.predictions import to_logits
from models.tasks import TeacherSettings
from models.teachers.checkpoint_checks import check_known
from models.teachers.fine_tuning_rows import FineTuningRows
from models.teachers.huggingface import load_base
from models.teachers.pooling import logits_and_states
from models.teachers.teacher import Teacher
from models.teachers.tokenisation import Tokens, inputs_of, on_device, tokenise
from models.training.devices import device


class TeacherInTraining:
    """A transformer that learns: by itself (`fine_tune`), or beside a student in a joint scheme.

    Attributes:
        module: The network.
        learning_rate: Of its own steps.
        batch: Rows of each of these.
        epochs: How often it goes through its texts.
        tokens: Its texts.
        tokenizer: What made them tokens.
    """

    def __init__(
        self,
        module: Any,
        tokenizer: Any,
        tokens: Tokens,
        labels: tuple[str, ...],
        settings: TeacherSettings,
        layer: int,
    ) -> None:
        self.module = module
        self.learning_rate = settings.learning_rate or rate_of(module.config.hidden_size)
        self.batch, self.epochs = settings.batch, settings.epochs
        self.tokens = tokens
        self.tokenizer = tokenizer
        self._labels = labels
        self._layer = layer

    @classmethod
    def of(cls, base: str | Path, rows: FineTuningRows, settings: TeacherSettings, layer: int = -1) -> Self:
        """A base with a new last layer that gives each label its frequency; `layer` is the one whose [CLS] is read.

        Raises: what `fine_tune` raises; `SettingsError` for a layer that the base does not have.
        """
        rows.check()
        tokenizer, model = load_base(base, rows.labels, rows.kind, settings.pooling)
        depth = getattr(model.config, "num_hidden_layers", 0)
        if not -depth - 1 <= layer <= depth:
            raise SettingsError(f"student.scheme.hint_layer: got {layer}, {base} has {depth} layers")
        _start_at_base_rates(model, rows)
        limit = min(settings.max_tokens, getattr(model.config, "max_position_embeddings", settings.max_tokens))
        model.config.pingti_max_tokens = limit
        tokens = tokenise(tokenizer, rows.texts, limit, rows.second)
        check_known(base, tokenizer, tokens)
        return cls(model.to(device()), tokenizer, tokens, rows.labels, settings, layer)

    @property
    def digest(self) -> str:
        """SHA-256 of its weights as they are now, its texts and its schedule, 64 hex digits."""
        texts = [digests.of_bytes(part.tobytes()) for part in (self.tokens.encoded.ids, self.tokens.encoded.offsets)]
        return digests.of_json([self.teacher().digest, texts, self.learning_rate, self.batch, self.epochs, self._layer])

    @property
    def cls_width(self) -> int:
        """Width of the [CLS] states."""
        return int(self.module.config.hidden_size)

    def logits_and_cls(self, rows: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """Logits (rows, labels) and the layer's [CLS] states (rows, width) of some of its texts."""
        inputs = inputs_of(self.tokenizer, self.module.config, self.tokens, rows)
        return logits_and_states(self.module, on_device(inputs, self.module.device), self._layer)

    def teacher(self) -> Teacher:
        """The teacher as it is now; it shares its numbers with this one."""
        return Teacher(self._labels, self.module.config.pingti_max_tokens, self.module.eval(), self.tokenizer)


def rate_of(width: int) -> float:
    """The learning rate of fine-tuning for a base of this width: 5e-4 at 128, 2e-4 at 256, 1e-4 at 384, 4e-5 at 768.

    A power law through what fits small BERTs and the published 2e-5 to 5e-5 of BERT-base (Devlin et al. 2019, A.3).
    """
    return float(f"{5e-4 * (128 / width) ** 1.4:.1g}")


def _start_at_base_rates(model: Any, rows: FineTuningRows) -> None:
    """Set the new last layer's bias to the labels' frequencies, as the students' is: most are rare."""
    head = getattr(model, "classifier", None)
    if isinstance(head, nn.Linear) and head.bias is not None:
        rates = (np.where(rows.mask, rows.targets, 0).sum(0) + 1) / (rows.mask.sum(0) + 2)
        with torch.no_grad():
            head.bias.copy_(torch.from_numpy(to_logits(rates, rows.kind)))
