"""Replaced-token detection (ELECTRA): a small generator fills hidden tokens, and the model tells which are replaced.

Clark et al. 2020 (arXiv:2003.10555): each token of a text teaches, not the hidden ones alone.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import ElectraConfig, ElectraForMaskedLM, ElectraForPreTraining

from models.tasks import TeacherSettings
from models.teachers.masked_training import MaskedBatch, MaskedLanguageModel
from models.training.devices import half_precision

WEIGHT = 50.0  # of the detection beside the generator's loss: their appendix A
NARROWER = 4  # a generator of a quarter of the width: their section 3.2


def small_electra(vocabulary_size: int, settings: TeacherSettings) -> Any:
    """A model of the settings' sizes that tells replaced tokens, with random weights."""
    return ElectraForPreTraining(_config(vocabulary_size, settings, settings.hidden))


class ReplacedTokenDetection(nn.Module):
    """The model that is kept, and the generator that it learns beside; they share their embeddings."""

    def __init__(self, model: Any, settings: TeacherSettings) -> None:
        """`model` is of `small_electra`, on its device."""
        super().__init__()
        heads = settings.heads
        width = max(settings.hidden // NARROWER // heads, 1) * heads  # a multiple of the heads
        generator = ElectraForMaskedLM(_config(model.config.vocab_size, settings, width))
        generator.electra.embeddings = model.electra.embeddings
        generator.generator_lm_head.weight = model.electra.embeddings.word_embeddings.weight
        self.model = model
        self.generator = MaskedLanguageModel(generator.to(model.device))

    def forward(self, batch: MaskedBatch) -> Tensor:
        """The generator's mean cross entropy of the hidden tokens, and 50 times the detector's of all tokens."""
        with half_precision(batch.shown.device):
            guesses = self.generator.guesses(batch).float()
            filled, replaced = filled_in(batch, guesses.detach())
            logits = self.model(input_ids=filled, attention_mask=batch.attention).logits
        there = batch.attention.bool()
        detection = F.binary_cross_entropy_with_logits(logits[there].float(), replaced[there].float())
        return F.cross_entropy(guesses, batch.wanted) + WEIGHT * detection


def filled_in(batch: MaskedBatch, guesses: Tensor) -> tuple[Tensor, Tensor]:
    """Ids with the hidden tokens drawn from guesses (hidden, vocabulary), and where they are other than they were."""
    drawn = torch.multinomial(guesses.softmax(1), 1)[:, 0]
    filled, replaced = batch.shown.clone(), torch.zeros_like(batch.hidden)
    filled[batch.hidden] = drawn
    replaced[batch.hidden] = drawn != batch.wanted
    return filled, replaced


def _config(vocabulary_size: int, settings: TeacherSettings, width: int) -> ElectraConfig:
    return ElectraConfig(
        vocab_size=vocabulary_size, embedding_size=settings.hidden, hidden_size=width,
        num_hidden_layers=settings.layers, num_attention_heads=settings.heads, intermediate_size=4 * width,
        max_position_embeddings=settings.max_tokens, pad_token_id=0,
    )  # fmt: skip
