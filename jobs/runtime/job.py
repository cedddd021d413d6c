"""What every job shares: its request, its plan, its run, and the row it leaves in `runs`."""

from __future__ import annotations

import json
import os
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.lake import tables
from jobs.lake.commits import Scope, Stamp
from jobs.lake.queries import Model
from jobs.lake.store import Lake
from jobs.lake.tables import Table
from jobs.runtime import liveness
from jobs.runtime.progress import Reporter, Stage, Teller
from jobs.settings import Settings
from models import digests
from models.errors import DataError, PingtiError, SettingsError
from models.tasks import TaskSettings
from udfs.build import code_version


@dataclass(frozen=True, slots=True)
class Days:
    """The days asked for by `--dt A[..B]`, both inside."""

    first: date
    last: date

    @classmethod
    def parse(cls, text: str) -> Days:
        """`2026-03-01` or `2026-03-01..2026-03-07`."""
        first, _, last = text.partition("..")
        try:
            days = cls(date.fromisoformat(first), date.fromisoformat(last or first))
        except ValueError:
            raise SettingsError(f"--dt: got {text!r}, expected YYYY-MM-DD or YYYY-MM-DD..YYYY-MM-DD") from None
        if days.first > days.last:
            raise SettingsError(f"--dt: {days.first} is after {days.last}; give the earlier day first")
        return days


@dataclass(frozen=True, slots=True)
class Request:
    """What a run was asked to do."""

    days: Days | None = None
    task: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def described(self) -> str:
        """The request as JSON, for the `runs` table."""
        days = f"{self.days.first}..{self.days.last}" if self.days else None
        return json.dumps(
            {"dt": days, "task": self.task, **self.options}, default=str, sort_keys=True, ensure_ascii=False
        )


@dataclass(frozen=True, slots=True)
class Work:
    """What a job would do, in words, and what it needs to know to do it. No steps: nothing is left to do."""

    steps: tuple[str, ...]
    payload: Any = None


@dataclass(frozen=True, slots=True)
class Done:
    """What a run did: its counts, and the table versions it read and made."""

    counts: Mapping[str, int] = field(default_factory=dict)
    inputs: Mapping[str, int] = field(default_factory=dict)
    outputs: Mapping[str, int] = field(default_factory=dict)
    reason: str | None = None
    headline: str | None = None  # the count that the closing line tells
    error: PingtiError | None = None  # what a run that did its work still ends with, once it is recorded


@dataclass
class Context:
    """Everything a job works with."""

    settings: Settings
    spark: SparkSession
    lake: Lake
    request: Request
    reporter: Reporter
    job: str
    run_id: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}")
    stage: Stage = field(default_factory=lambda: Stage(None, None))

    def beside(self, job: str, request: Request) -> Context:
        """The context of another run in the same session, over the same lake."""
        return Context(self.settings, self.spark, self.lake, request, self.reporter, job)

    def stamp(
        self, fingerprint: str | None = None, *, counts: Mapping[str, int] | None = None, expected: int | None = None
    ) -> Stamp:
        """The stamp of this run's commits."""
        return Stamp(self.run_id, self.job, fingerprint, counts, liveness.this_process(), expected)

    def teller(self, what: str) -> Teller:
        """A progress callback of a trainer (done, total, loss) that tells the stage under way."""
        return Teller(self.stage, what)

    def fingerprint(self, **decides: Any) -> str:
        """A digest of all that decides what this run would write."""
        return digests.of_json({"job": self.job, "code": code_version(), **decides}, chars=32)

    def unchanged(self, table: Table, scope: Scope, fingerprint: str) -> bool:
        """Whether the newest commit over the scope made all of it, whole, and from the very same things."""
        latest = self.lake.latest(table, scope)
        if latest is None or not latest.whole:
            return False
        return latest.fingerprint == fingerprint and latest.scope.covers(scope)

    def tasks(self) -> tuple[str, ...]:
        """The tasks this run is about: the one asked for, or all."""
        if self.request.task is None:
            if not self.settings.tasks:
                raise SettingsError("tasks: the settings declare none; add one under tasks:, as docs/settings.md shows")
            return tuple(self.settings.tasks)
        self.settings.task(self.request.task)
        return (self.request.task,)

    def task_of(self, model: Model) -> TaskSettings:
        """A model's task with the labels that the model knows, in the order of the settings."""
        return self.settings.task(model.task).of(model.labels)

    def days(self, table: Table) -> Days:
        """The days asked for, or all that the table holds."""
        if self.request.days is not None:
            return self.request.days
        days = self.lake.days(table)
        if not days:
            raise DataError(f"{self.lake.name(table)} is empty; run the job before this one first")
        return Days(days[0], days[-1])


