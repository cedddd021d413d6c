"""Fine-tunes a task's teacher: in this process, or in several with Spark's `TorchDistributor`; the loop is the same.

Several processes are this machine's on a local master; on a cluster each is a barrier task of an executor, and base,
training folder and the teacher's folder must be paths that all of them reach. Each process has a GPU of its own where
there are some (`spark.task.resource.gpu.amount`), else they share the CPUs.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pyspark.ml.torch.distributor import TorchDistributor

from jobs.lake.store import Lake
from jobs.teachers.base_model import Base, MakeProgress, opened, training_folder
from models.tasks import TeacherSettings

if TYPE_CHECKING:
    from models.teachers.fine_tuning import FineTuned, Schedule
    from models.teachers.fine_tuning_rows import FineTuningRows
    from models.teachers.teacher import Teacher


def fine_tuned(
    lake: Lake, model_id: str, base: Base, rows: FineTuningRows, settings: TeacherSettings, *, seed: int,
    progress: MakeProgress, keep: Callable[[Teacher], None],
) -> FineTuned:  # fmt: skip
    """A fine-tuned teacher; one that was killed under way goes on where it was. Several processes tell no progress."""
    from models.teachers.fine_tuning import fine_tune

    place, checkpoints = opened(lake, base), training_folder(lake, model_id)
    if settings.processes > 1:
        return _together(lake, place, rows, settings, seed, checkpoints)
    task, _, _ = model_id.partition("/")
    return fine_tune(
        place, rows, settings, seed=seed, checkpoints=checkpoints, keep=keep, progress=progress(f"{task}: fine-tuning")
    )


def _together(
    lake: Lake, base: str, rows: FineTuningRows, settings: TeacherSettings, seed: int, checkpoints: Path
) -> FineTuned:
    """As `fine_tune`, by `settings.processes` processes: what the first one has."""
    import torch

    from models.teachers.fine_tuning import FineTuned
    from models.teachers.teacher import Teacher

    folder = checkpoints.with_name(f"{checkpoints.name}-teacher")
    distributor = TorchDistributor(
        num_processes=settings.processes, local_mode=(lake.spark.sparkContext.master or "local").startswith("local"),
        use_gpu=torch.cuda.is_available(),
    )  # fmt: skip
    told = distributor.run(_one_of_several, base, rows, settings, seed, checkpoints, folder)
    schedules, held = cast("tuple[tuple[Schedule, ...], int]", told)
    return FineTuned(Teacher.open(folder), schedules, held)


def _one_of_several(
    base: str, rows: FineTuningRows, settings: TeacherSettings, seed: int, checkpoints: Path, folder: Path
) -> tuple[tuple[Schedule, ...], int]:
    """One of the processes; the first one saves the teacher."""
    from models.teachers.fine_tuning import fine_tune

    tuned = fine_tune(base, rows, settings, seed=seed, checkpoints=checkpoints)
    if os.environ.get("RANK", "0") == "0":
        tuned.teacher.save(folder)
    return tuned.schedules, tuned.held
