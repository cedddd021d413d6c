"""What a task's teacher begins as: the model that the settings name, or the small BERT of this house."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pyspark.sql import functions as F

from jobs.lake import text_queries
from jobs.lake.store import Lake
from jobs.runtime.progress import TrainingProgress
from models import digests
from models.rounds.date_layout import DateLayout
from models.tasks import TaskSettings


def base_model(
    lake: Lake, task: TaskSettings, scenes: tuple[str, ...], layout: DateLayout, seed: int,
    progress: Callable[[str], TrainingProgress],
) -> str:  # fmt: skip
    """The folder or hub name of a task's base; a small BERT is pretrained where there is none yet.

    Args:
        lake: The tables, and where base models lie.
        task: Whose teacher it is for.
        scenes: Of all tasks: the small BERT reads the texts of them all.
        layout: The days; of the training days alone.
        seed: Draws the texts.
        progress: Makes what tells how far the pretraining is.
    """
    return task.teacher.source or _pretrained(lake, task, scenes, layout, seed, progress)


def all_scenes(tasks: Mapping[str, TaskSettings]) -> tuple[str, ...]:
    """The scenes of all tasks."""
    return tuple(sorted({scene for task in tasks.values() for scene in task.scenes}))


def _pretrained(
    lake: Lake, task: TaskSettings, scenes: tuple[str, ...], layout: DateLayout, seed: int,
    progress: Callable[[str], TrainingProgress],
) -> str:  # fmt: skip
    """The small BERT, pretrained on the platform's own texts; shared by tasks with equal settings."""
    from models.teachers.pretraining import pretrain

    settings = task.teacher
    everyone = TaskSettings(scenes=scenes, labels=task.labels)
    pool = text_queries.distinct_texts(lake, "*", everyone, layout, "train")
    drawn = pool.orderBy(text_queries.drawn_by_hash("text_hash", seed), "text_hash")
    both = F.concat_ws(" ", "text", "text_b").alias("text")  # of pairs; null is left out
    texts = drawn.limit(settings.pretrain_texts).select("text_hash", both).toArrow()
    sizes = settings.model_dump(mode="json", include={"layers", "hidden", "heads", "max_tokens", "vocabulary_size"})
    schedule = {"steps": settings.pretrain_steps, "seed": seed}
    decides = {"sizes": sizes, "schedule": schedule, "texts": texts.column("text_hash").to_pylist(), "reads": "both"}
    name = f"encoders/{digests.of_json(decides, chars=12)}"
    folder = lake.bundles.found(name)
    if folder is None:
        folder = lake.bundles.folder / name
        pretrain(texts.column("text").to_pylist(), settings, seed=seed, folder=folder, progress=progress("pretraining"))
    return lake.bundles.published(folder)