@dataclass(frozen=True, slots=True)
class Job:
    """A job: its name, what it would do, and doing it.

    `witnesses` are the tables, in the order of their commits, whose newest commit of a run tells its counts where it
    died before its row in `runs`.
    """

    name: str
    plan: Callable[[Context], Work]
    execute: Callable[[Context, Work], Done]
    witnesses: tuple[Table, ...] = ()


def run(job: Job, context: Context, *, title: str | None = None, following: str = "") -> Done | None:
    """Plan and do a job, and leave its row in `runs`; None where nothing was left to do (and no row either).

    Raises:
        PingtiError: what ended the job; or, after all is done and recorded, what the job was done with (`Done.error`).
    """
    started, clock = datetime.now(UTC), time.monotonic()
    try:
        with (
            liveness.under_way(context.run_id),
            context.reporter.stage(title or job.name, context.spark, following) as stage,
        ):
            context.stage = stage
            _record_the_dead(job, context, started)
            work = job.plan(context)
            if not work.steps:
                context.reporter.say(f"  {title or job.name}: nothing to do, everything is up to date")
                return None
            done = job.execute(context, work)
            stage.rows = done.counts.get(done.headline, 0) if done.headline else 0
    except PingtiError as error:
        _record(context, started, clock, Done(reason=str(error)), type(error).__name__)
        raise
    except Exception as error:
        # Only its kind is kept: the message of a foreign error may quote a text.
        _record(context, started, clock, Done(reason=type(error).__name__), "bug")
        raise
    _record(context, started, clock, done, "done")
    if done.error is not None:
        raise done.error
    return done


def _record_the_dead(job: Job, context: Context, now: datetime) -> None:
    """Write the rows of runs that were killed between their commit and their row, as their commits tell them.

    One that may still be under way is left alone: it will tell more than its first commit can.
    """
    if not job.witnesses:
        return
    stamps = [stamp for table in job.witnesses for stamp in context.lake.stamps(table)]
    told = {stamp.run_id: stamp for stamp in stamps if stamp.job == job.name and stamp.counts}
    told = {run_id: stamp for run_id, stamp in told.items() if not liveness.alive(run_id, stamp.process, now)}
    known = context.lake.read(tables.RUNS).where(F.col("run_id").isin(list(told))).select("run_id").collect()
    for run_id in sorted(told.keys() - {row["run_id"] for row in known}):
        counts = told[run_id].counts or {}
        done = Done(counts=counts, reason=f"killed after a commit, recorded by {context.run_id}")
        _record(context, now, time.monotonic(), done, "done", run_id=run_id)


def _record(
    context: Context, started: datetime, clock: float, done: Done, outcome: str, *, run_id: str | None = None
) -> None:
    run_id = run_id or context.run_id
    row = (
        run_id, context.job, context.request.described(), context.settings.digest, code_version(),
        context.settings.cleaning.version, dict(done.inputs), dict(done.outputs), dict(done.counts), started,
        time.monotonic() - clock, outcome, done.reason,
    )  # fmt: skip
    try:
        frame = context.spark.createDataFrame([row], tables.RUNS.schema)
        context.lake.append(frame, tables.RUNS, context.stamp(), once=run_id)
    except Exception:
        if outcome == "done":
            raise  # a failed run is told by its own error, not by that of its bookkeeping


def make_context(job: str, settings: Settings, spark: SparkSession, request: Request, reporter: Reporter) -> Context:
    """A context over the lake that the settings name."""
    lake = Lake(spark, settings.lake, settings.session.timezone)
    return Context(settings, spark, lake, request, reporter, job)


def quiet_reporter() -> Reporter:
    """A reporter that says nothing; for tests and for jobs inside jobs."""
    return Reporter(quiet=os.environ.get("PINGTI_VERBOSE") is None)
