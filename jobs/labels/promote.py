"""`models` + `thresholds` -> `promotions`: one row puts a model and its thresholds in force; so does a rollback."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pyarrow.compute as pc

from jobs.lake import registry, tables, threshold_queries
from jobs.lake.registry import Promotion
from jobs.lake.store import Lake
from jobs.runtime.context import Context
from jobs.runtime.job import Done, Job, Work
from models.errors import DataError, GateError
from models.rounds import round_decision
from models.rounds.date_layout import RoundSettings


@dataclass(frozen=True, slots=True)
class Switch:
    """What is put in force, and why the students of other tasks are not."""

    promotions: tuple[Promotion, ...]
    refused: tuple[str, ...] = ()


def plan(context: Context) -> Work[Switch]:
    """The newest student of each task with its newest thresholds, where another is in force.

    A student that must not be put in force holds up no other task's.

    Raises:
        DataError: A task has no student, or one without thresholds.
        GateError: None that is to be put in force may be.
    """
    lake, live = context.lake, registry.live(context.lake)
    reason = context.request.options.get("reason") or "newest student and thresholds"
    wanted = [newest(lake, name, reason) for name in context.tasks()]
    changed = [one for one in wanted if not one.same_as(live.get(one.task))]
    refusals = {one: refusal(lake, one.model_id, context.settings.rounds) for one in changed}
    refused = tuple(why for why in refusals.values() if why)
    if refused and len(refused) == len(refusals):
        raise _gate_error(refused)
    return _work(Switch(tuple(one for one, why in refusals.items() if not why), refused))


def newest(lake: Lake, name: str, reason: str) -> Promotion:
    """A task's newest student with its newest thresholds."""
    student = registry.newest_student(lake, name)
    version = threshold_queries.newest_version(lake, student.model_id)
    if version is None:
        raise DataError(f"promote: {student.model_id} has no thresholds; run `pingti thresholds` first")
    return Promotion(name, student.model_id, version, reason)


def refusal(lake: Lake, model_id: str, settings: RoundSettings) -> str | None:
    """Why a student must not be put in force, from its newest round; None if it may be."""
    rounds = lake.rows(tables.ROUNDS, "run_id", "metrics", "row_counts", where=pc.field("model_id") == model_id)
    last = max(rounds, key=lambda row: row["run_id"], default=None)
    if last is None:
        return f"{model_id}: its round did not end; run `pingti distil`"
    lost = round_decision.loses(last["metrics"], last["row_counts"], settings)
    return f"{model_id}: {lost}" if lost else None


def _gate_error(refused: Sequence[str]) -> GateError:
    return GateError(
        f"promote: {'; '.join(refused)}; not promoted: distil by another scheme, train a better teacher, or raise "
        "the margin"
    )


def plan_rollback(context: Context) -> Work[Switch]:
    """What was in force before what is now, for each task that has such."""
    rows = context.lake.rows(tables.PROMOTIONS, where=pc.field("task").isin(context.tasks()))
    rows.sort(key=lambda row: row["from_ts"])
    reason = context.request.options.get("reason") or "rollback"
    back = []
    for name in context.tasks():
        history = [replace(registry.promotion(row), reason=reason) for row in rows if row["task"] == name]
        earlier = [one for one in history if not one.same_as(history[-1])]
        back += earlier[-1:]
    if not back:
        raise DataError(
            "rollback: nothing else was in force before; `pingti sql 'SELECT * FROM promotions'` shows the history"
        )
    return _work(Switch(tuple(back)))


def _work(switch: Switch) -> Work[Switch]:
    steps = (f"{one.task}: {one.model_id}, thresholds version {one.threshold_version}" for one in switch.promotions)
    return Work(tuple(steps), switch)


def execute(context: Context, work: Switch) -> Done:
    """Append the rows of all tasks in one commit, so that tasks that depend on each other switch together.

    Where students of other tasks must not be put in force, the run ends with a `GateError` for all that.
    """
    now = datetime.now(UTC)
    rows = [
        {
            "task": one.task, "from_ts": now, "model_id": one.model_id, "threshold_version": one.threshold_version,
            "reason": one.reason, "run_id": context.run_id,
        }
        for one in work.promotions
    ]  # fmt: skip
    context.lake.append_rows(tables.PROMOTIONS, rows, context.stamp())
    error = _gate_error(work.refused) if work.refused else None
    return Done(
        counts={"promotions": len(rows)}, headline="promotions", error=error, reason=str(error) if error else None
    )


_READS = (tables.MODELS, tables.THRESHOLDS, tables.ROUNDS, tables.PROMOTIONS)
JOB = Job("promote", plan, execute, reads=_READS, writes=(tables.PROMOTIONS,), needs_session=False)
ROLLBACK = Job(
    "rollback", plan_rollback, execute, reads=(tables.PROMOTIONS,), writes=(tables.PROMOTIONS,), needs_session=False
)
