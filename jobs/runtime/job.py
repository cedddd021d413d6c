"""What a job is, and its run: planned, executed, and left as a row in `runs`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Generic, TypeVar

import pyarrow.compute as pc

from jobs.lake import tables
from jobs.lake.tables import Table
from jobs.runtime import liveness
from jobs.runtime.context import Context
from models.errors import PingtiError
from udfs.build import code_version

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Work(Generic[T]):
    """What a job would do, in words, and what it needs to know to do it. No steps: nothing is left to do.

    `remember` writes down what the planning found out, so that it need not be found out again; a mere plan leaves it.
    """

    steps: tuple[str, ...] = ()
    payload: T | None = None
    remember: Callable[[], None] | None = None

    def required(self) -> T:
        """What `execute` is given."""
        if self.payload is None:
            raise ValueError(f"a plan with the steps {self.steps} needs a payload")
        return self.payload


@dataclass(frozen=True, slots=True)
class Done:
    """What a run did."""

    counts: Mapping[str, int] = field(default_factory=dict)
    reason: str | None = None
    headline: str | None = None  # the count that the closing line shows
    error: PingtiError | None = None  # what a run that did its work still ends with, once it is recorded


@dataclass(frozen=True, slots=True)
class Job(Generic[T]):
    """A job: what it is called on the command line, what it would do, and doing it.

    Attributes:
        name: The command.
        plan: What is left to do; does no work on rows.
        execute: Does it; None where a closer look found nothing left.
        reads: The tables it reads; their versions when it was planned are the `inputs` of its row in `runs`.
        writes: The tables it writes; the versions it made are the `outputs`.
        count_tables: In the order of their commits, those of `writes` whose newest commit of a run tells its counts
            where it was killed before its row in `runs`.
        needs_session: Whether `execute` works on frames; the session is there before it begins, for Spark's columns
            cannot even be written down without one.
    """

    name: str
    plan: Callable[[Context], Work[T]]
    execute: Callable[[Context, T], Done | None]
    reads: tuple[Table, ...] = ()
    writes: tuple[Table, ...] = ()
    count_tables: tuple[Table, ...] = ()
    needs_session: bool = True


def run(job: Job[T], context: Context, *, title: str | None = None, following: str = "") -> Done | None:
    """Plan and do a job, and leave its row in `runs`; None where nothing was left to do (and no row either).

    Raises:
        PingtiError: what ended the job; or, after all is done and recorded, what the job was done with (`Done.error`).
    """
    record = _Record(context)
    try:
        with (
            liveness.under_way(context.run_id),
            context.reporter.stage(title or job.name, lambda: context.lake.running, following) as stage,
        ):
            context.stage = stage
            _record_killed_runs(job, context, record.started)
            record.inputs = context.versions(*job.reads)
            work = job.plan(context)
            if work.remember is not None:
                work.remember()
            done = None
            if work.steps:
                before = context.versions(*job.writes)
                if job.needs_session:
                    context.start_session()
                done = job.execute(context, work.required())
                record.outputs = _own_versions(job, context, before)
            if done is None:
                context.reporter.say(f"  {title or job.name}: nothing to do, everything is up to date")
                return None
            stage.rows = done.counts.get(done.headline, 0) if done.headline else 0
    except PingtiError as error:
        record.write(Done(reason=str(error)), type(error).__name__)
        raise
    except Exception as error:
        # Only its kind is kept: the message of a foreign error may quote a text.
        record.write(Done(reason=type(error).__name__), "bug")
        raise
    record.write(done, "done")
    if done.error is not None:
        raise done.error
    return done


def _own_versions(job: Job[T], context: Context, before: Mapping[str, int]) -> dict[str, int]:
    """The versions that this run made of the tables it writes; those that others made meanwhile are not its own."""
    stamp, versions = context.stamp(), {}
    for table in job.writes:
        if context.lake.log.version(table) != before[table.name]:
            commit = context.lake.log.commit_of_run(table, stamp)
            if commit is not None:
                versions[table.name] = commit.version
    return versions


def _record_killed_runs(job: Job[T], context: Context, now: datetime) -> None:
    """Write the rows of runs that were killed between their commit and their row, as their commits tell them.

    One that may still be under way is left alone: it will tell more than its first commit can.
    """
    if not job.count_tables:
        return
    stamps = [stamp for table in job.count_tables for stamp in context.lake.log.stamps(table)]
    ours = {stamp.run_id: stamp for stamp in stamps if stamp.job == job.name and stamp.counts}
    dead = {run_id: stamp for run_id, stamp in ours.items() if not liveness.alive(run_id, stamp.process, now)}
    if not dead:
        return
    known = context.lake.rows(tables.RUNS, "run_id", where=pc.field("run_id").isin(list(dead)))
    for run_id in sorted(dead.keys() - {row["run_id"] for row in known}):
        counts = dead[run_id].counts or {}
        done = Done(counts=counts, reason=f"killed after a commit, recorded by {context.run_id}")
        _Record(context).write(done, "done", run_id=run_id)


@dataclass(slots=True)
class _Record:
    """A run's row in `runs`, as far as it is known."""

    context: Context
    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    clock: float = field(default_factory=time.monotonic)
    inputs: dict[str, int] = field(default_factory=dict)
    outputs: dict[str, int] = field(default_factory=dict)

    def write(self, done: Done, outcome: str, *, run_id: str | None = None) -> None:
        """Append the row; `run_id` where it is another run's."""
        context, settings = self.context, self.context.settings
        recorded = run_id or context.run_id
        row = {
            "run_id": recorded, "job": context.job, "arguments": context.request.described(),
            "settings_digest": settings.digest, "code_version": code_version(),
            "clean_version": settings.cleaning.version, "inputs": self.inputs, "outputs": self.outputs,
            "row_counts": dict(done.counts), "started_at": self.started, "seconds": time.monotonic() - self.clock,
            "outcome": outcome, "reason": done.reason,
        }  # fmt: skip
        try:
            context.lake.append_rows(tables.RUNS, [row], context.stamp(), once=recorded)
        except Exception:
            if outcome == "done":
                raise  # a failed run ends with its own error, not with that of its bookkeeping
