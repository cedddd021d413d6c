"""Trains a student from rows in memory or mapped from files; knows no tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from models import digests
from models.errors import DataError
from models.evaluation.predictions import to_logits
from models.student_settings import StudentSettings
from models.students.architectures import build_student
from models.students.student import Student
from models.tasks import TaskKind
from models.training.batching import CHUNK, length_batches
from models.training.checkpoints import Checkpoints
from models.training.devices import device, reproducible
from models.training.early_stopping import EarlyStopping, hold_out
from models.training.joint_schemes import JointTeacher, make_scheme
from models.training.offline_scheme import OfflineScheme
from models.training.training_rows import TrainingRows

Progress: TypeAlias = Callable[[int, int, float], None]
Batches: TypeAlias = list[NDArray[np.int64]]


@dataclass(frozen=True)
class TrainedStudent:
    """A student after training, on the CPU and in evaluation mode.

    Attributes:
        student: The network.
        losses: Mean loss of each epoch; the last may be an epoch that `max_steps` cut short.
        validation: Macro F1 after each epoch on the rows kept back, if any were; the best epoch's weights stayed.
        seconds: Wall time of the training loop, of all processes that had a part in it.
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
    teacher: JointTeacher | None = None,
    trust: NDArray[np.float32] | None = None,
    max_steps: int | None = None,
    progress: Progress | None = None,
    after_epoch: Callable[[int, float, float | None], None] | None = None,
    threads: int | None = 1,
    checkpoints: Path | None = None,
) -> TrainedStudent:
    """Train one student from scratch.

    The same rows in the same order, settings, seed, machine and threads give the same weights, also where the training
    was killed in between and went on from a checkpoint. Torch's random state and threads are as before afterwards.

    Args:
        rows: What to learn from.
        settings: Network, scheme and schedule.
        vocabulary_size: Ids there are, the reserved two included.
        labels: Labels there are.
        seed: For the first weights, the order of rows and the dropout.
        kind: The task's kind, which decides the losses.
        distil: False trains the undistilled baseline: the same student, no teacher's logits.
        teacher: Of the joint schemes: the one that learns too. It is changed by the training.
        trust: (labels,) 0 to 1, how far stored logits teach a label (`losses.distil_loss`); None: all the way.
        max_steps: Stop after so many batches; None for all epochs.
        progress: Called after each batch with rows done, rows in total and the batch's loss.
        after_epoch: Called with the epoch's number, its mean loss, and the macro F1 on the rows kept back, if any were.
        threads: Threads of torch; None leaves them as they are. A student's steps are too short to gain by a second
            one, a teacher's beside it are not.
        checkpoints: A folder of this training's own, where its state is kept after each epoch until it is done.

    Raises:
        DataError: No rows, arrays that do not fit together, a teacher or states that are missing, or a loss that is
            not finite.
    """
    rows.check(labels)
    with reproducible(seed, threads):
        student = build_student(settings, vocabulary_size, labels, kind)
        learnt, held = hold_out(len(rows), settings, seed)
        start_at_base_rates(student, rows.base_rates(learnt, kind, soft=distil), kind)
        plan = _Plan(rows.texts.lengths[learnt], learnt, settings, seed, max_steps, CHUNK if student.padded else 1)
        scheme = make_scheme(
            student.to(device()), rows, settings, kind=kind, distil=distil, teacher=teacher, learnt=learnt,
            steps=plan.steps, seed=seed, trust=trust,
        )  # fmt: skip
        stopping = EarlyStopping(rows, held, settings.patience, kind, scheme.last_stage) if len(held) else None
        run = _Run(scheme, plan, stopping, after_epoch)
        saved = None
        if checkpoints is not None:
            decides = [settings.model_dump(mode="json"), rows.digest, vocabulary_size, labels, seed, kind, distil]
            decides += [trust.round(6).tolist()] if trust is not None else []
            decides += [max_steps, torch.get_num_threads(), device().type, torch.__version__]
            saved = Checkpoints(
                checkpoints, digests.of_json([*decides, teacher.digest if teacher is not None else None])
            )
        run.epochs(progress, saved)
        if stopping is not None:
            stopping.restore(student)
        if saved is not None:
            saved.clear()
    validation = tuple(stopping.scores) if stopping is not None else ()
    return TrainedStudent(student.cpu().eval(), tuple(run.losses), validation, run.seconds, run.done / run.seconds)


