"""From a command's options to a run: settings read, the machine checked, the session started, the job run or planned.

Heavy imports wait inside the functions: `--help` answers at once, and a machine without Java is told so first.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from jobs.runtime.context import Context
    from jobs.runtime.job import Job
    from jobs.settings import Settings

SettingsOption = Annotated[Path | None, typer.Option("--settings", help="YAML laid over the defaults.", metavar="FILE")]
DtOption = Annotated[
    str | None, typer.Option("--dt", help="Days: YYYY-MM-DD or A..B; all by default.", metavar="A[..B]")
]
TaskOption = Annotated[str | None, typer.Option("--task", help="One task; all by default.", metavar="NAME")]
AgainOption = Annotated[bool, typer.Option("--again", help="Also the days that have no news.")]
PlanOption = Annotated[bool, typer.Option("--plan", help="Say what would be done, touch nothing.")]
LimitOption = Annotated[int, typer.Option(help="Rows shown at most.")]

EXIT_CODES = "Exit codes: 0 done, 1 bug, 2 settings, 3 gate, 4 data, 5 conflict (run again), 6 environment."


def load_settings(file: Path | None, base: Mapping[str, Any] | None = None) -> Settings:
    """The settings of a file laid over `base`, or over the defaults."""
    from jobs.settings_file import load

    return load(file, base)


def context_for(
    job: str, settings: Settings, dt: str | None = None, task: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Context:  # fmt: skip
    """The context of a run, whose session starts when it is needed: the machine is checked before."""
    from jobs.runtime import environment

    environment.check_disk(environment.own_disk(settings.lake.location))
    from jobs.runtime.context import Days, Request, make_context
    from jobs.runtime.progress import Reporter

    def start() -> SparkSession:
        environment.check_user()
        environment.check_java()
        from jobs.runtime import session

        return session.start(settings.session)

    request = Request(Days.parse(dt) if dt else None, task, options or {})
    return make_context(job, settings, start, request, Reporter())


def launch(
    job: Job[Any], file: Path | None, plan: bool, *, dt: str | None = None, task: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> None:  # fmt: skip
    """Run a job, or with `plan` say what it would do."""
    from jobs.runtime.job import run

    context = context_for(job.name, load_settings(file), dt, task, options)
    context.reporter.say(f"run {context.run_id}")
    if not plan:
        run(job, context)
        return
    work = job.plan(context)
    for step in work.steps:
        typer.echo(f"would {step}")
    if not work.steps:
        typer.echo("nothing to do, everything is up to date")
