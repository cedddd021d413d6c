"""`models` + `thresholds` -> `promotions`: one row puts a model and its thresholds in force; so does a rollback."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from pyspark.sql import functions as F

from jobs.lake import queries, tables
from jobs.runtime.job import Context, Done, Job, Work
from models import round_plan
from models.errors import DataError, GateError


@dataclass(frozen=True, slots=True)
class Promotion:
    """A model and the version of its thresholds, and why they are put in force."""

    task: str
    model_id: str
    threshold_version: int
    reason: str


def live(context: Context, at: datetime | None = None) -> dict[str, Promotion]:
    """What is in force for each task, now or at a moment."""
    promotions = context.lake.read(tables.PROMOTIONS)
    if at is not None:
        promotions = promotions.where(F.col("from_ts") <= F.lit(at))
    latest = promotions.groupBy("task").agg(
        F.max_by(F.struct("model_id", "threshold_version", "reason"), "from_ts").alias("row")
    )
    return {row["task"]: Promotion(row["task"], *row["row"]) for row in latest.collect()}


def plan(context: Context) -> Work:
    """The newest student of each task with its newest thresholds, where another is in force."""
    current = live(context)
    wanted = [_newest(context, name) for name in context.tasks()]
    return _work([one for one in wanted if not _same(current.get(one.task), one)])


def _newest(context: Context, name: str) -> Promotion:
    student = queries.require_model(context.lake, name, "student", "run `pingti distil` first")
    version = queries.threshold_version(context.lake, student.model_id)
    if version is None:
        raise DataError(f"promote: {student.model_id} has no thresholds; run `pingti thresholds` first")
    if lost := _lost(context, student):
        raise GateError(
            f"promote: {student.model_id}: {lost}; nothing was promoted: look for the round's reason by "
            "`pingti sql 'SELECT * FROM rounds'`, distil by another scheme, or raise the margin"
        )
    reason = context.request.options.get("reason") or "newest student and thresholds"
    return Promotion(name, student.model_id, version, reason)


def _lost(context: Context, student: queries.Model) -> str | None:
    """Why a student must not be put in force, from its round; None if it may be."""
    rounds = context.lake.read(tables.ROUNDS).where(F.col("model_id") == student.model_id).select("metrics").collect()
    metrics = [metric for row in rounds for metric in row["metrics"]]
    return round_plan.loses(metrics, queries.human_positives(context.lake, student.model_id), context.settings.rounds)


def plan_rollback(context: Context) -> Work:
    """What was in force before what is now, for each task that has such."""
    rows = context.lake.read(tables.PROMOTIONS).where(F.col("task").isin(*context.tasks())).orderBy("from_ts").collect()
    back = []
    for name in context.tasks():
        history = [
            Promotion(name, row["model_id"], row["threshold_version"], row["reason"])
            for row in rows
            if row["task"] == name
        ]
        earlier = [one for one in history if not _same(one, history[-1])]
        if earlier:
            reason = context.request.options.get("reason") or "rollback"
            back.append(Promotion(name, earlier[-1].model_id, earlier[-1].threshold_version, reason))
    if not back:
        raise DataError(
            "rollback: nothing else was in force before; `pingti sql 'SELECT * FROM promotions'` shows the history"
        )
    return _work(back)


def _same(one: Promotion | None, other: Promotion) -> bool:
    return one is not None and (one.model_id, one.threshold_version) == (
        other.model_id,
        other.threshold_version,
    )


def _work(promotions: list[Promotion]) -> Work:
    steps = tuple(f"{one.task}: {one.model_id}, thresholds version {one.threshold_version}" for one in promotions)
    return Work(steps, tuple(promotions))


def execute(context: Context, work: Work) -> Done:
    """Append the rows of all tasks in one commit, so that tasks that depend on each other switch together."""
    now = datetime.now(UTC)
    rows = [(one.task, now, one.model_id, one.threshold_version, one.reason, context.run_id) for one in work.payload]
    frame = context.spark.createDataFrame(rows, tables.PROMOTIONS.schema)
    commit = context.lake.append(frame, tables.PROMOTIONS, context.stamp())
    return Done(counts={"promotions": len(rows)}, outputs={"promotions": commit.version}, headline="promotions")


JOB = Job("promote", plan, execute)
ROLLBACK = Job("rollback", plan_rollback, execute)
