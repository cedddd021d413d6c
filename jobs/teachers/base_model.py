"""What a task's teacher begins as: the model that the settings name, or a small BERT of this house.

A small BERT is a row of `models` like any other model. It is made once, and stays until it is made again on purpose or
the settings ask for another: new texts alone make no base, hence no teacher.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import ValidationError
from pyspark.sql import functions as F

from jobs.lake import registry, text_queries
from jobs.lake.commits import Stamp
from jobs.lake.registry import RegisteredModel
from jobs.lake.store import Lake
from jobs.runtime.progress import TrainingProgress
from models import digests
from models.errors import BundleError
from models.rounds.date_layout import DateLayout
from models.settings_base import Frozen
from models.tasks import EVERY_TASK, LabelSettings, TaskSettings, TeacherSettings
from udfs.storage import is_uri, without_file_scheme

ROLE = "base"
_READ = (".json", ".model", ".safetensors", ".txt")
"""The endings of those files of a model that are read: weights, sizes, and the tokenizer's."""
MakeProgress = Callable[[str], TrainingProgress]


class BaseSettings(Frozen):
    """What decides a small BERT beside its texts, as its row of `models` keeps it in `settings`.

    A field that a newer version adds needs a default here, so that rows of an older version still compare equal.
    """

    layers: int
    hidden: int
    heads: int
    max_tokens: int
    vocabulary_size: int
    pretrain_steps: int
    pretrain_texts: int
    seed: int

    @classmethod
    def of(cls, teacher: TeacherSettings, seed: int) -> Self:
        """Those of a teacher's settings."""
        return cls(**teacher.model_dump(include=set(cls.model_fields)), seed=seed)

    def equals(self, stored: str) -> bool:
        """Whether a stored row was made by these; not if this version does not understand it."""
        try:
            return BaseSettings.model_validate_json(stored) == self
        except ValidationError:
            return False


@dataclass(frozen=True, slots=True)
class Base:
    """What a teacher begins as.

    Attributes:
        place: A folder, a URI, or a name on the hub, with `@` and a revision behind it where one is known.
        identity: Names its content, as far as that is known before it is opened: the name of a recorded base, the
            digest of a folder's files, or the hub's name.
    """

    place: str
    identity: str


@dataclass(frozen=True, slots=True)
class Pretraining:
    """A small BERT that may be yet to make.

    Attributes:
        teacher: The settings of the teachers that begin as it: sizes and schedule.
        scenes: Of all tasks: it reads the texts of them all.
        layout: The days; of the training days alone.
        seed: Draws the texts, the first weights and the masks.
    """

    teacher: TeacherSettings
    scenes: tuple[str, ...]
    layout: DateLayout
    seed: int

    @property
    def settings(self) -> BaseSettings:
        """What its row of `models` keeps."""
        return BaseSettings.of(self.teacher, self.seed)


def all_scenes(tasks: Mapping[str, TaskSettings]) -> tuple[str, ...]:
    """The scenes of all tasks."""
    return tuple(sorted({scene for task in tasks.values() for scene in task.scenes}))


def known_base(lake: Lake, teacher: TeacherSettings, seed: int) -> Base | None:
    """What a teacher of these settings begins as now; None where its small BERT is yet to be pretrained.

    Needs no session. The bytes of a model in an object store or on the hub are not looked at: their name stands for
    them, and a revision that the settings name (`NAME@REVISION`) is part of it.
    """
    if teacher.source is None:
        recorded = recorded_bases(lake, BaseSettings.of(teacher, seed))
        return Base(recorded[0].path, recorded[0].model_id) if recorded else None
    folder = Path(without_file_scheme(teacher.source))
    if is_uri(teacher.source) or not folder.is_dir():
        return Base(teacher.source, teacher.source)
    return Base(teacher.source, digests.of_json(files_read(folder)))


def recorded_bases(lake: Lake, settings: BaseSettings) -> list[RegisteredModel]:
    """The recorded bases of these settings, the newest first."""
    rows = registry.with_settings(lake, EVERY_TASK, ROLE)
    return [model for model, stored in rows if settings.equals(stored)]


def files_read(folder: Path) -> dict[str, str]:
    """The digests of a model's files that are read, by their names."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.suffix in _READ)
    return {path.name: digests.of_file(path) for path in files}


def opened(lake: Lake, base: Base) -> str:
    """Where a base is read from: a folder of this machine, or a name on the hub.

    Raises:
        BundleError: A recorded base's files are missing, or are others than those that were recorded.
    """
    local = lake.bundles.files(base.place, {}).local()
    if base.identity.startswith(f"{ROLE}/"):
        found = files_read(local) if local.is_dir() else {}
        if found != registry.model(lake, base.identity).digests:
            raise BundleError(
                f"{base.place}: got {'other files' if found else 'no files'} than `models` has of {base.identity}, "
                "expected what was pretrained; copy them back, or make another by `pingti pretrain --again`"
            )
    return str(local)


def make_base(
    lake: Lake, wanted: Pretraining, clean_version: str, stamp: Stamp, progress: MakeProgress
) -> tuple[RegisteredModel, bool]:
    """Pretrain a small BERT on the texts of the training days of now and record it; whether it is a new one.

    The same texts, sizes, schedule and seed are the same base: where that is the newest one, nothing is made.
    """
    from models.teachers.pretraining import pretrain

    hashes, texts = _texts(lake, wanted)
    sizes = wanted.teacher.model_dump(
        mode="json", include={"layers", "hidden", "heads", "max_tokens", "vocabulary_size"}
    )
    schedule = {"steps": wanted.teacher.pretrain_steps, "seed": wanted.seed}
    digest = digests.of_json({"sizes": sizes, "schedule": schedule, "texts": hashes, "reads": "both"}, chars=12)
    earlier = recorded_bases(lake, wanted.settings)
    model_id, is_new = registry.named([one.model_id for one in earlier], f"{ROLE}/bert/{digest}")
    folder = lake.bundles.found(f"encoders/{digest}")
    if folder is None:  # also of a recorded base whose files were lost
        folder = lake.bundles.folder / "encoders" / digest
        pretrain(texts, wanted.teacher, seed=wanted.seed, folder=folder, progress=progress("pretraining"))
    place = lake.bundles.published(folder)
    if not is_new:
        return earlier[0], False
    base = RegisteredModel(
        model_id, EVERY_TASK, "bert", ROLE, (), None, None, place, clean_version, files_read(folder)
    )  # fmt: skip
    registry.register(lake, base, settings=wanted.settings.model_dump_json(), stamp=stamp)
    return base, True


def _texts(lake: Lake, wanted: Pretraining) -> tuple[Sequence[str], Sequence[str]]:
    """Hashes and texts of a draw of the training days' distinct texts, of pairs both as one."""
    everything = TaskSettings(scenes=wanted.scenes, labels={"any": LabelSettings()})
    pool = text_queries.distinct_texts(lake, EVERY_TASK, everything, wanted.layout, "train")
    drawn = pool.orderBy(text_queries.drawn_by_hash("text_hash", wanted.seed), "text_hash")
    both = F.concat_ws(" ", "text", "text_b").alias("text")  # of pairs; null is left out
    texts = drawn.limit(wanted.teacher.pretrain_texts).select("text_hash", both).toArrow()
    return texts.column("text_hash").to_pylist(), texts.column("text").to_pylist()
