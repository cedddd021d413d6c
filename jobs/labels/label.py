"""`student_scores` + `thresholds` + `promotions` + `texts` -> `labels`: decisions, with the labels' dependencies."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from pyspark.sql import DataFrame

from jobs.days import made_days
from jobs.days.live_files import LiveFiles
from jobs.labels.label_decisions import Decider, count_undecidable, decide_labels, deciders
from jobs.lake import registry, tables
from jobs.runtime import daily
from jobs.runtime.context import Context
from jobs.runtime.daily import DailyWork, PartRecipe
from jobs.runtime.job import Done, Job, Work
from models import digests, label_dependencies
from models.errors import DataError
from models.tasks import TaskSettings
from udfs.label_deciding import DECIDING_VERSION

READS = (tables.TEXTS, tables.STUDENT_SCORES)


@dataclass(frozen=True, slots=True)
class Labelling:
    """The days and tasks to decide, and all that decides them or that their labels depend on."""

    cells: DailyWork
    deciders: Mapping[str, Decider]


def plan(context: Context) -> Work[Labelling]:
    """Decide the tasks asked for and all that depend on them, on the days that have news."""
    tasks = context.settings.tasks
    promoted = deciders(context.lake, tasks, registry.live(context.lake))
    asked = {name for task in context.tasks() for name in label_dependencies.dependents(tasks, task)}
    order = label_dependencies.task_order(tasks)
    decided = [name for name in order if name in asked and name in promoted]
    if not decided:
        raise DataError(f"label: none of {', '.join(sorted(asked))} has a promoted model; run `pingti promote` first")
    texts, scores = LiveFiles(context.lake, tables.TEXTS), LiveFiles(context.lake, tables.STUDENT_SCORES)
    recipes = {}
    for name in decided:
        needed = _needed(tasks, promoted, name)
        reads = [(texts, ""), *((scores, promoted[one].model.model_id) for one in needed)]
        recipes[name] = PartRecipe(_decides(tasks, promoted, needed), tuple(reads), _about(tasks, promoted, name))
    work = daily.plan(context, tables.LABELS, recipes, lambda days, name: f"decide {name} for {days}")
    if work.payload is None:
        return Work(remember=work.remember)
    needed_by_all = {one for name in work.payload.parts for one in _needed(tasks, promoted, name)}
    used = {name: decider for name, decider in promoted.items() if name in needed_by_all}
    return Work(work.steps, Labelling(work.payload, used), work.remember)


def _needed(tasks: Mapping[str, TaskSettings], promoted: Mapping[str, Decider], name: str) -> tuple[str, ...]:
    """The promoted tasks that a task's labels are decided from, itself among them."""
    return tuple(sorted(label_dependencies.dependencies(tasks, name) & promoted.keys()))


def _about(tasks: Mapping[str, TaskSettings], promoted: Mapping[str, Decider], name: str) -> str:
    """What the view `label_days` tells of a day of a task: what decided it, and what it needs of other tasks.

    A task that is needed and has nothing in force has no `model_id`.
    """
    needs = sorted(label_dependencies.dependencies(tasks, name) - {name})
    needed = [{"task": one} | (_in_force(promoted[one]) if one in promoted else {"model_id": None}) for one in needs]
    return json.dumps(_in_force(promoted[name]) | ({"needs": needed} if needed else {}))


def _in_force(decider: Decider) -> dict[str, Any]:
    promotion = decider.promotion
    return {
        "model_id": promotion.model_id, "threshold_version": promotion.threshold_version,
        "withheld": sorted(promotion.withheld),
    }  # fmt: skip


def _decides(tasks: Mapping[str, TaskSettings], promoted: Mapping[str, Decider], needed: Iterable[str]) -> str:
    """Names what decides a task's labels, given the scores: promotions, and what the labels depend on."""
    return digests.of_json(
        {
            "deciding": DECIDING_VERSION,
            "promotions": {name: promoted[name].promotion.state for name in needed},
            "tasks": {
                name: [
                    tasks[name].kind,
                    sorted(tasks[name].scenes),
                    {label: [one.requires, one.excludes] for label, one in tasks[name].labels.items()},
                ]
                for name in needed
            },
        },
        chars=32,
    )  # fmt: skip


def execute(context: Context, work: Labelling) -> Done | None:
    """Decide the days in one commit."""
    if daily.already_committed(context, work.cells):
        return None
    lake, tasks, cells = context.lake, context.settings.tasks, work.cells
    days = daily.on_days(cells.days)
    texts, scores = lake.read(tables.TEXTS).where(days), lake.read(tables.STUDENT_SCORES).where(days)
    _check_scored(texts, scores, tasks, work)
    labels = decide_labels(texts, scores, tasks, work.deciders).where(cells.holds("task"))
    commit = lake.replace(labels, tables.LABELS, context.stamp(cells.fingerprint), cells.scope)
    daily.record(context, cells, commit.version)
    return Done(counts={"labels": commit.rows, "days": len(cells.days)}, headline="labels")


def _check_scored(texts: DataFrame, scores: DataFrame, tasks: Mapping[str, TaskSettings], work: Labelling) -> None:
    """Refuse days on which a text has no score of a deciding model: it would be decided negative unseen.

    A score of an earlier cleaning decides no more: it is of another text.
    """
    days: dict[str, set[date]] = {name: set() for name in work.deciders}
    for part in work.cells.parts:
        for name in _needed(tasks, work.deciders, part):
            days[name] |= work.cells.days_of(part)
    needed = {name: daily.on_days(own) for name, own in days.items()}
    found = count_undecidable(texts, scores, tasks, needed, work.deciders)
    if found:
        problems = "; ".join(f"{count} texts have {problem} of {model}" for (model, problem), count in found.items())
        over = made_days.in_words(work.cells.days)
        raise DataError(f"label: {problems} ({over}); run `pingti score` over these days")


JOB = Job(
    "label", plan, execute, reads=(*READS, tables.MODELS, tables.THRESHOLDS, tables.PROMOTIONS), writes=(tables.LABELS,)
)
