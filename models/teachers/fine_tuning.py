"""Fine-tunes a pretrained transformer on annotated texts, by Transformers' `Trainer`.

A short schedule comes first, then longer ones while the rows kept back clearly gain by them: on a few thousand rows
with many labels a handful of epochs leaves a teacher that never says a rare label, on others more of them only harm.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.folders import write_file
from models.tasks import TeacherSettings
from models.teachers.calibration import Calibration, calibrate, start_of
from models.teachers.fine_tuning_loss import LogitsOf, LossOf, judged, judged_with_loss
from models.teachers.fine_tuning_rows import FineTuningRows
from models.teachers.fine_tuning_schedule import chosen, goes_on, kept_back, planned_batches, schedules
from models.teachers.fine_tuning_trainer import (
    EarlyStopping,
    FineTuningTrainer,
    OnStep,
    arguments,
    global_random_state,
    is_first,
    processes,
    train,
)
from models.teachers.joint_teacher import TeacherInTraining
from models.teachers.teacher import Teacher
from models.training.devices import device, reproducible

Progress: TypeAlias = Callable[[int, int, float], None]
Keep: TypeAlias = Callable[[Teacher], None]
_DONE = "done.json"


@dataclass(frozen=True, slots=True)
class Schedule:
    """What one schedule came to.

    Attributes:
        steps: Steps that were made.
        planned: Steps of the whole schedule.
        best: The step whose weights stayed; the last one where no rows were kept back.
        gain: What these come to on the rows kept back: mean average precision, of classes macro F1; None without any.
        score: The same, less a little for the log loss: by it schedules are compared.
    """

    steps: int
    planned: int
    best: int
    gain: float | None
    score: float


@dataclass(frozen=True, slots=True)
class FineTuned:
    """A teacher after fine-tuning.

    Attributes:
        teacher: The teacher; its logits are calibrated.
        schedules: Those that were tried, the shortest first.
        held: Rows kept back.
    """

    teacher: Teacher
    schedules: tuple[Schedule, ...]
    held: int

    @property
    def chosen(self) -> Schedule:
        """The schedule whose teacher stayed."""
        return self.schedules[chosen([one.score for one in self.schedules])]

    @property
    def sentence(self) -> str:
        """How it went, in words."""
        if not self.held:
            return f"{self.chosen.steps:,} steps, no rows kept back"
        classes = self.teacher.model.config.problem_type == "single_label_classification"
        tried = ", ".join(f"{one.gain:.3f} in {one.planned:,} steps" for one in self.schedules)
        stayed = f"; {self.chosen.planned:,} it is" if len(self.schedules) > 1 else ""
        measure = "macro F1" if classes else "average precision"
        return f"{measure} {tried}, on {self.held:,} annotated rows kept back{stayed}"


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
    learnt, held = kept_back(len(rows.texts), settings.validation_share, seed)
    found: list[_Result] = []
    with _folder(checkpoints if resumes else None) as folder:
        for epochs in schedules(len(learnt), settings, judged=bool(len(held))):
            one = _Run(base, rows, settings, seed, learnt, held, epochs, max_steps, folder / f"epochs-{epochs}")
            found.append(one.finished() or one.run(progress))
            scores = [result.schedule.score for result in found]
            if not goes_on(scores):
                break
    best = found[chosen(scores)]
    for teacher in best.intermediate:
        if keep is not None:
            keep(teacher)
    return FineTuned(best.teacher, tuple(one.schedule for one in found), len(held))


@dataclass(frozen=True, slots=True)
class _Result:
    teacher: Teacher
    schedule: Schedule
    intermediate: Sequence[Teacher] = ()


@dataclass(frozen=True, slots=True)
class _Run:
    """One schedule, in a folder of its own."""

    base: str | Path
    rows: FineTuningRows
    settings: TeacherSettings
    seed: int
    learnt: NDArray[np.int64]
    held: NDArray[np.int64]
    epochs: int
    max_steps: int | None
    folder: Path

    def finished(self) -> _Result | None:
        """What an interrupted run made of this schedule, where it came to its end."""
        done = self.folder / _DONE
        if not done.exists():
            return None
        return _Result(Teacher.open(self.folder / "teacher"), Schedule(**json.loads(done.read_text("utf-8"))))

    def run(self, progress: Progress | None) -> _Result:
        """Go through the schedule, from the newest checkpoint of an interrupted run on."""
        rows, held, judged_by, world = self.rows, self.held, bool(len(self.held)), processes()
        with reproducible(self.seed), global_random_state():
            learner = TeacherInTraining.of(self.base, rows, self.settings)
            lengths = learner.tokens.encoded.lengths
            plan = planned_batches(lengths, self.learnt, self.epochs, self.settings.batch, self.seed)[: self.max_steps]
            loss = LossOf(rows, self.learnt, self.settings.positive_weight)
            how = arguments(
                self.folder / "checkpoints", self.settings, rate=learner.learning_rate, steps=-(-len(plan) // world),
                judge=judged_by, seed=self.seed, cpu=device().type == "cpu",
            )  # fmt: skip
            trainer = FineTuningTrainer(
                LogitsOf(learner.module), learner.tokenizer, learner.tokens, rows, loss, plan, held, how,
                [EarlyStopping(self.settings)] if judged_by else [],
            )  # fmt: skip
            start = start_of(loss.positive_weights)
            told = _Told(trainer, learner, plan[::world], self.settings.checkpoints, start, progress)
            trainer.add_callback(OnStep(told))
            train(trainer, self.folder / "checkpoints")
            calibration, gain, score = start, None, 0.0
            if judged_by:
                logits = trainer.held_logits()
                gain = judged(logits, rows, held)
                score = judged_with_loss(logits, rows, held, loss.positive_weights)
                calibration = calibrate(logits, rows.targets[held], rows.mask[held], rows.kind, start)
            calibration.into(learner.module)
        steps = trainer.state.global_step
        schedule = Schedule(steps, trainer.args.max_steps, trainer.state.best_global_step or steps, gain, score)
        if is_first():
            learner.teacher().save(self.folder / "teacher")
            write_file(self.folder / _DONE, json.dumps(asdict(schedule)))
        return _Result(learner.teacher(), schedule, told.intermediate)


class _Told:
    """What is told and kept after each step."""

    def __init__(
        self, trainer: FineTuningTrainer, learner: TeacherInTraining, plan: list[NDArray[np.int64]], checkpoints: int,
        start: Calibration, progress: Progress | None,
    ) -> None:  # fmt: skip
        self._trainer, self._learner, self._progress, self._start = trainer, learner, progress, start
        self.intermediate: list[Teacher] = []
        self._done = np.cumsum([len(batch) for batch in plan])
        self._kept_at = {len(plan) * nth // (checkpoints + 1) for nth in range(1, checkpoints + 1)}

    def __call__(self, step: int) -> None:
        if self._progress is not None:
            self._progress(int(self._done[step - 1]), int(self._done[-1]), self._trainer.last_loss)
        if step in self._kept_at:
            teacher = self._learner.teacher()
            so_far = replace(teacher, model=deepcopy(teacher.model))
            self._start.into(so_far.model)
            self.intermediate.append(so_far)
            self._learner.module.train()


@contextmanager
def _folder(wanted: Path | None) -> Iterator[Path]:
    """Where the loop keeps its state: the folder of this fine-tuning, gone once it is done; else a new one."""
    folder = Path(tempfile.mkdtemp(prefix="pingti-fine-tuning-")) if wanted is None else wanted
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
    except BaseException:
        if wanted is None:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    if is_first():
        shutil.rmtree(folder, ignore_errors=True)
