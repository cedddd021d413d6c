"""`models` + `thresholds` -> `promotions`: one row puts a model and its thresholds in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow.compute as pc

from jobs.lake import promotions, registry, tables, threshold_queries
from jobs.lake.promotions import NamedModel, Promotion
from jobs.lake.registry import RegisteredModel
from jobs.lake.store import Lake
from jobs.runtime.context import Context
from jobs.runtime.job import Done, Job, Work
from models.errors import DataError, GateError, SettingsError
from models.rounds import round_decision
from models.rounds.date_layout import RoundSettings


@dataclass(frozen=True, slots=True)
class Candidate:
    """A student with a version of its thresholds that may go in force, and what is in force now."""

    promotion: Promotion
    student: RegisteredModel
    live: Promotion | None


@dataclass(frozen=True, slots=True)
class Candidates:
    """Who is to go in force, why others must not, and the version of `promotions` that this was decided from."""

    candidates: tuple[Candidate, ...]
    refused: tuple[str, ...]
    version: int


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says of a promotion.

    Attributes:
        model: A model by name, with a version of its thresholds or its newest; None: each task's newest.
        force: Past every refusal; what is named goes in force as it is.
        reason: Why; it is kept.
    """

    model: NamedModel | None
    force: bool
    reason: str | None

    @classmethod
    def of(cls, options: Mapping[str, object]) -> Options:
        """Those of a request, or `SettingsError`."""
        model, force, reason = options.get("model"), bool(options.get("force")), options.get("reason")
        if force and not reason:
            raise SettingsError("--force: got no --reason; say why, it is kept with the promotion")
        named = NamedModel.parse(str(model), "--model") if model else None
        return cls(named, force, str(reason) if reason else None)


def plan(context: Context) -> Work[Candidates]:
    """The newest student of each task with its newest thresholds, or the one that `--model` names.

    Nothing where that is in force already. A student that must not be put in force holds up no other task's. What a
    rollback took out of force stays out until `--model` names it.

    Raises:
        DataError: A task has no student, or one without thresholds.
        GateError: None that is to be put in force may be.
    """
    lake, options = context.lake, Options.of(context.request.options)
    version = lake.log.version(tables.PROMOTIONS)
    histories = promotions.histories(lake)
    found = [_candidate(lake, name, histories.get(name, ()), options) for name in _tasks(context, options)]
    changed = []
    for one in found:
        if one.live is not None and one.promotion.state[:2] == one.live.state[:2]:
            continue
        barred = promotions.rolled_back(histories.get(one.promotion.task, ()))
        if options.model is None and any(name.names(one.promotion) for name in barred):
            context.reporter.say(f"  {_named(one.promotion)} was rolled back; `--model` puts it in force again")
            continue
        changed.append(one)
    refusals = {} if options.force else _refusals(lake, changed, context.settings.rounds)
    if refusals and len(refusals) == len(changed):
        raise _gate_error(tuple(refusals.values()))
    left = tuple(one for one in changed if one.student.model_id not in refusals)
    steps = tuple(f"put {_named(one.promotion)} in force for {one.promotion.task}" for one in left)
    return Work(steps, Candidates(left, tuple(refusals.values()), version))


def _tasks(context: Context, options: Options) -> tuple[str, ...]:
    """The tasks asked for; the one of the model that is named."""
    if options.model is None:
        return context.tasks()
    task = registry.model(context.lake, options.model.model_id).task
    if context.request.task not in (None, task):
        raise SettingsError(
            f"--model: {options.model.model_id} is of the task {task}, --task says {context.request.task}"
        )
    context.settings.task(task)
    return (task,)


def _candidate(lake: Lake, name: str, history: Sequence[Promotion], options: Options) -> Candidate:
    """A task's newest student, or the one that is named, with its newest thresholds or those that are named."""
    named = options.model
    student = registry.newest_student(lake, name) if named is None else registry.model(lake, named.model_id)
    if student.role != "student":
        raise SettingsError(f"--model: {student.model_id} is a {student.role}, expected a student")
    newest = threshold_queries.newest_version(lake, student.model_id)
    if newest is None:
        raise DataError(f"promote: {student.model_id} has no thresholds; run `pingti thresholds` first")
    version = named.version if named and named.version is not None else newest
    if not 1 <= version <= newest:
        raise DataError(f"promote: {student.model_id} has no thresholds of version {version}, the newest is {newest}")
    reason = options.reason or ("named by hand" if named else "newest student and thresholds")
    promotion = Promotion(name, student.model_id, version, reason, action="force" if options.force else "promote")
    return Candidate(promotion, student, history[-1] if history else None)


def _refusals(lake: Lake, candidates: Sequence[Candidate], settings: RoundSettings) -> dict[str, str]:
    """Why students must not be put in force, whatever the gate would say of them."""
    reasons = {one.student.model_id: refusal(lake, one.student.model_id, settings) for one in candidates}
    return {model_id: why for model_id, why in reasons.items() if why is not None}


def refusal(lake: Lake, model_id: str, settings: RoundSettings) -> str | None:
    """Why a student must not be put in force, from its newest round; None if it may be."""
    rounds = lake.rows(tables.ROUNDS, "run_id", "metrics", "row_counts", where=pc.field("model_id") == model_id)
    last = max(rounds, key=lambda row: row["run_id"], default=None)
    if last is None:
        return f"{model_id}: its round did not end; run `pingti distil`"
    lost = round_decision.loses(last["metrics"], last["row_counts"], settings)
    return f"{model_id}: {lost}" if lost else None


def _named(promotion: Promotion) -> str:
    return f"{promotion.model_id}@{promotion.threshold_version}"


def _gate_error(refused: Sequence[str]) -> GateError:
    return GateError(
        f"promote: {'; '.join(refused)}; not promoted: distil by another scheme, train a better teacher, or say "
        "`--force --reason WHY`"
    )


def execute(context: Context, work: Candidates) -> Done:
    """Append the rows of all tasks in one commit, so that tasks that depend on each other switch together.

    Where students of other tasks must not be put in force, the run ends with a `GateError` for all that.
    """
    promoted = [one.promotion for one in work.candidates]
    promotions.append(context.lake, promoted, context.stamp(), work.version)
    error = _gate_error(work.refused) if work.refused else None
    return Done(
        counts={"promotions": len(promoted)}, headline="promotions", error=error, reason=str(error) if error else None
    )


_READS = (tables.MODELS, tables.THRESHOLDS, tables.ROUNDS, tables.PROMOTIONS)
JOB = Job("promote", plan, execute, reads=_READS, writes=(tables.PROMOTIONS,), needs_session=False)
