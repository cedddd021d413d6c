"""Fine-tunes a pretrained transformer on annotated texts, by Transformers' `Trainer`.

Small sets are gone through until the rows kept back gain no more, not for a number of epochs: on a few thousand rows
with many labels a handful of epochs leaves a teacher that never says a rare label.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.tasks import TeacherSettings
from models.teachers.calibration import Calibration, calibrate, start_of
from models.teachers.fine_tuning_loss import LogitsOf, LossOf, judged
from models.teachers.fine_tuning_rows import FineTuningRows
from models.teachers.fine_tuning_trainer import (
    EarlyStopping,
    FineTuningTrainer,
    OnStep,
    arguments,
    global_random_state,
    train,
)
from models.teachers.joint_teacher import TeacherInTraining
from models.teachers.teacher import Teacher
from models.training.batching import length_batches
from models.training.devices import device, reproducible

Progress: TypeAlias = Callable[[int, int, float], None]
Keep: TypeAlias = Callable[[Teacher], None]
FEWEST_HELD, MOST_HELD = 50, 2000
"""With fewer rows to keep back nothing is; more than the most would tell nothing more."""


@dataclass(frozen=True, slots=True)
class FineTuned:
    """A teacher after fine-tuning.

    Attributes:
        teacher: The teacher; its logits are calibrated.
        steps: Steps that were made of those that were planned.
        planned: Steps of the whole schedule.
        best: The step whose weights stayed; the last one where no rows were kept back.
        held: Rows kept back.
        gain: What the teacher comes to on these: mean average precision, of classes macro F1; None without any.
    """

    teacher: Teacher
    steps: int
    planned: int
    best: int
    held: int
    gain: float | None

    @property
    def sentence(self) -> str:
        """How it went, in words."""
        steps = f"{self.steps:,} of {self.planned:,} steps"
        if self.gain is None:
            return f"{steps}, no rows kept back"
        measure = (
            "macro F1"
            if self.teacher.model.config.problem_type == "single_label_classification"
            else "average precision"
        )
        return (
            f"{steps}, the best at {self.best:,}: {measure} {self.gain:.3f} on {self.held:,} annotated rows kept back"
        )


def fine_tune(
    base: str | Path,
    rows: FineTuningRows,
    settings: TeacherSettings,
    *,
    seed: int,
    max_steps: int | None = None,
    progress: Progress | None = None,
    keep: Keep | None = None,
    checkpoints: Path | None = None,
) -> FineTuned:
    """Fine-tune a pretrained transformer on annotated texts.

    The same arguments, machine and threads give the same weights, also where it was killed in between and went on from
    a checkpoint.

    Args:
        base: A local Hugging Face folder, or the name of a model on the hub.
        rows: Texts and their targets.
        settings: Schedule, pooling and longest text.
        seed: For the new last layer, the rows kept back, the order and the dropout.
        max_steps: Stop after so many batches; None for the whole schedule.
        progress: Called after each batch with rows done, rows in total and the batch's loss.
        keep: Called with the teacher at each intermediate checkpoint, `settings.checkpoints` times at equal distances
            of the schedule, as far as it is gone through.
        checkpoints: A folder of this fine-tuning's own, where its state is kept until it is done.

    Raises:
        DataError: There are no texts, or arrays of other shapes.
        SettingsError: `base` is no whole model with safetensors weights, or its tokenizer does not know the texts.
        EnvError: The hub cannot be reached or does not have it.
    """
    resumes = keep is None or not settings.checkpoints  # what an interrupted run kept is known to that run alone
    with reproducible(seed), global_random_state(), _folder(checkpoints if resumes else None) as folder:
        learner = TeacherInTraining.of(base, rows, settings)
        world = int(os.environ.get("WORLD_SIZE", "1"))  # processes that fine-tune together, each a batch a step
        learnt, held = kept_back(len(rows.texts), settings.validation_share, seed)
        plan = planned_batches(learner.tokens.encoded.lengths, learnt, settings, seed)[:max_steps]
        loss = LossOf(rows, learnt, settings.positive_weight)
        callbacks = [EarlyStopping(settings)] if len(held) else []
        cpu = device().type == "cpu"
        how = arguments(
            folder, settings, rate=learner.learning_rate, steps=-(-len(plan) // world), judge=bool(len(held)),
            seed=seed, cpu=cpu,
        )  # fmt: skip
        trainer = FineTuningTrainer(
            LogitsOf(learner.module), learner.tokenizer, learner.tokens, rows, loss, plan, held, how, callbacks
        )
        start = start_of(loss.positive_weights)
        told = _Told(trainer, learner, plan[::world], settings.checkpoints, start, progress, keep)
        trainer.add_callback(OnStep(told))
        train(trainer, folder)
        calibration, gain = start, None
        if len(held):
            logits = trainer.held_logits()
            gain = judged(logits, rows, held)
            calibration = calibrate(logits, rows.targets[held], rows.mask[held], rows.kind, start)
        calibration.into(learner.module)
        steps = trainer.state.global_step
        best = trainer.state.best_global_step or steps
    return FineTuned(learner.teacher(), steps, trainer.args.max_steps, best, len(held), gain)


def kept_back(rows: int, share: float, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers to learn from, and to be judged by: a random share, the same for a seed. Both rising."""
    wanted = min(int(rows * share), MOST_HELD)
    order = np.random.default_rng([seed, 1]).permutation(rows)
    held = wanted if wanted >= FEWEST_HELD else 0
    return np.sort(order[held:]), np.sort(order[:held])


def planned_batches(
    lengths: NDArray[np.int64], learnt: NDArray[np.int64], settings: TeacherSettings, seed: int
) -> list[NDArray[np.int64]]:
    """The batches of `epochs` epochs, and of as many more as `min_steps` asks for."""
    random = np.random.default_rng(seed)
    batches: list[NDArray[np.int64]] = []
    epochs = 0
    while epochs < settings.epochs or len(batches) < settings.min_steps:
        batches += [learnt[batch] for batch in length_batches(lengths[learnt], settings.batch, random)]
        epochs += 1
    return batches


class _Told:
    """What is told and kept after each step."""

    def __init__(
        self, trainer: FineTuningTrainer, learner: TeacherInTraining, plan: list[NDArray[np.int64]], checkpoints: int,
        start: Calibration, progress: Progress | None, keep: Keep | None,
    ) -> None:  # fmt: skip
        self._trainer, self._learner, self._progress, self._keep = trainer, learner, progress, keep
        self._start = start
        self._done = np.cumsum([len(batch) for batch in plan])
        self._kept_at = {len(plan) * nth // (checkpoints + 1) for nth in range(1, checkpoints + 1)}

    def __call__(self, step: int) -> None:
        if self._progress is not None:
            self._progress(int(self._done[step - 1]), int(self._done[-1]), self._trainer.last_loss)
        if self._keep is not None and step in self._kept_at:
            teacher = self._learner.teacher()
            so_far = replace(teacher, model=deepcopy(teacher.model))
            self._start.into(so_far.model)
            self._keep(so_far)
            self._learner.module.train()


@contextmanager
def _folder(wanted: Path | None) -> Iterator[Path]:
    """Where the loop keeps its state: the folder of this fine-tuning, empty again once it is done; else a new one."""
    folder = Path(tempfile.mkdtemp(prefix="pingti-fine-tuning-")) if wanted is None else wanted
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    except BaseException:
        if wanted is None:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    if os.environ.get("RANK", "0") == "0":
        shutil.rmtree(folder, ignore_errors=True)