@dataclass(frozen=True)
class _Plan:
    """The batches of every epoch, made when it begins: all of them at once would be rows times epochs."""

    lengths: NDArray[np.int64]
    rows: NDArray[np.int64]
    settings: StudentSettings
    seed: int
    max_steps: int | None
    chunk: int  # batches that are sorted by length together

    @property
    def steps(self) -> int:
        """Batches in all epochs: whole ones but for the last of each epoch."""
        steps = -(-len(self.rows) // self.settings.batch) * self.settings.epochs
        return steps if self.max_steps is None else min(steps, self.max_steps)

    @property
    def total(self) -> int:
        """Rows in all epochs; where `max_steps` cuts, the most there can be."""
        whole = len(self.rows) * self.settings.epochs
        return whole if self.max_steps is None else min(whole, self.max_steps * self.settings.batch)

    def epochs(self) -> Iterator[Batches]:
        """The batches, epoch by epoch; an epoch that would be empty is left out."""
        random = np.random.default_rng(self.seed)
        left = self.steps
        for _ in range(self.settings.epochs):
            drawn = length_batches(self.lengths, self.settings.batch, random, self.chunk)
            batches = [self.rows[batch] for batch in drawn[:left]]
            left -= len(batches)
            if batches:
                yield batches


def start_at_base_rates(student: Student, rates: NDArray[np.float64], kind: TaskKind) -> None:
    """Set the last layer's bias so that the untrained student gives each label its frequency.

    Most labels are rare. From an even start the first hundreds of batches would teach nothing but that,
    through gradients that drown what tells the positives apart (Lin et al. 2017, arXiv:1708.02002, 4.1).
    """
    with torch.no_grad():
        student.head.bias.copy_(torch.from_numpy(to_logits(rates, kind)))


class _Run:
    """The training loop's state: how far it came, and what it came to."""

    def __init__(
        self,
        scheme: OfflineScheme,
        plan: _Plan,
        stopping: EarlyStopping | None,
        after_epoch: Callable[[int, float, float | None], None] | None,
    ) -> None:
        self.after_epoch = after_epoch
        self.scheme = scheme
        self.plan = plan
        self.stopping = stopping
        self.losses: list[float] = []
        self.step = self.done = 0  # batches, rows
        self.seconds = 0.0
        self.stopped = False

    def epochs(self, progress: Progress | None, checkpoints: Checkpoints | None) -> None:
        """Train through the planned batches, or until early stopping ends it."""
        self.scheme.student.train()
        before = checkpoints.load() if checkpoints is not None else None
        if before is not None:
            self._restore(before)
        for epoch, batches in enumerate(self.plan.epochs()):
            if epoch < len(self.losses) or self.stopped:
                continue  # learnt before the training was interrupted
            self._epoch(epoch, batches, progress)
            self.stopped = self.stopping is not None and self.stopping.after_epoch(self.scheme.student)
            if self.after_epoch is not None:
                self.after_epoch(epoch + 1, self.losses[-1], self.stopping.scores[-1] if self.stopping else None)
            if checkpoints is not None:
                checkpoints.save(self._state())

    def _epoch(self, epoch: int, batches: Batches, progress: Progress | None) -> None:
        started, before = time.perf_counter(), self.seconds
        self.scheme.before_epoch((self.step + len(batches)) / self.plan.steps)
        losses: list[float] = []
        for batch in batches:
            losses.append(self.scheme.learn(batch, epoch, (self.step + 0.5) / self.plan.steps))
            self.step, self.done = self.step + 1, self.done + len(batch)
            self.seconds = before + time.perf_counter() - started
            if progress is not None:
                progress(self.done, self.plan.total, losses[-1])
        self.losses.append(float(np.mean(losses)))
        for name, parameter in self.scheme.student.named_parameters():
            if not bool(torch.isfinite(parameter).all()):  # a maximum hides what is no number from the loss
                raise DataError(f"training: {name} has values that are not finite; lower student.learning_rate")

    def _state(self) -> dict[str, Any]:
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        return {
            "losses": self.losses, "step": self.step, "done": self.done, "stopped": self.stopped,
            "seconds": self.seconds, "teacher_steps": self.scheme.teacher_steps,
            "random": torch.get_rng_state(), "random_cuda": cuda,
            "modules": {name: module.state_dict() for name, module in self.scheme.modules.items()},
            "optimisers": {name: group.optimiser.state_dict() for name, group in self.scheme.groups.items()},
            "stopping": self.stopping.state() if self.stopping is not None else None,
        }  # fmt: skip

    def _restore(self, state: dict[str, Any]) -> None:
        self.losses, self.step, self.done = list(state["losses"]), state["step"], state["done"]
        self.stopped, self.seconds = state["stopped"], state["seconds"]
        self.scheme.teacher_steps = state["teacher_steps"]
        for name, module in self.scheme.modules.items():
            module.load_state_dict(state["modules"][name])
        for name, group in self.scheme.groups.items():
            group.optimiser.load_state_dict(state["optimisers"][name])
        if self.stopping is not None:
            self.stopping.resume(state["stopping"])
        torch.set_rng_state(state["random"])
        if state["random_cuda"]:
            torch.cuda.set_rng_state_all(state["random_cuda"])
