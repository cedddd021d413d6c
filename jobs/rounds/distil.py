"""Rounds: plan -> sample -> train -> evaluate -> decide, until one promotes or stops. One code path for all."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from datetime import UTC, datetime

from pyspark.sql import functions as F

from jobs.lake import queries, tables
from jobs.lake.commits import Scope
from jobs.lake.queries import Model
from jobs.rounds import round_evaluation, student_training, training_data
from jobs.rounds.round_evaluation import Judged
from jobs.rounds.student_training import Lesson, Trained
from jobs.runtime.job import Context, Done, Job, Work
from models import digests
from models.rounds.date_layout import (
    DateLayout,
)
from models.rounds.round_decision import (
    Decision,
)
from models.serving.bundle import open_bundle
from models.tasks import (
    EVERY_SCENE,
)


@dataclass(frozen=True, slots=True)
class RoundPlan:
    """All that a round is made from."""

    round_id: str
    task: str
    number: int  # among the rounds of this teacher
    sampling: str
    teacher: Model
    seed: int


def plan(context: Context) -> Work:
    """The next round of each task whose last one asked to go on, or that has a new teacher or other settings."""
    rounds = [found for name in context.tasks() if (found := _next(context, name)) is not None]
    steps = tuple(f"{one.round_id}: {one.sampling} sampling, teacher {one.teacher.model_id}" for one in rounds)
    return Work(steps, tuple(rounds))


def execute(context: Context, work: Work) -> Done:
    """Run rounds until each task's decision is to promote or to stop."""
    counts: dict[str, int] = {"rounds": 0, "rows": 0}
    for first in work.payload:
        current: RoundPlan | None = first
        while current is not None:
            counts["rows"] += _run(context, current)
            counts["rounds"] += 1
            current = _next(context, current.task)
    return Done(counts=counts, outputs={"rounds": context.lake.version(tables.ROUNDS)}, headline="rows")


def _next(context: Context, name: str) -> RoundPlan | None:
    teacher = queries.require_model(context.lake, name, "teacher", "run `pingti train-teacher` first")
    kind = context.settings.task(name).student.kind
    rounds = context.lake.read(tables.ROUNDS).where((F.col("task") == name) & (F.col("student") == kind))
    rows = rounds.select(
        "round_id", "teacher_id", "number", "sampling", "decision", "next_sampling", "settings"
    ).collect()
    own = [row for row in rows if row["teacher_id"] == teacher.model_id]
    last = max(own, key=lambda row: int(row["round_id"].rpartition("/")[2]), default=None)
    if last is None:
        number, sampling = 1, "annotated"
    elif last["decision"] == "go_on":
        number, sampling = last["number"] + 1, last["next_sampling"]
    elif last["settings"] != decides(context, teacher):
        number, sampling = last["number"], last["sampling"]  # ended, but by other settings: the same round by these
    else:
        return None
    round_id = f"{name}/{kind}/{len(rows) + 1:02d}"
    return RoundPlan(round_id, name, number, sampling, teacher, context.settings.rounds.seed)


def decides(context: Context, teacher: Model) -> str:
    """What of the settings decides a round's student under a teacher."""
    task = context.task_of(teacher)
    found = {
        "student": task.student.model_dump(mode="json"),
        "rounds": context.settings.rounds.model_dump(mode="json", exclude={"twin_margin"}),  # `promote` looks again
        "targets": {label: one.target.model_dump(mode="json") for label, one in task.labels.items()},
    }
    return json.dumps(found, sort_keys=True)


