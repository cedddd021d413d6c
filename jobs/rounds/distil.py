"""Rounds: plan -> sample -> train -> evaluate -> decide, until one promotes or stops. One code path for all."""

from __future__ import annotations

import time
from collections.abc import Mapping

from jobs.evaluation.evaluation_set import read_evaluation_set
from jobs.evaluation.model_evaluation import evaluation_rows, threshold_row
from jobs.lake import registry, tables, threshold_queries
from jobs.lake.commits import Scope
from jobs.lake.registry import RegisteredModel
from jobs.rounds.round import DecidingSettings, Round, layout_row, next_round
from jobs.rounds.round_evaluation import RoundEvaluation, decide, evaluate_round, summary, told_weak
from jobs.rounds.sampling import sample
from jobs.rounds.soft_targets import expect_network
from jobs.rounds.student_training import TrainedRound, remove_checkpoints, train_round
from jobs.rounds.training_data import training_data
from jobs.runtime import task_models
from jobs.runtime.context import Context
from jobs.runtime.job import Done, Job, Work
from models import digests
from models.evaluation.label_trust import untrusted
from models.rounds.round_decision import Decision
from models.tasks import EVERY_SCENE

READS = (tables.TEXTS, tables.TEACHER_SCORES, tables.ANNOTATIONS)


def plan(context: Context) -> Work[tuple[Round, ...]]:
    """The next round of each task whose last one asked to go on, or that has a new teacher or other settings.

    A teacher teaches a label as far as it is trusted with it; where it is with none, the student learns without it.
    """
    rounds = [found for name in task_models.newest_teachers(context) if (found := _next(context, name)) is not None]
    for one in rounds:
        if not one.is_undistilled:
            expect_network(one, one.student)
    steps = [f"{one.round_id}: {one.sampling} sampling, teacher {one.teacher.model_id}{_apart(one)}" for one in rounds]
    return Work(tuple(steps), tuple(rounds))


def _apart(round_: Round) -> str:
    """Which labels are learnt without the teacher, in words."""
    if round_.is_undistilled:
        return ", which is trusted with no label: the student learns from annotators alone"
    labels = sorted(untrusted(round_.trust))
    return f", without it {', '.join(labels)}" if labels else ""


def execute(context: Context, work: tuple[Round, ...]) -> Done:
    """Run rounds until each task's decision is to promote or to stop."""
    counts: dict[str, int] = {"rounds": 0, "rows": 0}
    for first in work:
        current: Round | None = first
        while current is not None:
            counts["rows"] += _run(context, current)
            counts["rounds"] += 1
            current = _next(context, current.task_name)
    return Done(counts=counts, headline="rows")


def _next(context: Context, name: str) -> Round | None:
    settings = context.settings.rounds
    believe = bool(context.request.options.get("force")) or settings.accept_weak_teacher
    return next_round(context.lake, name, context.settings.task(name), settings, believe=believe)


def _run(context: Context, round_: Round) -> int:
    """A whole round; how many rows it learnt from."""
    started, lake, settings = time.monotonic(), context.lake, context.settings
    inputs = context.versions(*READS)
    lake.replace(sample(lake, round_, settings.rounds), tables.ROUND_SAMPLES, context.stamp(), round_.scope)
    with training_data(
        lake, round_, round_.student, engine=settings.scoring.engine, scoring=settings.teacher_scoring,
        say=context.reporter.say,
    ) as data:  # fmt: skip
        trained = train_round(lake, round_, data, settings.cleaning.version, context.training_progress)
    texts = read_evaluation_set(
        lake, round_.teacher, round_.declared, settings.draw(round_.layout, "threshold"),
        settings.draw(round_.layout, "test"), round_.round_id, settings.scoring.engine, untrusted(round_.trust),
    )  # fmt: skip
    positives = settings.thresholds.min_positives_all_scenes
    evaluation = evaluate_round(round_, texts, trained, settings.scoring.engine, positives)
    decision = decide(round_, evaluation, settings.rounds)
    _write_thresholds(context, round_, trained, evaluation)
    _register(context, round_, trained)
    rows = evaluation_rows(round_.round_id, evaluation.counts, context.run_id)
    lake.replace_rows(tables.EVALUATIONS, rows, context.stamp(), round_.scope)
    _write_round(context, round_, inputs, trained, evaluation, decision, time.monotonic() - started)
    remove_checkpoints(lake, round_)
    if weak := told_weak(round_, evaluation):
        context.reporter.say(f"  [yellow]warning[/yellow] {weak}: what learns from it copies its mistakes")
    context.reporter.say(f"  {round_.round_id}: {summary(evaluation)}; {decision.action}: {decision.reason}")
    return trained.rows


def _write_thresholds(context: Context, round_: Round, trained: TrainedRound, evaluation: RoundEvaluation) -> None:
    """The thresholds by which the round was evaluated, as the student's first version; `thresholds` finds better."""
    stamp, model_id = context.stamp(), trained.model_id
    rows = [
        threshold_row(model_id, label, EVERY_SCENE, 1, threshold, round_.layout.threshold)
        for label, threshold in zip(round_.labels, evaluation.student.thresholds, strict=True)
    ]
    context.lake.append_rows(
        tables.THRESHOLDS, threshold_queries.signed(rows, stamp), stamp, once=f"{model_id}/thresholds/1",
        scope=Scope(column="model_id", values=(model_id,)),
    )  # fmt: skip


def _register(context: Context, round_: Round, trained: TrainedRound) -> None:
    manifest = trained.bundle.manifest
    model = RegisteredModel(
        manifest.model_id, round_.task_name, manifest.kind, "student", manifest.labels, round_.teacher.model_id,
        round_.round_id, context.lake.bundles.published(trained.bundle.path), manifest.clean_version, manifest.files,
    )  # fmt: skip
    registry.register(context.lake, model, settings=round_.student.model_dump_json(), stamp=context.stamp())


def _write_round(
    context: Context, round_: Round, inputs: Mapping[str, int], trained: TrainedRound, evaluation: RoundEvaluation,
    decision: Decision, seconds: float,
) -> None:  # fmt: skip
    """The round's own row comes last: a round that has one ended, and is not run again."""
    row = {
        "round_id": round_.round_id, "task": round_.task_name, "student": round_.student.kind,
        "number": round_.number, "model_id": trained.model_id, "teacher_id": round_.teacher.model_id,
        "sampling": round_.sampling, "scheme": round_.scheme, "seed": round_.seed,
        "layout": layout_row(round_.layout), "inputs": dict(inputs), "row_counts": dict(evaluation.row_counts),
        "metrics": evaluation.metrics, "figures": [one.as_row() for one in evaluation.figures],
        "losses": list(trained.losses), "decision": decision.action,
        "next_sampling": decision.sampling, "reason": decision.reason,
        "settings": DecidingSettings.of(round_.task, context.settings.rounds).as_json(),
        "seconds": seconds, "run_id": context.run_id, "trust": dict(round_.trust),
    }  # fmt: skip
    once = digests.of_json([round_.round_id, round_.teacher.model_id], chars=32)
    context.lake.append_rows(tables.ROUNDS, [row], context.stamp(), once=once)


JOB = Job(
    "distil", plan, execute,
    reads=(*READS, tables.MODELS, tables.THRESHOLDS, tables.PROMOTIONS, tables.EVALUATIONS, tables.LABEL_TRUST),
    writes=(tables.ROUND_SAMPLES, tables.THRESHOLDS, tables.MODELS, tables.EVALUATIONS, tables.ROUNDS),
)  # fmt: skip
