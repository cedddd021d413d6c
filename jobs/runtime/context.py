"""What surrounds a run: what it was asked, and everything that planning and executing a job work with."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from pyspark.sql import SparkSession

from jobs.lake.commits import Scope, Stamp
from jobs.lake.store import Lake
from jobs.lake.tables import Table
from jobs.runtime import liveness
from jobs.runtime.progress import Reporter, Stage, TrainingProgress
from jobs.settings import Settings
from models.errors import SettingsError


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
    tasks: tuple[str, ...] = ()  # several of them; of a chain of jobs

    def described(self) -> str:
        """The request as JSON, for the `runs` table."""
        days = f"{self.days.first}..{self.days.last}" if self.days else None
        told = {"dt": days, "task": self.task or list(self.tasks) or None, **self.options}
        return json.dumps(told, default=str, sort_keys=True, ensure_ascii=False)


@dataclass
class Context:
    """Everything that a job's `plan` and `execute` work with; what they call takes the section or value it needs."""

    settings: Settings
    lake: Lake
    request: Request
    reporter: Reporter
    job: str
    run_id: str = field(default_factory=lambda: f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}")
    stage: Stage = field(default_factory=lambda: Stage(None, None))

    @property
    def spark(self) -> SparkSession:
        """The session, started when it is first asked for: plans and bookkeeping need none."""
        return self.lake.spark

    def start_session(self) -> None:
        """Start the session, unless it runs."""
        _ = self.lake.spark

    def for_job(self, job: str, request: Request) -> Context:
        """The context of another run in the same session, over the same lake."""
        return Context(self.settings, self.lake, request, self.reporter, job)

    def stamp(
        self, fingerprint: str | None = None, *, counts: Mapping[str, int] | None = None, expected: int | None = None
    ) -> Stamp:
        """The stamp of this run's commits."""
        return Stamp(self.run_id, self.job, fingerprint, counts, liveness.this_process(), expected)

    def training_progress(self, title: str) -> TrainingProgress:
        """What a trainer calls to tell how far it is, on the line of the stage under way."""
        return TrainingProgress(self.stage, title)

    def unchanged(self, table: Table, scope: Scope, fingerprint: str) -> bool:
        """Whether the newest commit over the scope made all of it, whole, and from the very same things."""
        latest = self.lake.log.latest(table, scope)
        if latest is None or not latest.whole:
            return False
        return latest.fingerprint == fingerprint and latest.scope.covers(scope)

    def versions(self, *tables: Table) -> dict[str, int]:
        """The newest version of each table, by its name."""
        return {table.name: self.lake.log.version(table) for table in tables}

    def tasks(self) -> tuple[str, ...]:
        """The tasks this run is about: the one asked for, or those, or all."""
        if self.request.tasks:
            return self.request.tasks
        if self.request.task is None:
            if not self.settings.tasks:
                raise SettingsError("tasks: the settings declare none; add one under tasks:, as docs/settings.md shows")
            return tuple(self.settings.tasks)
        self.settings.task(self.request.task)
        return (self.request.task,)

    def asked(self, day: date) -> bool:
        """Whether a day is among those asked for."""
        return self.request.days is None or self.request.days.first <= day <= self.request.days.last


def make_context(
    job: str, settings: Settings, session: Callable[[], SparkSession], request: Request, reporter: Reporter
) -> Context:
    """A context over the lake that the settings name; `session` starts the session when it is needed."""
    lake = Lake(session, settings.lake, settings.session.timezone)
    return Context(settings, lake, request, reporter, job)


def quiet_reporter() -> Reporter:
    """A reporter that says nothing; for tests and for jobs inside jobs."""
    return Reporter(quiet=os.environ.get("PINGTI_VERBOSE") is None)
