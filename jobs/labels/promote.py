"""`models` + `thresholds` -> `promotions`: one row puts a model and its thresholds in force, past the gate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow.compute as pc

from jobs.labels.gate import Candidate, judge
from jobs.lake import promotions, registry, tables, threshold_queries
from jobs.lake.promotions import Action, NamedModel, Promotion
from jobs.lake.registry import RegisteredModel
from jobs.lake.store import Lake
from jobs.runtime import task_models
from jobs.runtime.context import Context
from jobs.runtime.job import Done, Job, Work
from models.errors import DataError, GateError, SettingsError
from models.evaluation.figures import figures_of
from models.rounds import round_decision
from models.rounds.date_layout import RoundSettings


@dataclass(frozen=True, slots=True)
class Candidates:
    """Who is to go in force, why others must not, and the version of `promotions` that this was decided from."""

    candidates: tuple[Candidate, ...]
    refused: tuple[str, ...]
    version: int
    force: bool = False


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says of a promotion.

    Attributes:
        model: A model by name, with a version of its thresholds or its newest; None: each task's newest.
        force: Past every refusal; what is named goes in force as it is.
        reason: Why; it is kept.
        withhold: Labels that are not to be decided, as `label` or `task.label`.
    """

    model: NamedModel | None
    force: bool
    reason: str | None
    withhold: tuple[str, ...] = ()

    @classmethod
    def of(cls, options: Mapping[str, object]) -> Options:
        """Those of a request, or `SettingsError`."""
        model, force, reason = options.get("model"), bool(options.get("force")), options.get("reason")
        if force and not reason:
            raise SettingsError("--force: got no --reason; say why, it is kept with the promotion")
        named = NamedModel.parse(str(model), "--model") if model else None
        withhold = options.get("withhold") or ()
        assert isinstance(withhold, Iterable)
        return cls(named, force, str(reason) if reason else None, tuple(map(str, withhold)))

    def withheld(self, student: RegisteredModel) -> tuple[str, ...]:
        """The labels of a student that are to be withheld."""
        return tuple(sorted({name for name in student.labels if {name, f"{student.task}.{name}"} & {*self.withhold}}))


def plan(context: Context) -> Work[Candidates]:
    """The newest student of each task with its newest thresholds, or the one that `--model` names.

    Nothing where that is in force already. A task without a student, or with one that must not go in force, holds up no
    other. What a rollback took out of force stays out until `--model` names it.

    Raises:
        DataError: No task has a student, or one has no thresholds.
        GateError: None that is to be put in force may be.
    """
    lake, options = context.lake, Options.of(context.request.options)
    version = lake.log.version(tables.PROMOTIONS)
    histories = promotions.histories(lake)
    students = _students(context, options)
    found = [_candidate(lake, student, histories.get(student.task, ()), options) for student in students]
    _check_withheld(found, options)
    changed = [one for one in found if _is_new(one, options)]
    if options.model is None:
        changed = _not_rolled_back(context, changed, histories, options)
    refusals = {} if options.force else _refusals(lake, changed, context.settings.rounds)
    if refusals and len(refusals) == len(changed):
        raise _gate_error(tuple(refusals.values()))
    left = tuple(one for one in changed if one.student.model_id not in refusals)
    verb = "put" if options.force else "judge on the gate days and put"
    steps = tuple(f"{verb} {_named(one.promotion)} in force for {one.promotion.task}" for one in left)
    return Work(steps, Candidates(left, tuple(refusals.values()), version, options.force))


def _is_new(one: Candidate, options: Options) -> bool:
    """Whether a candidate may change what is in force: another model or version, or labels named or judged again."""
    if one.live is None or one.promotion.in_force != one.live.in_force:
        return True
    named_again = options.model is not None and bool(one.live.withheld)
    return named_again or not set(one.promotion.withheld) <= set(one.live.withheld)


def _not_rolled_back(
    context: Context, candidates: Sequence[Candidate], histories: Mapping[str, Sequence[Promotion]], options: Options
) -> list[Candidate]:
    """The candidates that no rollback took out of force; of the others it says so.

    Raises:
        GateError: Somebody forces or withholds something, and nothing is left that it could be done to.
    """
    left = []
    for one in candidates:
        barred = promotions.rolled_back(histories.get(one.promotion.task, ()))
        if any(name.names(*one.promotion.in_force) for name in barred):
            context.reporter.say(f"  {_named(one.promotion)} was rolled back; `--model` puts it in force again")
        else:
            left.append(one)
    if candidates and not left and (options.force or options.withhold):
        names = ", ".join(_named(one.promotion) for one in candidates)
        raise GateError(
            f"promote: {names} was rolled back, and nothing else is newer: name by --model what is meant, that or what "
            "is in force"
        )
    return left


def _check_withheld(candidates: Sequence[Candidate], options: Options) -> None:
    """Refuse labels to withhold that no candidate has."""
    known = {
        name for one in candidates for label in one.student.labels for name in (label, f"{one.student.task}.{label}")
    }
    if unknown := sorted(set(options.withhold) - known):
        raise SettingsError(f"--withhold: got {', '.join(unknown)}, expected labels of what is promoted")


