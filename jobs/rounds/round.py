"""A round: one value that says all that it is made from; and which round is a task's next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow.compute as pc
from pydantic import ValidationError

from jobs.lake import registry, tables, text_queries
from jobs.lake.commits import Scope
from jobs.lake.registry import RegisteredModel
from jobs.lake.store import Lake
from jobs.teachers import held_out
from models.errors import DataError
from models.evaluation.label_trust import TrustByLabel, as_mapping, none_trusted
from models.rounds.date_layout import ANNOTATED, PARTS, RANDOM, DateLayout, RoundSettings, Window
from models.settings_base import Frozen
from models.student_settings import StudentSettings
from models.tasks import Target, TaskSettings

UNDISTILLED = "none"
"""The scheme of a student that learns from annotators alone."""


@dataclass(frozen=True, slots=True)
class Round:
    """One distillation iteration: plan, sample, train, evaluate, decide.

    Attributes:
        round_id: task/student/nn.
        declared: The task as the settings declare it.
        number: Among the rounds of this teacher.
        sampling: The strategy that draws its rows (`jobs.rounds.sampling`).
        teacher: Whom the student learns from.
        layout: Its days.
        seed: Of its draws and trainings.
        trust: How far the teacher teaches each label, 0 to 1; empty: all the way.
    """

    round_id: str
    declared: TaskSettings
    number: int
    sampling: str
    teacher: RegisteredModel
    layout: DateLayout
    seed: int
    trust: TrustByLabel = field(default_factory=dict)

    @property
    def task_name(self) -> str:
        """The task."""
        return self.teacher.task

    @property
    def task(self) -> TaskSettings:
        """The task with the labels that the teacher knows, in the settings' order: nobody could teach the others."""
        return self.declared.of(self.teacher.labels)

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of the round's student."""
        return self.task.label_names

    @property
    def student(self) -> StudentSettings:
        """The student's settings."""
        return self.declared.student

    @property
    def is_undistilled(self) -> bool:
        """Whether the teacher is trusted with no label: the student learns from annotators alone."""
        return none_trusted(self.trust)

    @property
    def scheme(self) -> str:
        """How its student learns, as `rounds` keeps it."""
        return UNDISTILLED if self.is_undistilled else self.student.scheme.kind

    @property
    def scope(self) -> Scope:
        """What its commits replace."""
        return Scope(column="round_id", values=(self.round_id,))


class DecidingSettings(Frozen):
    """What of the settings decides a round's student, as `rounds.settings` keeps it in JSON.

    A field that a newer version adds has its default here, so that a row of an older version still compares equal
    where nothing was set otherwise.
    """

    student: StudentSettings
    rounds: RoundSettings
    targets: Mapping[str, Target]

    @classmethod
    def of(cls, task: TaskSettings, rounds: RoundSettings) -> DecidingSettings:
        """Those of today's settings. `task` has the labels that its teacher knows."""
        targets = {label: settings.target for label, settings in task.labels.items()}
        return cls(student=task.student, rounds=rounds, targets=targets)

    def as_json(self) -> str:
        """As `rounds.settings` has it: without the margins, at which `promote` looks again."""
        return self.model_dump_json(exclude={"rounds": {"undistilled_margin", "seed_deviation"}})

    def equals(self, stored: str) -> bool:
        """Whether a stored row was decided by these; not if this version does not understand it."""
        try:
            return DecidingSettings.model_validate_json(stored).as_json() == self.as_json()
        except ValidationError:
            return False


def next_round(
    lake: Lake, name: str, declared: TaskSettings, settings: RoundSettings, *, believe: bool = False
) -> Round | None:
    """A task's next round: where the last one asked to go on, or there is a new teacher, or other settings.

    Also where the last one's student learnt without the teacher, and now it is trusted with a label. Not the other way
    round: what learnt from it because somebody said so is not made again without it the next night. With `believe` it
    is trusted with every label, whatever annotators say.
    """
    teacher = registry.newest_teacher(lake, name)
    kind = declared.student.kind
    trust = {} if believe else as_mapping(held_out.trust(lake, teacher))
    columns = ("round_id", "teacher_id", "number", "sampling", "decision", "next_sampling", "settings", "trust")
    rows = lake.rows(tables.ROUNDS, *columns, where=(pc.field("task") == name) & (pc.field("student") == kind))
    of_teacher = [row for row in rows if row["teacher_id"] == teacher.model_id]
    last = max(of_teacher, key=lambda row: int(row["round_id"].rpartition("/")[2]), default=None)
    if last is None:
        number, sampling = _first_round(lake, teacher, settings)
    elif last["decision"] == "go_on":
        number, sampling = last["number"] + 1, last["next_sampling"]
    elif not DecidingSettings.of(declared.of(teacher.labels), settings).equals(last["settings"]):
        number, sampling = last["number"], last["sampling"]  # ended, but by other settings: the same round by these
    elif none_trusted(dict(last["trust"] or {})) and not none_trusted(trust):
        number, sampling = _first_round(lake, teacher, settings)
    else:
        return None
    if none_trusted(trust):
        number, sampling = 1, ANNOTATED  # the other strategies draw what only the teacher decided
    round_id = f"{name}/{kind}/{len(rows) + 1:02d}"
    return Round(
        round_id, declared, number, sampling, teacher, text_queries.date_layout(lake, settings), settings.seed, trust
    )


def _first_round(lake: Lake, teacher: RegisteredModel, settings: RoundSettings) -> tuple[int, str]:
    """The number and the sampling of a teacher's first round.

    Rounds that would learn from annotated texts alone are passed over where a teacher from outside has none.
    """
    if teacher.is_external and not _has_own_rows(lake, teacher):
        numbers = range(1, settings.rounds + 1)
        drawing = (number for number in numbers if settings.sampling_of(number) != ANNOTATED)
        return next(drawing, settings.rounds), RANDOM
    return 1, settings.sampling_of(1)


def _has_own_rows(lake: Lake, teacher: RegisteredModel) -> bool:
    where = pc.field("round_id") == teacher.model_id
    return bool(lake.arrow(tables.ROUND_SAMPLES, "position", where=where).num_rows)


def stored_round(lake: Lake, name: str, declared: TaskSettings, round_id: str | None, seed: int) -> Round:
    """A round that ended, by its name or a task's newest, as something to train on again.

    Raises:
        DataError: There is none, or its rows have other labels than the settings.
    """
    rows = lake.rows(tables.ROUNDS, where=pc.field("task") == name)
    wanted = [row for row in rows if round_id in (None, row["round_id"])]
    row = max(wanted, key=lambda row: (row["run_id"], row["round_id"]), default=None)
    if row is None:
        raise DataError(f"compare: no round {round_id or ''} of {name}; run `pingti distil`, or name one that ended")
    layout = DateLayout(**{part: Window(**row["layout"][part]) for part in PARTS})
    teacher = registry.model(lake, row["teacher_id"])
    trust = dict(row["trust"] or {})
    stored = Round(row["round_id"], declared, row["number"], row["sampling"], teacher, layout, seed, trust)
    labels = registry.model(lake, row["model_id"]).labels
    if labels != stored.labels:
        raise DataError(
            f"compare: the rows of {stored.round_id} have the labels {', '.join(labels)}, the settings have "
            f"{', '.join(stored.labels)}; run `pingti distil` for a round of these"
        )
    return stored


def layout_row(layout: DateLayout) -> dict[str, dict[str, Any]]:
    """A layout as `rounds.layout` has it."""
    windows = {part: layout.window(part) for part in PARTS}
    return {part: {"first": window.first, "last": window.last} for part, window in windows.items()}
