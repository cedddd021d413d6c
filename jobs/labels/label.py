"""`student_scores` + `thresholds` + `promotions` + `texts` -> `labels`: decisions, with the labels' dependencies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.labels.promote import Promotion, live
from jobs.lake import queries, tables
from jobs.lake.commits import Scope
from jobs.lake.queries import Model
from jobs.runtime.job import Context, Days, Done, Job, Work
from models import label_dependencies as dependencies
from models.errors import DataError
from models.label_dependencies import Label
from models.tasks import (
    EVERY_SCENE,
    TaskSettings,
)


@dataclass(frozen=True, slots=True)
class Decider:
    """What decides one task: its promoted model and the thresholds in force with it."""

    promotion: Promotion
    model: Model
    thresholds: Mapping[tuple[str, str], float]


@dataclass(frozen=True, slots=True)
class Labelling:
    """The days and tasks to decide, and the scores that those tasks' labels depend on."""

    days: Days
    tasks: tuple[str, ...]
    deciders: Mapping[str, Decider]
    inputs: Mapping[str, int]
    fingerprint: str

    @property
    def scope(self) -> Scope:
        """What the run's one commit replaces."""
        return Scope(self.days.first, self.days.last, "task", self.tasks)


def plan(context: Context) -> Work:
    """Decide the tasks asked for and all that depend on them, unless nothing they are decided from has changed."""
    found = deciders(context, live(context))
    asked = {name for task in context.tasks() for name in dependencies.dependents(context.settings.tasks, task)}
    tasks = tuple(name for name in dependencies.task_order(context.settings.tasks) if name in asked and name in found)
    if not tasks:
        raise DataError(f"label: none of {', '.join(sorted(asked))} has a promoted model; run `pingti promote` first")
    days = context.days(tables.TEXTS)
    read = (tables.TEXTS, tables.STUDENT_SCORES)
    inputs = {table.name: context.lake.version(table) for table in read}
    fingerprint = context.fingerprint(
        inputs=inputs,
        promotions=sorted((one.promotion.model_id, one.promotion.threshold_version) for one in found.values()),
        tasks={
            name: task.model_dump(mode="json", include={"labels", "scenes"})
            for name, task in context.settings.tasks.items()
        },
    )
    labelling = Labelling(days, tasks, found, inputs, fingerprint)
    if context.unchanged(tables.LABELS, labelling.scope, fingerprint):
        return Work(())
    return Work(tuple(f"decide {name} for {days.first} to {days.last}" for name in tasks), labelling)


def deciders(context: Context, promotions: Mapping[str, Promotion]) -> dict[str, Decider]:
    """The promoted models with their thresholds, of the tasks that the settings know."""
    found = {}
    for name, promotion in promotions.items():
        if name in context.settings.tasks:
            model = queries.model(context.lake, promotion.model_id)
            values = queries.thresholds(context.lake, model.model_id, promotion.threshold_version)
            found[name] = Decider(promotion, model, values)
    return found


def execute(context: Context, work: Work) -> Done:
    """Decide the days in one commit."""
    job: Labelling = work.payload
    texts = context.lake.read(tables.TEXTS).where(F.col("dt").between(job.days.first, job.days.last))
    scores = context.lake.read(tables.STUDENT_SCORES).where(F.col("dt").between(job.days.first, job.days.last))
    _check_scored(texts, scores, context.settings.tasks, job)
    labels = decide(texts, scores, context.settings.tasks, job.deciders).where(F.col("task").isin(*job.tasks))
    commit = context.lake.replace(labels, tables.LABELS, context.stamp(job.fingerprint), job.scope)
    return Done(
        counts={"labels": commit.rows},
        inputs=job.inputs,
        outputs={"labels": commit.version},
        headline="labels",
    )


def _check_scored(texts: DataFrame, scores: DataFrame, tasks: Mapping[str, TaskSettings], job: Labelling) -> None:
    """Refuse days on which a text has no row of the promoted model: it would be decided negative unseen."""
    problems = []
    for name, decider in sorted(job.deciders.items()):
        own = scores.where(F.col("model_id") == decider.model.model_id).select("text_id", "dt")
        unseen = queries.texts_of(texts, name, tasks[name]).join(own, ["text_id", "dt"], "left_anti").count()
        if unseen:
            problems.append(f"{unseen} texts have no score of {decider.model.model_id}")
    if problems:
        raise DataError(
            f"label: {'; '.join(problems)} ({job.days.first} to {job.days.last}); run `pingti score` over these days"
        )


