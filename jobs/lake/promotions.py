"""What is in force: a model with its thresholds for each task, as the rows of `promotions` say it, in their order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Literal, Self

import pyarrow as pa
import pyarrow.compute as pc

from jobs.lake import tables
from jobs.lake.commits import Commit, Stamp
from jobs.lake.store import Lake
from models.errors import SettingsError

Action = Literal["promote", "force", "rollback"]


@dataclass(frozen=True, slots=True)
class Promotion:
    """A model and the version of its thresholds that are put in force for a task, and why.

    Attributes:
        task: The task.
        model_id: Its student.
        threshold_version: Of the student's thresholds.
        reason: Why, in words.
        withheld: Labels of the model that are not decided, sorted.
        action: By the gate, past the gate (`force`), or back to what was in force before.
    """

    task: str
    model_id: str
    threshold_version: int
    reason: str
    withheld: tuple[str, ...] = ()
    action: Action = "promote"

    @property
    def in_force(self) -> tuple[str, int]:
        """The model and the version of its thresholds."""
        return self.model_id, self.threshold_version

    @property
    def state(self) -> tuple[str, int, tuple[str, ...]]:
        """What decides labels: the model, the version of its thresholds, and the labels that are withheld."""
        return self.model_id, self.threshold_version, self.withheld

    def same_as(self, other: Promotion | None) -> bool:
        """Whether both put the same in force."""
        return other is not None and self.state == other.state


@dataclass(frozen=True, slots=True)
class NamedModel:
    """A model, and where it was said a version of its thresholds, as the command line names them."""

    model_id: str
    version: int | None = None

    @classmethod
    def parse(cls, text: str, option: str) -> Self:
        """`praise/textcnn/ab12` or `praise/textcnn/ab12@2`."""
        model_id, at, version = text.partition("@")
        if not model_id or (at and not version.isdecimal()):
            raise SettingsError(f"{option}: got {text!r}, expected MODEL or MODEL@VERSION, such as praise/textcnn/ab@2")
        return cls(model_id, int(version) if at else None)

    def names(self, model_id: str, version: int | None) -> bool:
        """Whether it is this model, and this version of its thresholds if one was said."""
        return self.model_id == model_id and self.version in (None, version)


def histories(lake: Lake, at: datetime | None = None) -> dict[str, list[Promotion]]:
    """What was put in force for each task, up to now or to a moment, in its order."""
    rows = lake.rows(tables.PROMOTIONS, where=None if at is None else pc.field("from_ts") <= pa.scalar(at))
    found: dict[str, list[Promotion]] = {}
    for row in sorted(rows, key=lambda row: row["from_ts"]):
        found.setdefault(row["task"], []).append(_promotion(row))
    return found


def append(lake: Lake, promotions: Iterable[Promotion], stamp: Stamp, version: int) -> Commit:
    """Put all of them in force at one moment, unless somebody did so after this version of the table was looked at.

    The moment is now, or where the clock of another machine was ahead, just after the newest row: the last that was
    written is in force.

    Raises:
        ConflictError: Another promotion or rollback was first.
    """
    newest = max((row["from_ts"] for row in lake.rows(tables.PROMOTIONS, "from_ts")), default=None)
    now = datetime.now(UTC)
    moment = now if newest is None else max(now, newest + timedelta(microseconds=1))
    rows = [
        {
            "task": one.task, "from_ts": moment, "model_id": one.model_id, "threshold_version": one.threshold_version,
            "reason": one.reason, "run_id": stamp.run_id, "action": one.action, "withheld": list(one.withheld),
        }
        for one in promotions
    ]  # fmt: skip
    return lake.append_rows_after(tables.PROMOTIONS, rows, stamp, version)


def before_the_last(history: Sequence[Promotion]) -> Promotion | None:
    """What was in force before what is now; None where nothing else was."""
    return next((one for one in reversed(history) if not one.same_as(history[-1])), None)


def rolled_back(history: Sequence[Promotion]) -> frozenset[NamedModel]:
    """What a rollback took out of force and nobody put back: whole models, or versions where the model stayed."""
    barred: set[NamedModel] = set()
    for earlier, later in pairwise(history):
        if later.action == "rollback":
            stayed = later.model_id == earlier.model_id
            barred.add(NamedModel(earlier.model_id, earlier.threshold_version if stayed else None))
        barred = {one for one in barred if not one.names(*later.in_force)}
    return frozenset(barred)


def _promotion(row: Mapping[str, Any]) -> Promotion:
    # Rows of warehouses that had no such column yet: their rollbacks can be told by the reason they had by default.
    action: Action = row.get("action") or ("rollback" if row["reason"] == "rollback" else "promote")
    withheld = tuple(sorted(row.get("withheld") or ()))
    return Promotion(row["task"], row["model_id"], row["threshold_version"], row["reason"], withheld, action)
