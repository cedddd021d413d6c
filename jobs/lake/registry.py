"""The registry of models: teachers and students by name, the newest of each task, and what is in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow.compute as pc

from jobs.lake import tables
from jobs.lake.commits import Commit, Scope, Stamp
from jobs.lake.promotions import Promotion, histories
from jobs.lake.store import Lake
from models.errors import DataError
from models.folders import safe_name
from udfs.model_files import ModelFiles

TRAIN_TEACHER, DISTIL = "run `pingti train-teacher` first", "run `pingti distil` first"
EXTERNAL = "external"
"""The kind of a teacher whose scores were imported: it has no files, and nobody here can ask it anything."""
CONTENT = "content"
"""The digest, among a teacher's in `models`, of the teacher itself."""
_CHECKPOINT = "checkpoint/"


@dataclass(frozen=True, slots=True)
class RegisteredModel:
    """A row of `models`: what it is called, where it lies, and the order of its scores."""

    model_id: str
    task: str
    kind: str
    role: str
    labels: tuple[str, ...]
    teacher_id: str | None
    round_id: str | None
    path: str
    clean_version: str
    digests: Mapping[str, str] = field(default_factory=dict)
    base: str | None = None  # what a teacher began as: a folder or a hub name

    @property
    def is_external(self) -> bool:
        """Whether its scores come from outside."""
        return self.kind == EXTERNAL

    @property
    def how_to_score(self) -> str:
        """What a person does for it to score more texts, as an order."""
        if not self.is_external:
            return "run `pingti score-teacher`"
        asked = f"`pingti teacher ask --task {self.task} --teacher {self.model_id.rpartition('/')[2]}`"
        return f"{asked} writes the texts to ask it for, `pingti teacher import-scores` takes its answers"

    @property
    def intermediate_checkpoints(self) -> tuple[RegisteredModel, ...]:
        """A teacher as it was at points of its training, the earliest first; none where none were kept."""
        names = sorted(
            (name for name in self.digests if name.startswith(_CHECKPOINT)), key=lambda name: int(name.split("/")[1])
        )
        folder = self.path.rpartition("/")[0]
        return tuple(
            replace(
                self, path=f"{folder}/{teacher_folder(self.model_id, name, self.digests[name])}",
                digests={CONTENT: self.digests[name]},
            )
            for name in names
        )  # fmt: skip


def files(lake: Lake, model: RegisteredModel) -> ModelFiles:
    """The model's files, for whoever opens it, here or on an executor.

    Raises:
        DataError: Its scores come from outside: it has none.
    """
    if model.is_external:
        raise DataError(
            f"{model.model_id}: its scores come from outside, and it has no files to open; name a teacher that was "
            "trained here"
        )
    return lake.bundles.files(model.path, model.digests)


def external_id(task: str, name: str) -> str:
    """What the teacher is called whose scores `teacher import-scores --name` brings."""
    return f"{task}/teacher/{name}"


def known_model(lake: Lake, model_id: str) -> RegisteredModel | None:
    """The model of this name; None where there is none."""
    rows = lake.rows(tables.MODELS, where=pc.field("model_id") == model_id)
    return _model(rows[0]) if rows else None


def checkpoint_name(number: int) -> str:
    """What the digest of a teacher's intermediate checkpoint is called in `models`, counted from 1."""
    return f"{_CHECKPOINT}{number}"


def teacher_folder(model_id: str, name: str, digest: str) -> str:
    """What the folder of a teacher, or of one of its checkpoints, is called; it says what it holds."""
    suffix = "" if name == CONTENT else f"-{name.replace('/', '-')}"
    return f"{safe_name(model_id)}{suffix}-{digest[:8]}"


def live(lake: Lake, at: datetime | None = None) -> dict[str, Promotion]:
    """What is in force for each task, now or at a moment."""
    return {task: rows[-1] for task, rows in histories(lake, at).items()}


def model(lake: Lake, model_id: str) -> RegisteredModel:
    """The model of this name, or `DataError`."""
    found = known_model(lake, model_id)
    if found is None:
        raise DataError(
            f"{lake.catalog.name(tables.MODELS)}: no model {model_id}; `pingti sql 'SELECT model_id FROM models'` "
            "lists them"
        )
    return found


