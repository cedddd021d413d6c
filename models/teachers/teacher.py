"""Teachers: fine-tuned transformers that give a text one logit per label.

Weights are read from safetensors files only, and no code that comes with a model is ever run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray

from models import digests
from models.errors import BundleError
from models.folders import publish
from models.teachers.huggingface import load, save
from models.teachers.pooling import logits_and_states
from models.teachers.tokenisation import inputs_of, on_device, tokenise
from models.training.devices import device


@dataclass(frozen=True)
class Teacher:
    """A fine-tuned transformer with its tokenizer.

    Attributes:
        labels: Label names, in the order of the logits.
        max_tokens: Longer texts are cut to this many tokens.
    """

    labels: tuple[str, ...]
    max_tokens: int
    model: Any
    tokenizer: Any

    @classmethod
    def open(cls, folder: Path) -> Self:
        """Read a teacher that `save` wrote.

        Raises:
            BundleError: The folder is missing, has no whole safetensors weights, or is none of ours.
        """
        tokenizer, model, lacking = load(folder)
        config = model.config
        if getattr(config, "pingti_max_tokens", None) is None:
            raise BundleError(f"{folder}: config.json lacks pingti_max_tokens, expected a teacher trained here")
        if lacking:
            raise BundleError(
                f"{folder}: {len(lacking)} of its weights are not in its files, such as {lacking[0]}, expected a whole "
                "teacher; copy it again or train it again"
            )
        labels = tuple(config.id2label[at] for at in range(config.num_labels))
        return cls(labels, config.pingti_max_tokens, model.to(device()).eval(), tokenizer)

    def save(self, folder: Path) -> Path:
        """Write config.json, model.safetensors and the tokenizer; the folder appears whole or not at all.

        Raises:
            BundleError: `folder` exists with other content.
        """
        return publish(folder, lambda staging: save(self.model, self.tokenizer, staging))

    @property
    def digest(self) -> str:
        """SHA-256 of weights, labels and tokenizer, 64 hex digits: equal teachers have equal digests."""
        weights = digests.of_weights(self.model.state_dict())
        vocabulary = self.tokenizer.get_vocab()
        return digests.of_json({"weights": weights, "labels": self.labels, "vocabulary": vocabulary})

    def score(
        self, texts: Sequence[str], *, second: Sequence[str] | None = None, batch: int = 64
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Logits and pooled states of some texts.

        Batches are consecutive slices of the texts as given, never re-ordered: the same texts in the same
        order and batch size give the same bits. Callers that sort by length first save the padding.

        Args:
            texts: Clean texts, no nulls.
            second: Of pairs, the second texts, no nulls; None of single texts.
            batch: Texts per forward pass.

        Returns:
            Logits (texts, labels), and the state that stands for a text (texts, hidden): [CLS], or the mean of its
            tokens where the teacher pools so. Both float32.
        """
        tokens = tokenise(self.tokenizer, texts, self.max_tokens, second)
        logits = np.empty((len(texts), len(self.labels)), np.float32)
        states = np.empty((len(texts), self.model.config.hidden_size), np.float32)
        self.model.eval()
        with torch.inference_mode():
            for start in range(0, len(texts), batch):
                rows = np.arange(start, min(start + batch, len(texts)))
                inputs = on_device(inputs_of(self.tokenizer, self.model.config, tokens, rows), self.model.device)
                batch_logits, batch_states = logits_and_states(self.model, inputs)
                logits[rows], states[rows] = batch_logits.cpu().numpy(), batch_states.cpu().numpy()
        return logits, states
