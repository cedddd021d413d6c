"""What a task's teacher begins as: the model that the settings name, or one that was pretrained here.

A model pretrained here is a row of `models` like any other: a small BERT, or a given model that went on learning. It is
made once, and stays until it is made again on purpose or the settings ask for another: new texts alone make no base,
hence no teacher.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import ValidationError

from jobs.lake import registry
from jobs.lake.registry import RegisteredModel
from jobs.lake.store import Lake
from jobs.runtime.progress import TrainingProgress
from models import digests
from models.errors import BundleError
from models.folders import safe_name
from models.settings_base import Frozen
from models.tasks import EVERY_TASK, TeacherSettings
from udfs.storage import is_uri, without_file_scheme

ROLE = "base"
_SIZES = ("layers", "hidden", "heads", "vocabulary_size")
_READ = (".json", ".model", ".safetensors", ".txt")
"""The endings of those files of a model that are read: weights, sizes, and the tokenizer's."""
MakeProgress = Callable[[str], TrainingProgress]


class BaseSettings(Frozen):
    """What decides a model that is pretrained here beside its texts, as its row of `models` keeps it in `settings`.

    A field that a newer version adds needs a default here, so that rows of an older version still compare equal. What
    a given model decides by itself is null: its sizes and its vocabulary.
    """

    layers: int | None
    hidden: int | None
    heads: int | None
    max_tokens: int
    vocabulary_size: int | None
    pretrain_steps: int
    pretrain_texts: int
    seed: int
    goes_on_from: str | None = None  # the identity of the given model
    pretrain_objective: str = "mlm"
    pretrain_masking: str = "tokens"
    pretrain_masked: tuple[float, float] = (0.15, 0.15)

    @classmethod
    def of(cls, teacher: TeacherSettings, seed: int, given: Base | None = None) -> Self:
        """Those of a teacher's settings; `given` is the model that is trained further."""
        values = teacher.model_dump(include=set(cls.model_fields))
        values |= {"pretrain_steps": teacher.pretraining_steps, "pretrain_masked": teacher.masked_shares, "seed": seed}
        if given is not None:
            values |= dict.fromkeys(_SIZES) | {"goes_on_from": given.identity}
        return cls(**values)

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


def given_base(teacher: TeacherSettings) -> Base | None:
    """The model that a teacher's settings name; None where they name none.

    The bytes of a model in an object store or on the hub are not looked at: their name stands for them, and a revision
    that the settings name (`NAME@REVISION`) is part of it.
    """
    if teacher.source is None:
        return None
    folder = Path(without_file_scheme(teacher.source))
    if is_uri(teacher.source) or not folder.is_dir():
        return Base(teacher.source, teacher.source)
    return Base(teacher.source, digests.of_json(files_read(folder)))


def known_base(lake: Lake, teacher: TeacherSettings, seed: int) -> Base | None:
    """What a teacher of these settings begins as now; None where it is yet to be pretrained. Needs no session."""
    given = given_base(teacher)
    if given is not None and not teacher.is_pretrained_here:
        return given
    recorded = recorded_bases(lake, BaseSettings.of(teacher, seed, given))
    return Base(recorded[0].path, recorded[0].model_id) if recorded else None


def training_folder(lake: Lake, model_id: str) -> Path:
    """Where a training keeps its state until it is done; its name has the libraries, which decide its bits too."""
    import torch
    import transformers

    made_by = digests.of_json([torch.__version__, transformers.__version__], chars=8)
    return lake.bundles.folder / "training" / f"{safe_name(model_id)}-{made_by}"


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
