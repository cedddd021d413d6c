"""`student_scores` + `thresholds` + `promotions` + `texts` -> `labels`: decisions, with the labels' dependencies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.labels.label_decisions import Decider, decide_labels, deciders
from jobs.lake import registry, tables, text_queries
from jobs.lake.commits import Scope
from jobs.runtime.context import Context, Days
from jobs.runtime.job import Done, Job, Work
from models import label_dependencies
from models.errors import DataError
from models.tasks import TaskSettings

READS = (tables.TEXTS, tables.STUDENT_SCORES)


@dataclass(frozen=True, slots=True)
class Labelling:
    """The days and tasks to decide, and the scores that those tasks' labels depend on."""

    days: Days
    tasks: tuple[str, ...]
    deciders: Mapping[str, Decider]
    fingerprint: str

    @property
    def scope(self) -> Scope:
        """What the run's one commit replaces."""
        return Scope(self.days.first, self.days.last, "task", self.tasks)


def plan(context: Context) -> Work[Labelling]:
    """Decide the tasks asked for and all that depend on them, unless nothing they are decided from has changed."""
    tasks = context.settings.tasks
    promoted = deciders(context.lake, tasks, registry.live(context.lake))
    asked = {name for task in context.tasks() for name in label_dependencies.dependents(tasks, task)}
    order = label_dependencies.task_order(tasks)
    decided = tuple(name for name in order if name in asked and name in promoted)
    if not decided:
        raise DataError(f"label: none of {', '.join(sorted(asked))} has a promoted model; run `pingti promote` first")
    days = context.days(tables.TEXTS)
    fingerprint = context.fingerprint(
        inputs=context.versions(*READS),
        promotions=sorted(one.promotion.state for one in promoted.values()),
        tasks={name: task.model_dump(mode="json", include={"labels", "scenes"}) for name, task in tasks.items()},
    )
    labelling = Labelling(days, decided, promoted, fingerprint)
    if context.unchanged(tables.LABELS, labelling.scope, fingerprint):
        return Work()
    return Work(tuple(f"decide {name} for {days.first} to {days.last}" for name in decided), labelling)


def execute(context: Context, work: Labelling) -> Done:
    """Decide the days in one commit."""
    tasks = context.settings.tasks
    texts = context.lake.read(tables.TEXTS).where(F.col("dt").between(work.days.first, work.days.last))
    scores = context.lake.read(tables.STUDENT_SCORES).where(F.col("dt").between(work.days.first, work.days.last))
    _check_scored(texts, scores, tasks, work)
    labels = decide_labels(texts, scores, tasks, work.deciders).where(F.col("task").isin(*work.tasks))
    commit = context.lake.replace(labels, tables.LABELS, context.stamp(work.fingerprint), work.scope)
    return Done(counts={"labels": commit.rows}, headline="labels")


def _check_scored(texts: DataFrame, scores: DataFrame, tasks: Mapping[str, TaskSettings], work: Labelling) -> None:
    """Refuse days on which a text has no row of the promoted model: it would be decided negative unseen."""
    problems = []
    for name, decider in sorted(work.deciders.items()):
        own = scores.where(F.col("model_id") == decider.model.model_id).select("text_id", "dt")
        unseen = text_queries.texts_for(texts, name, tasks[name]).join(own, ["text_id", "dt"], "left_anti").count()
        if unseen:
            problems.append(f"{unseen} texts have no score of {decider.model.model_id}")
    if problems:
        raise DataError(
            f"label: {'; '.join(problems)} ({work.days.first} to {work.days.last}); run `pingti score` over these days"
        )


JOB = Job(
    "label", plan, execute, reads=(*READS, tables.MODELS, tables.THRESHOLDS, tables.PROMOTIONS), writes=(tables.LABELS,)
)