def _run(context: Context, plan: RoundPlan) -> int:
    started, task = time.monotonic(), context.task_of(plan.teacher)
    layout = queries.date_layout(context.lake, context.settings.rounds)
    read = (tables.TEXTS, tables.TEACHER_SCORES, tables.ANNOTATIONS)
    inputs = {table.name: context.lake.version(table) for table in read}
    scope = Scope(column="round_id", values=(plan.round_id,))
    rows = training_data.sample(context, plan.round_id, plan.teacher, plan.sampling, layout, plan.seed)
    context.lake.replace(rows, tables.ROUND_SAMPLES, context.stamp(), scope)
    trained = student_training.train(context, Lesson(plan.round_id, plan.teacher, layout, plan.seed))
    judged = round_evaluation.judge(context, plan.teacher, layout, trained, plan.round_id)
    decision = round_evaluation.decide(context, task, plan.number, judged)
    _write_thresholds(context, plan, layout, trained, judged)
    _write_model(context, plan, trained)
    evaluations = round_evaluation.evaluations(context, plan.round_id, judged)
    context.lake.replace(evaluations, tables.EVALUATIONS, context.stamp(), scope)
    _write_round(context, plan, layout, inputs, trained, judged, decision, time.monotonic() - started)
    student_training.forget(context, plan.round_id)
    context.reporter.say(f"  {plan.round_id}: {round_evaluation.summary(judged)}; {decision.action}: {decision.reason}")
    return trained.rows


def _write_thresholds(context: Context, plan: RoundPlan, layout: DateLayout, trained: Trained, judged: Judged) -> None:
    """The thresholds by which the round was judged, as the student's first version; `thresholds` finds better ones."""
    labels, now = context.task_of(plan.teacher).label_names, datetime.now(UTC)
    rows = [
        round_evaluation.threshold_row(
            (trained.model_id, label, EVERY_SCENE, 1), found, layout.threshold, now, context.run_id
        )
        for label, found in zip(labels, judged.thresholds, strict=True)
    ]
    frame = context.spark.createDataFrame(rows, tables.THRESHOLDS.schema)
    scope = Scope(column="model_id", values=(trained.model_id,))
    once = f"{trained.model_id}/thresholds/1"
    context.lake.append(frame, tables.THRESHOLDS, context.stamp(), once=once, scope=scope)


def _write_model(context: Context, plan: RoundPlan, trained: Trained) -> None:
    manifest = open_bundle(trained.bundle).manifest
    row = (
        manifest.model_id, plan.task, manifest.kind, "student", list(manifest.labels), plan.teacher.model_id,
        plan.round_id, str(trained.bundle), dict(manifest.files), manifest.clean_version,
        context.settings.task(plan.task).student.model_dump_json(), datetime.now(UTC), context.run_id,
    )  # fmt: skip
    frame = context.spark.createDataFrame([row], tables.MODELS.schema)
    scope = queries.scope_of_models(plan.task, "student")
    context.lake.append(frame, tables.MODELS, context.stamp(), once=manifest.model_id, scope=scope)


def _write_round(
    context: Context, plan: RoundPlan, layout: DateLayout, inputs: dict[str, int], trained: Trained, judged: Judged,
    decision: Decision, seconds: float,
) -> None:  # fmt: skip
    """The round's own row comes last: a round that has one ended, and is not run again."""
    windows = {part: getattr(layout, part) for part in ("train", "threshold", "test", "gate")}
    row = {
        "round_id": plan.round_id, "task": plan.task, "student": context.settings.task(plan.task).student.kind,
        "number": plan.number, "model_id": trained.model_id, "teacher_id": plan.teacher.model_id,
        "sampling": plan.sampling, "scheme": context.settings.task(plan.task).student.scheme, "seed": plan.seed,
        "layout": {part: {"first": window.first, "last": window.last} for part, window in windows.items()},
        "inputs": inputs, "row_counts": judged.row_counts | {"train": trained.rows}, "metrics": judged.metrics,
        "losses": list(trained.losses), "decision": decision.action, "next_sampling": decision.sampling,
        "reason": decision.reason, "settings": decides(context, plan.teacher),
        "seconds": seconds, "run_id": context.run_id,
    }  # fmt: skip
    frame = context.spark.createDataFrame([row], tables.ROUNDS.schema)
    once = digests.of_json([plan.round_id, plan.teacher.model_id], chars=32)
    context.lake.append(frame, tables.ROUNDS, context.stamp(), once=once)


JOB = Job("distil", plan, execute)
