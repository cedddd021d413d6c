"""The loop of pretraining: batches of texts with hidden tokens, AdamW, a rate that follows the steps."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import AdamW

from models import digests
from models.teachers.masking import MaskSymbols, mask_tokens
from models.text.vocabulary import Encoded
from models.training.batching import length_batches, ramp
from models.training.checkpoints import Checkpoints
from models.training.devices import half_precision

Progress: TypeAlias = Callable[[int, int, float], None]
BATCH = 64
CHECKPOINTS = 20
"""How often a pretraining keeps its state."""
_HEADS = ("cls", "predictions", "lm_head")
"""What the classes of BERT and ERNIE, of ALBERT, and of RoBERTa call the layers that guess tokens from states."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long a pretraining is and how it learns.

    Attributes:
        steps: Batches.
        rate: The learning rate at the top of its ramp.
        masked: Share of the tokens that is hidden at the first step and at the last; in between it is on the line.
        seed: For the order and the masks.
    """

    steps: int
    rate: float
    masked: tuple[float, float]
    seed: int


@dataclass(frozen=True, slots=True)
class MaskedBatch:
    """Texts with hidden tokens, on the model's device.

    Attributes:
        shown: Ids with the hidden tokens replaced, (rows, length) int64.
        attention: 1 where a text has a token, same shape, int64.
        hidden: True where a token is to be guessed, same shape.
        wanted: The hidden tokens' ids, row by row, (hidden,) int64.
    """

    shown: Tensor
    attention: Tensor
    hidden: Tensor
    wanted: Tensor


class MaskedLanguageModel(nn.Module):
    """Guesses the hidden tokens: Devlin et al. 2018 (arXiv:1810.04805)."""

    def __init__(self, model: Any) -> None:
        """`model` is one of Transformers' classes for masked language models."""
        super().__init__()
        self.model = model

    def forward(self, batch: MaskedBatch) -> Tensor:
        """The mean cross entropy of the hidden tokens."""
        with half_precision(batch.shown.device):
            guesses = self.guesses(batch)
        return F.cross_entropy(guesses.float(), batch.wanted)

    def guesses(self, batch: MaskedBatch) -> Tensor:
        """Logits of the hidden tokens, (hidden, vocabulary)."""
        inputs = {"input_ids": batch.shown, "attention_mask": batch.attention}
        head = next((getattr(self.model, name) for name in _HEADS if hasattr(self.model, name)), None)
        if head is None:
            every: Tensor = self.model(**inputs).logits
            return every[batch.hidden]
        # Only hidden positions meet the vocabulary: it would be most of the work of a small model.
        guesses: Tensor = head(self.model.base_model(**inputs).last_hidden_state[batch.hidden])
        return guesses


class MaskedTraining:
    """Trains an objective on one corpus, from the state on that an interrupted run kept."""

    def __init__(
        self, objective: nn.Module, encoded: Encoded, tokenizer: Any, schedule: Schedule, words: Encoded | None = None
    ) -> None:
        """`words`: the tokens' distances from the first of their word, where whole words are hidden."""
        self._objective, self._encoded, self._schedule, self._words = objective, encoded, schedule, words
        self._symbols, self._pad = MaskSymbols.of(tokenizer), int(tokenizer.pad_token_id)
        self._random = np.random.default_rng(schedule.seed)
        self._where = next(objective.parameters()).device
        self._optimiser = AdamW(objective.parameters(), lr=schedule.rate, weight_decay=0.01, fused=True)
        self._batches: list[NDArray[np.int64]] = []
        self._steps_done = 0

    @property
    def digest(self) -> str:
        """What decides the weights that come out, as it is before the first step, 64 hex digits."""
        encoded = [self._encoded] if self._words is None else [self._encoded, self._words]
        texts = [digests.of_bytes(part.tobytes()) for one in encoded for part in (one.ids, one.offsets)]
        weights = digests.of_weights(self._objective.state_dict())
        return digests.of_json({"weights": weights, "texts": texts, "schedule": asdict(self._schedule)})

    def run(self, progress: Progress | None, folder: Path | None = None) -> None:
        """Train all steps; the learning rate follows them.

        Args:
            progress: Called after each step with steps done, steps in all and the step's loss.
            folder: Of this training alone: where its state is kept twenty times, and found again. The caller removes
                it once the weights are in their place.
        """
        steps = self._schedule.steps
        kept = None if folder is None else Checkpoints(folder, self.digest)
        before = None if kept is None else kept.load()
        if before is not None:
            self._restore(before)
        self._objective.train()
        for step in range(self._steps_done, steps):
            if not self._batches:
                self._batches = length_batches(self._encoded.lengths, BATCH, self._random)
            loss = self._step(self._batches.pop(), (step + 0.5) / steps)
            self._steps_done = step + 1
            if kept is not None and self._steps_done % max(steps // CHECKPOINTS, 1) == 0:
                kept.save(self._state())
            if progress is not None:
                progress(step + 1, steps, loss)

    def _state(self) -> dict[str, Any]:
        return {
            "steps": self._steps_done, "objective": self._objective.state_dict(),
            "optimiser": self._optimiser.state_dict(), "random": torch.get_rng_state(),
            "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
            "order": json.dumps(self._random.bit_generator.state),
            "batches": [torch.from_numpy(batch) for batch in self._batches],
        }  # fmt: skip

    def _restore(self, state: dict[str, Any]) -> None:
        self._steps_done = int(state["steps"])
        self._objective.load_state_dict(state["objective"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._random.bit_generator.state = json.loads(state["order"])
        self._batches = [batch.numpy() for batch in state["batches"]]
        torch.set_rng_state(state["random"])
        if state["random_cuda"]:
            torch.cuda.set_rng_state_all(state["random_cuda"])

    def _step(self, rows: NDArray[np.int64], done: float) -> float:
        batch = self._masked(rows, done)
        if not len(batch.wanted):  # a batch of empty texts
            return 0.0
        self._optimiser.param_groups[0]["lr"] = self._schedule.rate * ramp(done)
        self._optimiser.zero_grad(set_to_none=True)
        loss: Tensor = self._objective(batch)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._objective.parameters(), 1.0)
        self._optimiser.step()
        return float(loss.detach())

    def _masked(self, rows: NDArray[np.int64], done: float) -> MaskedBatch:
        ids, lengths = self._encoded.padded(rows, at_least=1)
        attention = np.arange(ids.shape[1]) < lengths[:, None]
        ids[~attention] = self._pad
        candidates = self._symbols.may_be_hidden(ids) & attention
        first, last = self._schedule.masked
        distances = None if self._words is None else self._words.padded(rows, at_least=1)[0]
        shown, hidden = mask_tokens(
            ids, candidates, self._symbols, self._random, first + (last - first) * done, distances
        )
        parts = (shown, attention.astype(np.int64), hidden, ids[hidden])
        return MaskedBatch(*(torch.from_numpy(part).to(self._where) for part in parts))
