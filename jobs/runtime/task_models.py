"""The newest model of each task that a run is about: a task of a later phase has none yet, and holds up no other."""

from __future__ import annotations

from jobs.lake import registry
from jobs.lake.registry import RegisteredModel
from jobs.runtime.context import Context


def newest_teachers(context: Context) -> dict[str, RegisteredModel]:
    """The newest teacher of each task asked for, by task; those without one are told, and left out.

    Raises:
        DataError: None of the tasks has one.
    """
    return _newest(context, "teacher", registry.TRAIN_TEACHER)


def newest_students(context: Context) -> dict[str, RegisteredModel]:
    """As `newest_teachers`, of students."""
    return _newest(context, "student", registry.DISTIL)


def _newest(context: Context, role: str, remedy: str) -> dict[str, RegisteredModel]:
    names = context.tasks()
    newest = {name: registry.newest_model(context.lake, name, role) for name in names}
    found = {name: model for name, model in newest.items() if model is not None}
    if not found:
        raise registry.no_model(context.lake, role, names, remedy)
    for name in names:
        if name not in found:
            context.reporter.say(f"  {name}: left out, it has no {role} yet; {remedy}")
    return found