def _students(context: Context, options: Options) -> tuple[RegisteredModel, ...]:
    """The newest student of each task asked for, or the one that is named."""
    if options.model is None:
        return tuple(task_models.newest_students(context).values())
    named = registry.model(context.lake, options.model.model_id)
    task = named.task
    if context.request.task not in (None, task):
        raise SettingsError(
            f"--model: {options.model.model_id} is of the task {task}, --task says {context.request.task}"
        )
    context.settings.task(task)
    if named.role != "student":
        raise SettingsError(f"--model: {named.model_id} is a {named.role}, expected a student")
    return (named,)


def _candidate(lake: Lake, student: RegisteredModel, history: Sequence[Promotion], options: Options) -> Candidate:
    """A student with its newest thresholds or those that are named, after what was in force for its task."""
    named = options.model
    newest = threshold_queries.newest_version(lake, student.model_id)
    if newest is None:
        raise DataError(f"promote: {student.model_id} has no thresholds; run `pingti thresholds` first")
    version = named.version if named and named.version is not None else newest
    if not 1 <= version <= newest:
        raise DataError(f"promote: {student.model_id} has no thresholds of version {version}, the newest is {newest}")
    reason = options.reason or ("named by hand" if named else "newest student and thresholds")
    action: Action = "force" if options.force else "promote"
    promotion = Promotion(student.task, student.model_id, version, reason, options.withheld(student), action)
    return Candidate(promotion, student, history[-1] if history else None)


def _refusals(lake: Lake, candidates: Sequence[Candidate], settings: RoundSettings) -> dict[str, str]:
    """Why students must not be put in force, whatever the gate would say of them."""
    reasons = {one.student.model_id: refusal(lake, one.student.model_id, settings) for one in candidates}
    return {model_id: why for model_id, why in reasons.items() if why is not None}


def refusal(lake: Lake, model_id: str, settings: RoundSettings) -> str | None:
    """Why a student must not be put in force, from its newest round; None if it may be."""
    columns = ("run_id", "metrics", "figures", "row_counts")
    rounds = lake.rows(tables.ROUNDS, *columns, where=pc.field("model_id") == model_id)
    last = max(rounds, key=lambda row: row["run_id"], default=None)
    if last is None:
        return f"{model_id}: its round did not end; run `pingti distil`"
    lost = round_decision.loses(figures_of(last), last["row_counts"], settings)
    return f"{model_id}: {lost}" if lost else None


def _named(promotion: Promotion) -> str:
    return f"{promotion.model_id}@{promotion.threshold_version}"


def _gate_error(refused: Sequence[str]) -> GateError:
    return GateError(
        f"promote: {'; '.join(refused)}; not promoted: distil by another scheme, train a better teacher, withhold "
        "labels by `--withhold LABEL`, or say `--force --reason WHY`"
    )


def _judged(context: Context, one: Candidate) -> tuple[Promotion, Sequence[str]]:
    """What the gate lets pass of a candidate, and why it lets nothing pass; what cannot be judged does not pass."""
    try:
        promotion, decision = judge(context, one)
    except DataError as error:  # a damaged bundle of one task holds up no other task's
        return one.promotion, (f"not judged: {error}",)
    for note in decision.notes:
        context.reporter.say(f"  {promotion.task}: {note}")
    return promotion, decision.refusals


def _forced(context: Context, one: Candidate) -> tuple[Promotion, Sequence[str]]:
    """The candidate as it is named; what the gate would say is told and kept, where it can say anything."""
    try:
        _, decision = judge(context, one)
    except DataError as error:
        context.reporter.say(f"  {one.promotion.task}: not judged: {error}")
    else:
        for note in (*decision.refusals, *decision.notes):
            context.reporter.say(f"  {one.promotion.task}: {note}; in force by --force")
    return one.promotion, ()


def execute(context: Context, work: Candidates) -> Done | None:
    """Judge each candidate, and append the rows of all that pass in one commit: dependent tasks switch together.

    Returns:
        None where all that passes is in force already.

    Raises:
        GateError: Where nothing passes; where something does, the run ends with it after that is in force.
    """
    refused, passed = list(work.refused), []
    for one in work.candidates:
        promotion, refusals = _forced(context, one) if work.force else _judged(context, one)
        if refusals:
            refused.append(f"{_named(promotion)}: {'; '.join(refusals)}")
        elif not promotion.same_as(one.live):
            passed.append(promotion)
    error = _gate_error(refused) if refused else None
    if not passed:
        if error is not None:
            raise error
        return None
    promotions.append(context.lake, passed, context.stamp(), work.version)
    counts = {"promotions": len(passed), "labels_withheld": sum(len(one.withheld) for one in passed)}
    return Done(counts=counts, headline="promotions", error=error, reason=str(error) if error else None)


JOB = Job(
    "promote", plan, execute,
    reads=(
        tables.MODELS, tables.THRESHOLDS, tables.ROUNDS, tables.PROMOTIONS, tables.TEXTS, tables.TEACHER_SCORES,
        tables.ANNOTATIONS,
    ),
    writes=(tables.EVALUATIONS, tables.PROMOTIONS), needs_session=False,
)  # fmt: skip
