"""Fine-tunes a pretrained transformer on annotated texts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.optim import AdamW

from models.tasks import TaskKind, TeacherSettings
from models.teachers.fine_tuning_rows import FineTuningRows
from models.teachers.joint_teacher import TeacherInTraining
from models.teachers.teacher import Teacher
from models.text.vocabulary import Encoded
from models.training.batching import length_batches, ramp
from models.training.devices import reproducible
from models.training.losses import hard_loss

Progress: TypeAlias = Callable[[int, int, float], None]
WEIGHT_DECAY = 0.01


def fine_tune(
    base: str | Path,
    rows: FineTuningRows,
    settings: TeacherSettings,
    *,
    seed: int,
    max_steps: int | None = None,
    progress: Progress | None = None,
    keep: Callable[[Teacher], None] | None = None,
) -> Teacher:
    """Fine-tune a pretrained transformer on annotated texts.

    Args:
        base: A local Hugging Face folder, or the name of a model on the hub.
        rows: Texts and their targets.
        settings: Schedule and longest text.
        seed: For the new last layer, the order and the dropout.
        max_steps: Stop after so many batches; None for all epochs.
        progress: Called after each batch with rows done, rows in total and the batch's loss.
        keep: Called with the teacher at each intermediate checkpoint, `settings.checkpoints` times at equal distances.

    Raises:
        DataError: There are no texts, or arrays of other shapes.
        SettingsError: `base` is no whole model with safetensors weights, or its tokenizer does not know the texts.
        EnvError: The hub cannot be reached or does not have it.
    """
    with reproducible(seed):
        learner = TeacherInTraining.of(base, rows, settings)
        plan = _plan(learner.tokens.encoded, settings, seed, max_steps)
        _FineTuning(learner, rows, settings).run(plan, progress, keep)
    return learner.teacher()


class _FineTuning:
    """The fine-tuning loop's state."""

    def __init__(self, learner: TeacherInTraining, rows: FineTuningRows, settings: TeacherSettings) -> None:
        self.learner = learner
        self.kind: TaskKind = rows.kind
        self.targets = torch.from_numpy(rows.targets.astype(np.float32)).to(learner.module.device)
        self.mask = torch.from_numpy(rows.mask).to(learner.module.device)
        self.rate = settings.learning_rate
        self.checkpoints = settings.checkpoints
        self.optimiser = AdamW(learner.module.parameters(), lr=self.rate, weight_decay=WEIGHT_DECAY, fused=True)

    def run(
        self, plan: list[NDArray[np.int64]], progress: Progress | None, keep: Callable[[Teacher], None] | None
    ) -> None:
        """Train through the planned batches."""
        self.learner.module.train()
        total, done = sum(map(len, plan)), 0
        checkpoints = {len(plan) * nth // (self.checkpoints + 1) for nth in range(1, self.checkpoints + 1)}
        for step, batch in enumerate(plan):
            if keep is not None and step in checkpoints:
                keep(self.learner.teacher())
                self.learner.module.train()
            self.optimiser.param_groups[0]["lr"] = self.rate * ramp((step + 0.5) / len(plan))
            loss = self._step(batch)
            done += len(batch)
            if progress is not None:
                progress(done, total, loss)

    def _step(self, batch: NDArray[np.int64]) -> float:
        self.optimiser.zero_grad(set_to_none=True)
        chosen = torch.from_numpy(batch).to(self.targets.device)
        logits, _ = self.learner.logits_and_cls(batch)
        loss = hard_loss(logits, self.targets[chosen], self.mask[chosen], kind=self.kind)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.learner.module.parameters(), 1.0)
        self.optimiser.step()
        return float(loss.detach())


def _plan(encoded: Encoded, settings: TeacherSettings, seed: int, max_steps: int | None) -> list[NDArray[np.int64]]:
    random = np.random.default_rng(seed)
    lengths = encoded.lengths
    epochs = [length_batches(lengths, settings.batch, random) for _ in range(settings.epochs)]
    return [batch for epoch in epochs for batch in epoch][:max_steps]
