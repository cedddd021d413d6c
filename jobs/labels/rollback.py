"""`promotions` -> `promotions`: what was in force before is put back, by one more row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from jobs.lake import promotions, registry, tables
from jobs.lake.promotions import NamedModel, Promotion
from jobs.runtime.context import Context
from jobs.runtime.job import Done, Job, Work
from models.errors import DataError, SettingsError


@dataclass(frozen=True, slots=True)
class Return:
    """What is put back in force, decided from this version of `promotions`."""

    promotions: tuple[Promotion, ...]
    version: int


def plan(context: Context) -> Work[Return]:
    """What `--to` names, or what was in force before what is now; nothing where that is in force already.

    Without `--to`, a task that a rollback put where it is stays there: the same command, run again after it was killed
    behind its commit, must not swing back. `--to` reaches whatever was in force once.

    Raises:
        DataError: Nothing else was in force before, or never what `--to` names.
        SettingsError: `--to` is of another task than `--task`.
    """
    version = context.lake.log.version(tables.PROMOTIONS)
    histories, to = promotions.histories(context.lake), context.request.options.get("to")
    back = [_named(context, histories, to)] if to else _before(context, histories)
    reason = context.request.options.get("reason") or "rollback"
    changed = [one for one in back if not one.same_as(histories[one.task][-1])]
    again = tuple(replace(one, reason=reason, action="rollback") for one in changed)
    steps = (f"put {one.model_id}@{one.threshold_version} back in force for {one.task}" for one in again)
    return Work(tuple(steps), Return(again, version))


def _named(context: Context, histories: Mapping[str, Sequence[Promotion]], to: str) -> Promotion:
    """The last promotion of what `--to` names."""
    named = NamedModel.parse(to, "--to")
    task = registry.model(context.lake, named.model_id).task
    if context.request.task not in (None, task):
        raise SettingsError(f"--to: {named.model_id} is of the task {task}, --task says {context.request.task}")
    history = histories.get(task, ())
    for one in reversed(history):
        if named.names(*one.in_force):
            return one
    known = ", ".join(dict.fromkeys(f"{one.model_id}@{one.threshold_version}" for one in history)) or "nothing"
    raise DataError(
        f"rollback: got --to {to}, expected what was in force for {task} once: {known}; `pingti promote --model` puts "
        "others in force"
    )


def _before(context: Context, histories: Mapping[str, Sequence[Promotion]]) -> list[Promotion]:
    """For each task what was in force before; where that was put back already, what is in force."""
    back = []
    for name in context.tasks():
        history = histories.get(name, ())
        if history and history[-1].action == "rollback":
            context.reporter.say(f"  {name}: rolled back already; --to reaches further back")
            back.append(history[-1])
        elif history and (earlier := promotions.before_the_last(history)) is not None:
            back.append(earlier)
    if not back:
        raise DataError(
            "rollback: nothing else was in force before; `pingti sql 'SELECT * FROM promotions'` shows the history"
        )
    return back


def execute(context: Context, work: Return) -> Done:
    """Append the rows of all tasks in one commit, so that tasks that depend on each other switch together."""
    promotions.append(context.lake, work.promotions, context.stamp(), work.version)
    return Done(counts={"promotions": len(work.promotions)}, headline="promotions")


JOB = Job(
    "rollback", plan, execute, reads=(tables.MODELS, tables.PROMOTIONS), writes=(tables.PROMOTIONS,),
    needs_session=False,
)  # fmt: skip
