"""Trains a student from rows in memory; knows neither files nor tables."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import AdamW

from models.errors import DataError
from models.tasks import StudentSettings, TaskKind
from models.training.batching import length_batches, ramp
from models.training.devices import device, reproducible
from models.training.early_stopping import EarlyStopping, hold_out
from models.training.losses import distil_loss, hard_loss
from models.training.students import Student, build_student
from models.vocabulary import Encoded

Progress: TypeAlias = Callable[[int, int, float], None]
MAX_GRADIENT = 1.0
WEIGHT_DECAY = 0.01


@dataclass(frozen=True)
class TrainingRows:
    """What a student learns from, row by row and label by label.

    Attributes:
        texts: The texts as ids.
        hard: (rows, labels) float32 answers, 0 to 1, read where `hard_mask` is True.
        hard_mask: (rows, labels) bool.
        soft: (rows, labels) float32 logits of the teacher, read where `soft_mask` is True.
        soft_mask: (rows, labels) bool.
        weight: (rows,) float32, how much a row counts.
    """

    texts: Encoded
    hard: NDArray[np.float32]
    hard_mask: NDArray[np.bool_]
    soft: NDArray[np.float32]
    soft_mask: NDArray[np.bool_]
    weight: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.texts)

    def check(self, labels: int) -> None:
        """Raise `DataError` if there are no rows, or arrays that do not fit together."""
        expected = (len(self), labels)
        for name in ("hard", "hard_mask", "soft", "soft_mask"):
            if (got := getattr(self, name).shape) != expected:
                raise DataError(f"training rows: {name} has shape {got}, expected {expected}; join them again")
        if self.weight.shape != expected[:1]:
            raise DataError(f"training rows: weight has shape {self.weight.shape}, expected {expected[:1]}")
        if len(self) == 0:
            raise DataError("training rows: got none, expected at least one; widen the training days or the sample")


@dataclass(frozen=True)
class TrainedStudent:
    """A student after training, on the CPU and in evaluation mode.

    Attributes:
        student: The network.
        losses: Mean loss of each epoch; the last may be an epoch that `max_steps` cut short.
        validation: Macro F1 after each epoch on the rows kept back, if any were; the best epoch's weights stayed.
        seconds: Wall time of the training loop.
        rows_per_s: Rows it read per second of that.
    """

    student: Student
    losses: tuple[float, ...]
    validation: tuple[float, ...]
    seconds: float
    rows_per_s: float


def train_student(
    rows: TrainingRows,
    settings: StudentSettings,
    *,
    vocabulary_size: int,
    labels: int,
    seed: int,
    kind: TaskKind = "multi_label",
    distil: bool = True,
    max_steps: int | None = None,
    progress: Progress | None = None,
    threads: int | None = 1,
) -> TrainedStudent:
    """Train one student from scratch.

    The same rows in the same order, settings, seed, machine and threads give the same weights. Torch's random
    state and threads are as before afterwards.

    Args:
        rows: What to learn from.
        settings: Network and schedule.
        vocabulary_size: Ids there are, the reserved two included.
        labels: Labels there are.
        seed: For the first weights, the order of rows and the dropout.
        kind: The task's kind, which decides the losses.
        distil: False leaves the teacher's logits aside: the same student without distillation.
        max_steps: Stop after so many batches; None for all epochs.
        progress: Called after each batch with rows done, rows in total and the batch's loss.
        threads: Threads of torch; None leaves them as they are. The steps are too short to gain by a second one.

    Raises:
        DataError: No rows, arrays that do not fit together, or a loss that is not finite.
    """
    rows.check(labels)
    with reproducible(seed, threads):
        student = build_student(settings, vocabulary_size, labels)
        learnt, held = hold_out(len(rows), settings, seed)
        _start_at_base_rates(student, rows, learnt, distil=distil)
        run = _Run(student.to(device()), rows, settings, kind=kind, distil=distil)
        steps = _plan(rows.texts.lengths, learnt, settings, seed, max_steps)
        watch = EarlyStopping(rows, held, settings.patience, kind) if len(held) else None
        started = time.perf_counter()
        losses = run.epochs(steps, progress, watch)
        if watch is not None:
            watch.restore(student)
        seconds = time.perf_counter() - started
    read = sum(len(batch) for epoch in steps[: len(losses)] for batch in epoch)
    validation = tuple(watch.scores) if watch is not None else ()
    return TrainedStudent(student.cpu().eval(), losses, validation, seconds, read / seconds)


Batches: TypeAlias = list[NDArray[np.int64]]


def _plan(
    lengths: NDArray[np.int64], rows: NDArray[np.int64], settings: StudentSettings, seed: int, max_steps: int | None
) -> list[Batches]:
    """The batches of every epoch over these rows, cut after `max_steps`; epochs that would be empty are left out."""
    random = np.random.default_rng(seed)
    left = max_steps
    epochs: list[Batches] = []
    for _ in range(settings.epochs):
        batches = [rows[batch] for batch in length_batches(lengths[rows], settings.batch, random)[:left]]
        if left is not None:
            left -= len(batches)
        if batches:
            epochs.append(batches)
    return epochs


def _start_at_base_rates(student: Student, rows: TrainingRows, learnt: NDArray[np.int64], *, distil: bool) -> None:
    """Let the untrained student answer with each label's frequency.

    Most labels are rare. From an even start the first hundreds of batches would teach nothing but that,
    through gradients that drown what tells the positives apart (Lin et al. 2017, arXiv:1708.02002, 4.1).
    """
    mask, weight = rows.hard_mask[learnt], rows.weight[learnt]
    positives = weight @ np.where(mask, rows.hard[learnt], 0)
    known = weight @ mask
    if distil:  # where no answer is known, the teacher's counts as one
        guessed = rows.soft_mask[learnt] & ~mask
        positives = positives + weight @ (guessed & (rows.soft[learnt] > 0))
        known = known + weight @ guessed
    rate = (positives + 1) / (known + 2)
    with torch.no_grad():
        student.head.bias.copy_(torch.from_numpy(np.log(rate / (1 - rate))))


class _Run:
    """The training loop's state: the rows as tensors, the student, its optimiser."""

    def __init__(
        self, student: Student, rows: TrainingRows, settings: StudentSettings, *, kind: TaskKind, distil: bool
    ) -> None:
        self.student = student
        self.rows = rows
        self.settings = settings
        self.kind: TaskKind = kind
        self.distil = distil
        self.where = next(student.parameters()).device
        self.tensors = {
            name: torch.from_numpy(np.array(getattr(rows, name))).to(self.where)
            for name in ("hard", "hard_mask", "soft", "soft_mask", "weight")
        }
        self.optimiser = AdamW(student.parameters(), lr=settings.learning_rate, weight_decay=WEIGHT_DECAY, fused=True)

    def epochs(self, plan: list[Batches], progress: Progress | None, watch: EarlyStopping | None) -> tuple[float, ...]:
        """Train through the planned batches, or until the watch says to stop; the mean loss of each epoch."""
        self.student.train()
        total_rows = sum(len(batch) for epoch in plan for batch in epoch)
        total_steps = sum(len(epoch) for epoch in plan)
        step = done = 0
        means: list[float] = []
        for epoch in plan:
            losses: list[float] = []
            for batch in epoch:
                for group in self.optimiser.param_groups:
                    group["lr"] = self.settings.learning_rate * ramp((step + 0.5) / total_steps)
                losses.append(self._step(batch))
                step, done = step + 1, done + len(batch)
                if progress is not None:
                    progress(done, total_rows, losses[-1])
            means.append(float(np.mean(losses)))
            if watch is not None and watch.after_epoch(self.student):
                break
        return tuple(means)

    def _step(self, batch: NDArray[np.int64]) -> float:
        ids, lengths = self.rows.texts.padded(batch, at_least=self.student.min_length)
        self.optimiser.zero_grad(set_to_none=True)
        logits, _ = self.student(torch.from_numpy(ids).to(self.where), torch.from_numpy(lengths).to(self.where))
        loss = self._loss(logits, torch.from_numpy(batch).to(self.where))
        value = float(loss.detach())
        if not np.isfinite(value):
            raise DataError(
                f"training: the loss became {value}, expected a finite number; look for NaN among targets "
                "and weights, or lower student.learning_rate"
            )
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.student.parameters(), MAX_GRADIENT)
        self.optimiser.step()
        return value

    def _loss(self, logits: Tensor, batch: Tensor) -> Tensor:
        part = {name: tensor[batch] for name, tensor in self.tensors.items()}
        if not self.distil:
            return hard_loss(logits, part["hard"], part["hard_mask"], part["weight"], self.kind)
        return distil_loss(
            logits,
            **part,
            temperature=self.settings.temperature,
            soft_weight=self.settings.soft_weight,
            kind=self.kind,
        )