def decide(
    texts: DataFrame, scores: DataFrame, tasks: Mapping[str, TaskSettings], deciders: Mapping[str, Decider]
) -> DataFrame:
    """The labels that hold, a row each: the columns of `labels`."""
    wide = texts.select("text_id", "dt", "scene", "settled")
    for name, decider in deciders.items():
        own = scores.where(F.col("model_id") == decider.model.model_id)
        own = own.select("text_id", "dt", queries.keep_argmax(F.col("probs"), tasks[name]).alias(f"probs_{name}"))
        wide = wide.join(own, ["text_id", "dt"], "left").withColumn(f"limits_{name}", _limits(tasks[name], decider))
    above = {
        (name, label): _above(tasks[name], name, label, position)
        for name, decider in deciders.items()
        for label, position in _positions(tasks[name], decider).items()
    }
    holds = dependencies.decide(tasks, above, never=F.lit(False))
    rows = [_row(tasks[key[0]], deciders[key[0]], key, column) for key, column in holds.items()]
    exploded = wide.select("text_id", "dt", "scene", F.explode(F.array(*rows)).alias("row")).where("row is not null")
    return exploded.select("text_id", "dt", "scene", "row.*").select(*tables.LABELS.names)


def _limits(task: TaskSettings, decider: Decider) -> Column:
    """The thresholds of the row's scene, in the order of the model's labels."""
    known = {label for _, label in decider.thresholds}
    labels = [label for label in decider.model.labels if label in known]
    missing = set(decider.model.labels) - known
    if missing:
        raise DataError(
            f"thresholds: {decider.model.model_id} lacks {', '.join(sorted(missing))}; run `pingti thresholds`"
        )
    values = {
        scene: F.array(*[F.lit(value) for value in queries.threshold_row(dict(decider.thresholds), scene, labels)])
        for scene in (*task.scenes, EVERY_SCENE)
    }
    column = values[EVERY_SCENE]
    for scene in task.scenes:
        column = F.when(F.col("scene") == scene, values[scene]).otherwise(column)
    return column


def _positions(task: TaskSettings, decider: Decider) -> dict[str, int | None]:
    """Where each label of the task stands among the model's; None where the model does not know it."""
    own = {label: at for at, label in enumerate(decider.model.labels)}
    return {label: own.get(label) for label in task.labels}


def _above(settings: TaskSettings, task: str, label: str, position: int | None) -> Column:
    """Whether a label's score reaches its threshold, or a rule settled the text as positive for it.

    A text of no scene of the task has none of its labels; one that a rule settled has no score that counts.
    """
    reached = F.lit(False)
    if position is not None:
        reached = F.coalesce(F.col(f"probs_{task}")[position] >= F.col(f"limits_{task}")[position], reached)
    decided = (reached & ~queries.settled_for(task)) | _ruled(task, label)
    return F.col("scene").isin(*settings.scenes) & decided


def _ruled(task: str, label: str) -> Column:
    return F.exists(
        "settled",
        lambda rule: (rule["task"] == task) & (rule["outcome"] == "positive") & (rule["label"] == label),
    )


def _row(settings: TaskSettings, decider: Decider, key: Label, holds: Any) -> Column:
    """The struct of a label that holds, null where it does not."""
    task, label = key
    position = _positions(settings, decider)[label]
    rule = F.filter("settled", lambda one: (one["task"] == task) & (one["label"] == label))
    score, limit = F.lit(None).cast("float"), F.lit(None).cast("double")
    if position is not None:
        score, limit = F.col(f"probs_{task}")[position], F.col(f"limits_{task}")[position]
    fields = {
        "task": F.lit(task), "label": F.lit(label), "score": score,
        "threshold": F.when(score.isNotNull(), limit),
        "model_id": F.lit(decider.model.model_id), "threshold_version": F.lit(decider.promotion.threshold_version),
        "rule": F.get(rule, F.lit(0))["rule"],
    }  # fmt: skip
    return F.when(holds, F.struct(*[column.alias(name) for name, column in fields.items()]))


JOB = Job("label", plan, execute)
