"""Teachers: fine-tuned transformers that give a text one logit per label.

Weights are read from safetensors files only, and no code that comes with a model is ever run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch

from models import digests
from models.errors import BundleError
from models.folders import publish
from models.teachers.batch_scoring import Budget, Result, Runner
from models.teachers.huggingface import load, save
from models.teachers.text_scorer import TextScorer
from models.teachers.token_batches import CPU_TOKENS, GPU_TOKENS
from models.teachers.torch_runner import TorchRunner
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
    def open(cls, folder: Path, where: torch.device | None = None) -> Self:
        """Read a teacher that `save` wrote, to a device; by default to the GPU where there is one.

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
        return cls(labels, config.pingti_max_tokens, model.to(where or device()).eval(), tokenizer)

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

    def scorer(self, runner: Runner | None = None, tokens: int | None = None) -> TextScorer:
        """What scores texts.

        Args:
            runner: Its network; by default as it lies here, in torch.
            tokens: Tokens of a batch, padding included; by default what suits the device.
        """
        runner = runner or TorchRunner(self.model, self.tokenizer)
        budget = Budget(tokens or (GPU_TOKENS if self.model.device.type == "cuda" else CPU_TOKENS))
        width = self.model.config.hidden_size
        return TextScorer(self.tokenizer, self.max_tokens, len(self.labels), width, runner, budget)

    def score(self, texts: Sequence[str], *, second: Sequence[str] | None = None, tokens: int | None = None) -> Result:
        """Logits and pooled states of some texts.

        Which texts share a forward pass depends on the texts, their order and `tokens` alone: the same texts in the
        same order give the same bits.

        Args:
            texts: Clean texts, no nulls.
            second: Of pairs, the second texts, no nulls; None of single texts.
            tokens: Tokens of a forward pass, padding included; by default what suits the device.

        Returns:
            Logits (texts, labels), and the state that stands for a text (texts, hidden): [CLS], or the mean of its
            tokens where the teacher pools so. Both float32.

        Raises:
            DataError: A text has no finite score, or does not fit the memory.
        """
        self.model.eval()
        scorer = self.scorer(tokens=tokens)
        return scorer.score(scorer.prepare(texts, second)).whole()
