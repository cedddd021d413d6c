"""Labels that require or exclude others: the order of decisions, and the decisions themselves."""

from __future__ import annotations

from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Any, Protocol, TypeVar

from models.tasks import TaskSettings

Label = tuple[str, str]
"""A label's full name: its task and its own name."""

T = TypeVar("T", bound="Truth")


def resolve(tasks: Mapping[str, TaskSettings], task: str, reference: str) -> Label:
    """The full name of a reference met in `task`: its own `label`, or `task.label` for another task's.

    Names may have dots: one that is a label of the task itself is that, and else the first dot that tells a task from
    one of its labels parts them.
    """
    if reference in tasks[task].labels:
        return task, reference
    heads = [at for at, sign in enumerate(reference) if sign == "."]
    parted = [(reference[:at], reference[at + 1 :]) for at in heads]
    known = [(head, tail) for head, tail in parted if head in tasks and tail in tasks[head].labels]
    return known[0] if known else parted[0] if parted else (task, reference)


def order(tasks: Mapping[str, TaskSettings]) -> tuple[Label, ...]:
    """All labels, each after those it requires and those that exclude it.

    Raises:
        ValueError: on a reference to an unknown label, and on a cycle (two labels that exclude each other among
            them: say which of the two wins by declaring only one side).
    """
    known = {(name, label) for name, task in tasks.items() for label in task.labels}
    before: dict[Label, list[Label]] = {label: [] for label in sorted(known)}
    for name, task in tasks.items():
        for label, settings in task.labels.items():
            requires = [resolve(tasks, name, reference) for reference in settings.requires]
            excludes = [resolve(tasks, name, reference) for reference in settings.excludes]
            for other in (*requires, *excludes):
                if other not in known:
                    raise ValueError(f"{name}.{label} refers to {'.'.join(other)}, which no task declares")
            before[name, label] += requires
            for other in excludes:
                before[other].append((name, label))
    try:
        return tuple(TopologicalSorter(before).static_order())
    except CycleError as error:
        cycle = " -> ".join(".".join(label) for label in error.args[1])
        raise ValueError(f"labels wait for each other: {cycle}; drop one side") from None


def excluders(tasks: Mapping[str, TaskSettings]) -> dict[Label, tuple[Label, ...]]:
    """For each label, the labels that remove it when they hold."""
    removed_by: dict[Label, list[Label]] = {}
    for name, task in tasks.items():
        for label, settings in task.labels.items():
            for reference in settings.excludes:
                removed_by.setdefault(resolve(tasks, name, reference), []).append((name, label))
    return {label: tuple(others) for label, others in removed_by.items()}


def task_order(tasks: Mapping[str, TaskSettings]) -> tuple[str, ...]:
    """The tasks in the order of their first decided label."""
    return tuple(dict.fromkeys(task for task, _ in order(tasks)))


def dependents(tasks: Mapping[str, TaskSettings], changed: str) -> frozenset[str]:
    """The tasks that must be decided again when `changed` is: itself, and all that depend on it, however far."""
    reads = _reads(tasks)
    reached, frontier = {changed}, {changed}
    while frontier:
        frontier = {name for name, sources in reads.items() if sources & frontier} - reached
        reached |= frontier
    return frozenset(reached)


def dependencies(tasks: Mapping[str, TaskSettings], decided: str) -> frozenset[str]:
    """The tasks that `decided` is decided from: itself, and all that its labels require or are excluded by."""
    reads = _reads(tasks)
    reached, frontier = {decided}, {decided}
    while frontier:
        frontier = {source for name in frontier for source in reads[name]} - reached
        reached |= frontier
    return frozenset(reached)


def _reads(tasks: Mapping[str, TaskSettings]) -> dict[str, set[str]]:
    """By task, those that its labels require or are excluded by, itself among them where they are its own."""
    reads: dict[str, set[str]] = {name: set() for name in tasks}
    for name, task in tasks.items():
        for label in task.labels.values():
            reads[name] |= {resolve(tasks, name, reference)[0] for reference in label.requires}
            for reference in label.excludes:
                reads[resolve(tasks, name, reference)[0]].add(name)
    return reads


class Truth(Protocol):
    """What decisions are made of: NumPy's boolean arrays, or columns of a data frame."""

    def __and__(self, other: Any, /) -> Any: ...
    def __invert__(self) -> Any: ...


def decide(tasks: Mapping[str, TaskSettings], above: Mapping[Label, T], *, never: T) -> dict[Label, T]:
    """Which labels hold, given which scores reach their thresholds. One code for arrays and for Spark's columns.

    Args:
        tasks: All tasks whose labels may refer to each other.
        above: For each label, where the score of a text reaches its threshold. A label that is absent holds nowhere
            (its task has no promoted student).
        never: A value that is false everywhere.

    Returns:
        For every label of `above`, where it holds: its score is high enough, all it requires hold, and no label that
        excludes it holds.
    """
    removed_by = excluders(tasks)
    holds: dict[Label, T] = {}
    for task, label in order(tasks):
        if (task, label) not in above:
            continue
        held = above[task, label]
        for reference in tasks[task].labels[label].requires:
            held = held & holds.get(resolve(tasks, task, reference), never)
        for other in removed_by.get((task, label), ()):
            if other in holds:
                held = held & ~holds[other]
        holds[task, label] = held
    return holds
