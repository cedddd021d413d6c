"""`pingti nightly`: what came since the last night, from files to labels, over all tasks in one session.

ingest → clean → score → score-teacher, thresholds and promote of tasks that have a new student → label. Each stage
finds by itself what is left to do. A stage that fails stops those that need it and no other; the night ends with the
first error. Where scoring fails, what is in force is scored alone: a damaged student that nobody promoted yet must not
keep the labels of those in force.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from jobs.ingestion import clean, ingest
from jobs.labels import label, promote, thresholds
from jobs.lake import promotions, registry, threshold_queries
from jobs.lake.store import Lake
from jobs.runtime.context import Context
from jobs.runtime.job import Done, Job, RunRecord
from jobs.runtime.job import run as run_job
from jobs.scoring import score, score_teacher
from models.errors import GateError, PingtiError, RefusedError

_OF_A_TASK = (score_teacher.JOB, thresholds.JOB, promote.JOB)


@dataclass(frozen=True, slots=True)
class Stage:
    """A job of the night, over these tasks, and the stages without which it makes no sense.

    Attributes:
        job: The job.
        tasks: Its tasks; none where it is of all.
        needs: Stages by name.
        in_force: Whether it is about the models in force alone.
    """

    job: Job[Any]
    tasks: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    in_force: bool = False

    @property
    def name(self) -> str:
        """The job, and its task where it is of one."""
        if self.in_force:
            return f"{self.job.name} what is in force"
        return f"{self.job.name} {self.tasks[0]}" if self.job in _OF_A_TASK else self.job.name


def students_of(lake: Lake, tasks: Sequence[str]) -> dict[str, str]:
    """The newest student of each task that has one."""
    newest = {name: registry.newest_model(lake, name, "student") for name in tasks}
    return {name: student.model_id for name, student in newest.items() if student is not None}


def due(lake: Lake, tasks: Sequence[str]) -> tuple[str, ...]:
    """The tasks whose newest student, or its newest thresholds, are not in force, and were not rolled back."""
    found, histories = [], promotions.histories(lake)
    for name, model_id in students_of(lake, tasks).items():
        history, wanted = histories.get(name, []), (model_id, threshold_queries.newest_version(lake, model_id))
        barred = any(one.names(*wanted) for one in promotions.rolled_back(history))
        if not barred and (not history or history[-1].in_force != wanted):
            found.append(name)
    return tuple(found)


def stages(context: Context, failed: Collection[str] = ()) -> Iterator[Stage]:
    """The night's stages in their order; those of a later one are known when the earlier ones have run.

    `failed` holds the names of those that failed, as they do.
    """
    if context.settings.sources:
        yield Stage(ingest.JOB)
    yield Stage(clean.JOB)
    with_students = tuple(students_of(context.lake, context.tasks()))
    if not with_students:
        return
    yield Stage(score.JOB, with_students, needs=("clean",))
    live = registry.live(context.lake)
    in_force = tuple(name for name in with_students if name in live)
    scored = score.JOB.name
    if scored in failed and "clean" not in failed and in_force:
        alone = Stage(score.JOB, in_force, needs=("clean",), in_force=True)
        yield alone
        scored = alone.name
    for name in due(context.lake, with_students):
        yield Stage(score_teacher.JOB, (name,), needs=("clean",))  # the gate days are of now
        yield Stage(thresholds.JOB, (name,), needs=(f"score-teacher {name}",))
        yield Stage(promote.JOB, (name,), needs=("score", f"score-teacher {name}", f"thresholds {name}"))
    promoted = tuple(name for name in with_students if name in registry.live(context.lake))
    if promoted:
        yield Stage(label.JOB, promoted, needs=("clean", scored))


@dataclass(slots=True)
class _Night:
    """What became of the stages so far."""

    context: Context
    failed: dict[str, Exception] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def take(self, stage: Stage) -> None:
        """Run a stage, unless it needs one that failed."""
        missing = next((name for name in stage.needs if name in self.failed), None)
        if missing is not None:
            self.said.append(f"{stage.name}: left out, {missing} failed")
            self.failed[stage.name] = self.failed[missing]
            return
        try:
            done = run_job(stage.job, _own(self.context, stage), title=stage.name)
        except Exception as error:
            self._end(stage, error)
            return
        self.said.append(f"{stage.name}: {_summary(done)}")
        if done is not None and done.headline:
            self.counts[stage.name.replace(" ", "_")] = done.counts.get(done.headline, 0)

    def _end(self, stage: Stage, error: Exception) -> None:
        told = str(error) if isinstance(error, PingtiError) else type(error).__name__  # another's may quote a text
        self.said.append(f"{stage.name}: {told.removeprefix(f'{stage.job.name}: ')}")
        if isinstance(error, GateError) and stage.tasks[0] in registry.live(self.context.lake):
            return  # what is in force stays, and labels
        # Of refused files the others are loaded: nothing that follows is left out for them.
        name = f"{stage.name}: refused" if isinstance(error, RefusedError) else stage.name
        self.failed[name] = error


def run(context: Context) -> None:
    """Run the night, and leave its row in `runs` beside those of its jobs.

    Raises:
        PingtiError: The first error, after all that does not need what failed.
    """
    record, night = RunRecord(context), _Night(context)
    for stage in stages(context, night.failed.keys()):
        night.take(stage)
    for line in night.said:
        context.reporter.say(f"  {line}")
    first = next(iter(night.failed.values()), None)
    outcome = "done" if first is None else type(first).__name__ if isinstance(first, PingtiError) else "bug"
    record.write(Done(counts=night.counts, reason="; ".join(night.said)), outcome)
    if first is not None:
        raise first


def plan(context: Context) -> list[str]:
    """What each stage would do with what is there now; what one brings is not there yet for the next."""
    steps = []
    for stage in stages(context):
        try:
            work = stage.job.plan(_own(context, stage))
            steps += [f"{stage.name}: {step}" for step in work.steps]
        except PingtiError as error:
            steps.append(f"{stage.name}: end with {error}")
    return steps


def _own(context: Context, stage: Stage) -> Context:
    options = {**context.request.options, **({"in_force": True} if stage.in_force else {})}
    request = replace(context.request, task=None, tasks=stage.tasks, options=options)
    return context.for_job(stage.job.name, request)


def _summary(done: Done | None) -> str:
    if done is None:
        return "nothing to do"
    return ", ".join(f"{name} {value:,}" for name, value in done.counts.items()) or "done"