def newest_model(lake: Lake, task: str, role: str) -> RegisteredModel | None:
    """The task's latest teacher or student."""
    rows = _newest_first(lake, task, role)
    return _model(rows[0]) if rows else None


def with_settings(lake: Lake, task: str, role: str) -> list[tuple[RegisteredModel, str]]:
    """A task's models of a role, the newest first, each with the settings that it was made by, as JSON."""
    return [(_model(row), row["settings"]) for row in _newest_first(lake, task, role)]


def newest_teacher(lake: Lake, task: str) -> RegisteredModel:
    """The task's latest teacher, or `DataError` saying which job makes one."""
    return _required(lake, task, "teacher", TRAIN_TEACHER)


def newest_student(lake: Lake, task: str) -> RegisteredModel:
    """The task's latest student, or `DataError` saying which job makes one."""
    return _required(lake, task, "student", DISTIL)


def _required(lake: Lake, task: str, role: str, remedy: str) -> RegisteredModel:
    newest = newest_model(lake, task, role)
    if newest is None:
        raise no_model(lake, role, [task], remedy)
    return newest


def no_model(lake: Lake, role: str, tasks: Sequence[str], remedy: str) -> DataError:
    """What says that none of the tasks has a model of a role, and which job makes one."""
    return DataError(f"{lake.catalog.name(tables.MODELS)}: no {role} of task {', '.join(tasks)}; {remedy}")


def free_name(lake: Lake, task: str, role: str, content_name: str) -> tuple[str, bool]:
    """The name of a model whose `content_name` says what it is made from, and whether it is yet to be made.

    The newest model is in force, and a name stands for one row. So what an earlier model was made from (settings
    changed, and changed back) comes back as a model of its own, with a number behind the name.
    """
    return named([row["model_id"] for row in _newest_first(lake, task, role)], content_name)


def named(names: Sequence[str], content_name: str) -> tuple[str, bool]:
    """`free_name` among some names, the newest first."""
    same = [name for name in names if name == content_name or name.startswith(f"{content_name}-")]
    if same and same[0] == names[0]:
        return same[0], False
    return (f"{content_name}-{len(same) + 1}" if same else content_name), True


def register(lake: Lake, new: RegisteredModel, *, settings: str, stamp: Stamp) -> Commit:
    """Add the model's row, once; from then on it is its task's newest, whatever the clock of this machine says.

    Args:
        lake: The tables.
        new: The model, whose files are in their place.
        settings: What it was made by, as JSON.
        stamp: Of the run.
    """
    row = {name: getattr(new, name) for name in RegisteredModel.__slots__}
    row |= {"labels": list(new.labels), "digests": dict(new.digests)}
    row |= {"settings": settings, "created_at": _after_the_newest(lake, new), "run_id": stamp.run_id}
    scope = scope_of_teachers(new.task) if new.role == "teacher" else Scope(column="model_id", values=(new.model_id,))
    return lake.append_rows(tables.MODELS, [row], stamp, once=new.model_id, scope=scope)


def _after_the_newest(lake: Lake, new: RegisteredModel) -> datetime:
    """Now, or where another machine's clock was ahead when it registered the newest model, a moment after that."""
    earlier = _newest_first(lake, new.task, new.role)
    now = datetime.now(UTC)
    return max(now, earlier[0]["created_at"] + timedelta(microseconds=1)) if earlier else now


def scope_of_teachers(task: str) -> Scope:
    """What a commit of a task's new teacher covers: the names that its teachers have."""
    return Scope(column="model_id", values=(f"{task}/teacher/*",))


def _newest_first(lake: Lake, task: str, role: str) -> list[dict[str, Any]]:
    rows = lake.rows(tables.MODELS, where=(pc.field("task") == task) & (pc.field("role") == role))
    return sorted(sorted(rows, key=lambda row: row["model_id"]), key=lambda row: row["created_at"], reverse=True)


def _model(row: Mapping[str, Any]) -> RegisteredModel:
    values = {name: row[name] for name in RegisteredModel.__slots__}
    return RegisteredModel(**values | {"labels": tuple(row["labels"])})


def aligned_labels(own: Sequence[str], wanted: Sequence[str]) -> list[int | None]:
    """Where each wanted label stands among a model's own; None for one that it does not know."""
    place = {label: at for at, label in enumerate(own)}
    return [place.get(label) for label in wanted]
