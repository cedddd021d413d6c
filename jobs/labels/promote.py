"""`models` + `thresholds` -> `promotions`: one row puts a model and its thresholds in force; so does a rollback."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pyspark.sql import functions as F

from jobs.lake import queries, tables
from jobs.runtime.job import Context, Done, Job, Work
from models.errors import DataError, GateError
from models.rounds import round_decision


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
    """The newest student of each task with its newest thresholds, where another is in force.

    A student that must not be put in force holds up no other task's.

    Raises:
        DataError: A task has no student, or one without thresholds.
        GateError: None that is to be put in force may be.
    """
    current = live(context)
    wanted = [_newest(context, name) for name in context.tasks()]
    lost = {one: _lost(context, one.model_id) for one in wanted if not _same(current.get(one.task), one)}
    refused = [told for told in lost.values() if told]
    if refused and len(refused) == len(lost):
        raise _refusal(refused)
    return _work([one for one, told in lost.items() if not told], refused)


def _newest(context: Context, name: str) -> Promotion:
    student = queries.require_model(context.lake, name, "student", "run `pingti distil` first")
    version = queries.threshold_version(context.lake, student.model_id)
    if version is None:
        raise DataError(f"promote: {student.model_id} has no thresholds; run `pingti thresholds` first")
    reason = context.request.options.get("reason") or "newest student and thresholds"
    return Promotion(name, student.model_id, version, reason)


def _lost(context: Context, model_id: str) -> str | None:
    """Why a student must not be put in force, from its newest round; None if it may be."""
    rounds = context.lake.read(tables.ROUNDS).where(F.col("model_id") == model_id)
    newest = rounds.orderBy(F.col("run_id").desc()).select("metrics", "row_counts").first()
    if newest is None:
        return f"{model_id}: its round did not end; run `pingti distil`"
    lost = round_decision.loses(newest["metrics"], newest["row_counts"], context.settings.rounds)
    return f"{model_id}: {lost}" if lost else None


def _refusal(refused: Sequence[str]) -> GateError:
    return GateError(
        f"promote: {'; '.join(refused)}; not promoted: distil by another scheme, train a better teacher, or raise "
        "the margin"
    )


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


def _work(promotions: Sequence[Promotion], refused: Sequence[str] = ()) -> Work:
    steps = tuple(f"{one.task}: {one.model_id}, thresholds version {one.threshold_version}" for one in promotions)
    return Work(steps, (tuple(promotions), tuple(refused)))


def execute(context: Context, work: Work) -> Done:
    """Append the rows of all tasks in one commit, so that tasks that depend on each other switch together.

    Where students of other tasks must not be put in force, the run ends with a `GateError` for all that.
    """
    now = datetime.now(UTC)
    promotions, refused = work.payload
    rows = [(one.task, now, one.model_id, one.threshold_version, one.reason, context.run_id) for one in promotions]
    frame = context.spark.createDataFrame(rows, tables.PROMOTIONS.schema)
    commit = context.lake.append(frame, tables.PROMOTIONS, context.stamp())
    error = _refusal(refused) if refused else None
    return Done(
        counts={"promotions": len(rows)}, outputs={"promotions": commit.version}, headline="promotions", error=error,
        reason=str(error) if error else None,
    )  # fmt: skip


JOB = Job("promote", plan, execute)
ROLLBACK = Job("rollback", plan_rollback, execute)
