"""Pretrains what teachers begin as, on texts of the training days, and records it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyspark.sql import functions as F

from jobs.lake import registry, text_queries
from jobs.lake.commits import Stamp
from jobs.lake.registry import RegisteredModel
from jobs.lake.store import Lake
from jobs.teachers.base_model import (
    ROLE,
    Base,
    BaseSettings,
    MakeProgress,
    files_read,
    opened,
    recorded_bases,
    training_folder,
)
from models import digests
from models.rounds.date_layout import DateLayout
from models.tasks import EVERY_TASK, LabelSettings, TaskSettings, TeacherSettings

_NAMED_FIRST = ("layers", "hidden", "heads", "max_tokens", "vocabulary_size")


@dataclass(frozen=True, slots=True)
class Pretraining:
    """A pretrained model that may be yet to make.

    Attributes:
        teacher: The settings of the teachers that begin as it: sizes and schedule.
        scenes: Of all tasks: it reads the texts of them all.
        layout: The days; of the training days alone.
        seed: Draws the texts, the first weights and the masks.
        given: The model that is trained further; None for a small BERT from nothing.
    """

    teacher: TeacherSettings
    scenes: tuple[str, ...]
    layout: DateLayout
    seed: int
    given: Base | None

    @property
    def settings(self) -> BaseSettings:
        """What its row of `models` keeps."""
        return BaseSettings.of(self.teacher, self.seed, self.given)


def all_scenes(tasks: Mapping[str, TaskSettings]) -> tuple[str, ...]:
    """The scenes of all tasks."""
    return tuple(sorted({scene for task in tasks.values() for scene in task.scenes}))


def make_base(
    lake: Lake, wanted: Pretraining, clean_version: str, stamp: Stamp, progress: MakeProgress
) -> tuple[RegisteredModel, bool]:
    """Pretrain a model on the texts of the training days of now and record it; whether it is a new one.

    The same texts, sizes, schedule, seed and given model are the same base: where that is the newest one, nothing is
    made. One that was killed under way goes on where it was.
    """
    from models.teachers.pretraining import pretrain

    hashes, texts = _texts(lake, wanted)
    digest = content_digest(wanted.settings, hashes)
    earlier = recorded_bases(lake, wanted.settings)
    model_id, is_new = registry.named([one.model_id for one in earlier], f"{ROLE}/bert/{digest}")
    folder = lake.bundles.found(f"encoders/{digest}")
    if folder is None:  # also of a recorded base whose files were lost
        folder = lake.bundles.folder / "encoders" / digest
        pretrain(
            texts, wanted.teacher, seed=wanted.seed, folder=folder, progress=progress("pretraining"),
            base=None if wanted.given is None else opened(lake, wanted.given),
            checkpoints=training_folder(lake, f"{ROLE}/{digest}"),
        )  # fmt: skip
    place = lake.bundles.published(folder)
    if not is_new:
        return earlier[0], False
    base = RegisteredModel(
        model_id, EVERY_TASK, "bert", ROLE, (), None, None, place, clean_version, files_read(folder),
        _went_on_from(wanted, folder),
    )  # fmt: skip
    registry.register(lake, base, settings=wanted.settings.model_dump_json(), stamp=stamp)
    return base, True


def content_digest(settings: BaseSettings, hashes: Sequence[str]) -> str:
    """The part of a base's name that says what it is made from, 12 hex digits; `hashes` are its texts'.

    A setting that is at its default does not count, so a base of an earlier version keeps its name.
    """
    sizes = settings.model_dump(include=set(_NAMED_FIRST))
    schedule = {"steps": settings.pretrain_steps, "seed": settings.seed}
    decides = {"sizes": sizes, "schedule": schedule, "texts": list(hashes), "reads": "both"}
    named = {*_NAMED_FIRST, "pretrain_steps", "pretrain_texts", "seed"}
    others = settings.model_dump(mode="json", exclude_defaults=True, exclude=named)
    return digests.of_json(decides | ({"others": others} if others else {}), chars=12)


def _went_on_from(wanted: Pretraining, folder: Path) -> str | None:
    """Where the model was that went on learning; of one on the hub with the revision that was read."""
    if wanted.given is None:
        return None
    config = json.loads((folder / "config.json").read_text("utf-8"))
    return str(config.get("pingti_went_on_from", wanted.given.place))


def _texts(lake: Lake, wanted: Pretraining) -> tuple[Sequence[str], Sequence[str]]:
    """Hashes and texts of a draw of the training days' distinct texts, of pairs both as one."""
    everything = TaskSettings(scenes=wanted.scenes, labels={"any": LabelSettings()})
    pool = text_queries.distinct_texts(lake, EVERY_TASK, everything, wanted.layout, "train")
    drawn = pool.orderBy(text_queries.drawn_by_hash("text_hash", wanted.seed), "text_hash")
    both = F.concat_ws(" ", "text", "text_b").alias("text")  # of pairs; null is left out
    texts = drawn.limit(wanted.teacher.pretrain_texts).select("text_hash", both).toArrow()
    return texts.column("text_hash").to_pylist(), texts.column("text").to_pylist()
