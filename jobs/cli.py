"""The command line: `pingti JOB`, and the same through `spark-submit` (`jobs/submit.py`) or `python -m jobs.cli`.

Heavy imports wait inside the commands: `--help` answers at once, and a machine without Java is told so first.
"""

from __future__ import annotations

import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from models.errors import PingtiError, SettingsError

if TYPE_CHECKING:
    from jobs.runtime.job import Context, Job
    from jobs.settings import Settings

app = typer.Typer(
    name="pingti", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Pingti (平替): label production by tiny distilled students on Spark and Delta.",
)  # fmt: skip
annotate_app = typer.Typer(no_args_is_help=True, help="Human labels: import, export.")
app.add_typer(annotate_app, name="annotate")

SettingsOption = Annotated[Path | None, typer.Option("--settings", help="YAML laid over the defaults.", metavar="FILE")]
DtOption = Annotated[
    str | None, typer.Option("--dt", help="Days: YYYY-MM-DD or A..B; all by default.", metavar="A[..B]")
]
TaskOption = Annotated[str | None, typer.Option("--task", help="One task; all by default.", metavar="NAME")]
PlanOption = Annotated[bool, typer.Option("--plan", help="Say what would be done, touch nothing.")]
LimitOption = Annotated[int, typer.Option(help="Rows shown at most.")]

EXIT_CODES = "Exit codes: 0 done, 1 bug, 2 settings, 3 gate, 4 data, 5 conflict (run again), 6 environment."


def main() -> None:
    """Run the command line; our own errors become one message and their exit code."""
    try:
        app()
    except PingtiError as error:
        Console(stderr=True).print(f"pingti: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)


def _load(file: Path | None, base: dict[str, Any] | None = None) -> Settings:
    from jobs.settings import load

    return load(file, base)


def _context(name: str, settings: Settings, dt: str | None, task: str | None, options: dict[str, Any]) -> Context:
    from jobs.runtime import environment

    environment.check(Path(settings.lake.location or "."))
    from jobs.runtime import session
    from jobs.runtime.job import Days, Request, make_context
    from jobs.runtime.progress import Reporter

    request = Request(Days.parse(dt) if dt else None, task, options)
    return make_context(name, settings, session.start(settings.session), request, Reporter())


def _launch(
    job: Job,
    file: Path | None,
    dt: str | None,
    task: str | None,
    plan: bool,
    options: dict[str, Any] | None = None,
) -> None:
    from jobs.runtime.job import run

    context = _context(job.name, _load(file), dt, task, options or {})
    context.reporter.say(f"run {context.run_id}")
    if not plan:
        run(job, context)
        return
    work = job.plan(context)
    for step in work.steps:
        typer.echo(f"would {step}")
    if not work.steps:
        typer.echo("nothing to do, everything is up to date")


@app.command(epilog=EXIT_CODES)
def init(settings: SettingsOption = None, plan: PlanOption = False) -> None:
    """Make the tables that are not there yet."""
    from jobs.operations.init import JOB

    _launch(JOB, settings, None, None, plan)


@app.command(epilog=EXIT_CODES)
def generate(
    out: Annotated[Path, typer.Option(help="Folder for the corpus.")],
    texts: Annotated[int, typer.Option(help="Records in all.")] = 200_000,
    days: Annotated[int, typer.Option(help="Days they spread over.")] = 63,
    last_day: Annotated[str, typer.Option(help="The last of them.")] = "2026-03-01",
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 1,
    processes: Annotated[int, typer.Option(help="0: one a core. Changes the time only.")] = 0,
    rates: Annotated[
        Path | None, typer.Option(help="YAML of rates: noise by source, shares, annotators.", metavar="FILE")
    ] = None,
    plan: PlanOption = False,
) -> None:
    """Write the demo corpus: texts of three sources, annotations, and the truth apart."""
    corpus = _corpus(texts, days, last_day, seed, processes, rates)
    if plan:
        typer.echo(f"would write {texts:,} records of {days} days to {out}")
        return
    from jobs.demo import generate as job
    from jobs.runtime.progress import Reporter

    manifest = job.run(corpus, out, Reporter())
    typer.echo(f"{out / 'manifest.json'}: {len(manifest)} figures of the corpus")


def _corpus(texts: int, days: int, last_day: str, seed: int, processes: int, rates: Path | None = None) -> Any:
    from pydantic import ValidationError

    from jobs.demo.corpus_settings import CorpusSettings
    from jobs.settings import read_yaml

    given = read_yaml(rates) if rates else {}
    try:
        last = date.fromisoformat(last_day)
        own = {"texts": texts, "days": days, "last_day": last, "seed": seed, "processes": processes}
        return CorpusSettings.model_validate(given | own)
    except (ValidationError, ValueError) as error:
        raise SettingsError(f"generate: {error}") from None


@app.command(epilog=EXIT_CODES)
def ingest(
    settings: SettingsOption = None,
    plan: PlanOption = False,
    new: Annotated[bool, typer.Option("--new", help="Only files that came since the last time, by a stream.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="The same, again and again until stopped.")] = False,
) -> None:
    """Files of texts -> raw_texts, or rejected with a reason."""
    if new and follow:
        raise SettingsError("ingest: got --new and --follow, expected one of them: --new ends, --follow does not")
    if plan or not (new or follow):
        from jobs.ingestion.ingest import JOB

        _launch(JOB, settings, None, None, plan)
        return
    context = _context("ingest", _load(settings), None, None, {"new": new, "follow": follow})
    from jobs.ingestion import ingest_stream as stream

    stream.follow(context, until_stopped=follow)


@app.command(epilog=EXIT_CODES)
def clean(settings: SettingsOption = None, dt: DtOption = None, plan: PlanOption = False) -> None:
    """raw_texts -> texts."""
    from jobs.ingestion.clean import JOB

    _launch(JOB, settings, dt, None, plan)


@annotate_app.command("import", epilog=EXIT_CODES)
def annotate_import(
    file: Annotated[Path, typer.Option("--file", help="A CSV, TSV or JSONL file, a folder of them, or a glob.")],
    settings: SettingsOption = None,
    plan: PlanOption = False,
) -> None:
    """Files of human labels -> annotations."""
    from jobs.ingestion.import_annotations import JOB

    _launch(JOB, settings, None, None, plan, {"file": file})


@annotate_app.command("export", epilog=EXIT_CODES)
def annotate_export(
    file: Annotated[Path, typer.Option("--file", help="A .csv, .tsv or .jsonl file to write.")],
    settings: SettingsOption = None,
    dt: DtOption = None,
    task: TaskOption = None,
    with_text: Annotated[bool, typer.Option("--with-text", help="The texts beside their labels.")] = False,
    plan: PlanOption = False,
) -> None:
    """Write annotations to a file that import reads back."""
    from jobs.ingestion.export_annotations import JOB

    _launch(JOB, settings, dt, task, plan, {"file": file, "with_text": with_text})


@app.command("train-teacher", epilog=EXIT_CODES)
def train_teacher(settings: SettingsOption = None, task: TaskOption = None, plan: PlanOption = False) -> None:
    """annotations, texts -> a fine-tuned teacher of each task."""
    from jobs.teachers.train_teacher import JOB

    _launch(JOB, settings, None, task, plan)


@app.command("score-teacher", epilog=EXIT_CODES)
def score_teacher(settings: SettingsOption = None, task: TaskOption = None, plan: PlanOption = False) -> None:
    """A bounded sample of texts -> teacher_scores."""
    from jobs.scoring.score_teacher import JOB

    _launch(JOB, settings, None, task, plan)


@app.command(epilog=EXIT_CODES)
def distil(settings: SettingsOption = None, task: TaskOption = None, plan: PlanOption = False) -> None:
    """Rounds of distillation -> a sealed student of each task."""
    from jobs.rounds.distil import JOB

    _launch(JOB, settings, None, task, plan)


@app.command(epilog=EXIT_CODES)
def compare(
    settings: SettingsOption = None,
    task: TaskOption = None,
    round_id: Annotated[str | None, typer.Option("--round", help="The newest by default.", metavar="ROUND_ID")] = None,
    students: Annotated[
        str, typer.Option(help="By commas: textcnn, bow, bilstm, bigru; :word after one reads words.")
    ] = "textcnn",
    schemes: Annotated[
        str,
        typer.Option(
            help="By commas: offline, multi_teacher, joint_isolated, joint_coupled, joint_summed; each also with +hints"
            " and, but for joint_summed, +route. The student without distillation is always there."
        ),
    ] = "offline",
    seeds: Annotated[str, typer.Option(help="Numbers, by commas.")] = "1",
    out: Annotated[Path, typer.Option(help="Folder for compare.json.")] = Path("build/compare"),
    plan: PlanOption = False,
) -> None:
    """Train students and schemes on one and the same round, and tell what each is worth."""
    from jobs.rounds.compare import JOB

    options = {"round": round_id, "students": students, "schemes": schemes, "seeds": seeds, "out": out}
    _launch(JOB, settings, None, task, plan, options)


@app.command(epilog=EXIT_CODES)
def score(
    settings: SettingsOption = None, dt: DtOption = None, task: TaskOption = None, plan: PlanOption = False
) -> None:
    """texts, bundles -> student_scores."""
    from jobs.scoring.score import JOB

    _launch(JOB, settings, dt, task, plan)


@app.command(epilog=EXIT_CODES)
def thresholds(settings: SettingsOption = None, task: TaskOption = None, plan: PlanOption = False) -> None:
    """Scores and gold of the threshold days -> thresholds by label and scene."""
    from jobs.labels.thresholds import JOB

    _launch(JOB, settings, None, task, plan)


@app.command(epilog=EXIT_CODES)
def promote(
    settings: SettingsOption = None,
    task: TaskOption = None,
    plan: PlanOption = False,
    reason: Annotated[str | None, typer.Option(help="Kept with the promotion.")] = None,
) -> None:
    """Put the newest student and its thresholds in force."""
    from jobs.labels.promote import JOB

    _launch(JOB, settings, None, task, plan, {"reason": reason})


@app.command(epilog=EXIT_CODES)
def rollback(
    settings: SettingsOption = None,
    task: TaskOption = None,
    plan: PlanOption = False,
    reason: Annotated[str | None, typer.Option(help="Kept with the promotion.")] = None,
) -> None:
    """Put back in force what was before."""
    from jobs.labels.promote import ROLLBACK

    _launch(ROLLBACK, settings, None, task, plan, {"reason": reason})


@app.command(epilog=EXIT_CODES)
def label(
    settings: SettingsOption = None, dt: DtOption = None, task: TaskOption = None, plan: PlanOption = False
) -> None:
    """student_scores, thresholds, promotions -> labels."""
    from jobs.labels.label import JOB

    _launch(JOB, settings, dt, task, plan)


@app.command(epilog=EXIT_CODES)
def sql(
    statement: Annotated[str, typer.Argument(help="Over the tables, student_scores_long, current_labels, label_wide.")],
    settings: SettingsOption = None,
    limit: LimitOption = 50,
    as_of: Annotated[str | None, typer.Option("--as-of", help="The moment of the view label_as_of.")] = None,
    plan: PlanOption = False,
) -> None:
    """Ask the tables."""
    if plan:
        typer.echo(f"would run: {statement}")
        return
    from jobs.reports import sql as job

    job.run(_context("sql", _load(settings), None, None, {}), statement, limit, as_of, Console())


@app.command(epilog=EXIT_CODES)
def runs(settings: SettingsOption = None, limit: LimitOption = 20, plan: PlanOption = False) -> None:
    """Show what ran and how it ended."""
    if plan:
        typer.echo("would show the latest runs")
        return
    from jobs.operations import runs as job

    job.show(_context("runs", _load(settings), None, None, {}), limit, Console())


@app.command(epilog=EXIT_CODES)
def report(
    settings: SettingsOption = None,
    out: Annotated[Path, typer.Option(help="Folder for report.html and summary.json.")] = Path("build/report"),
    plan: PlanOption = False,
) -> None:
    """One HTML page of counts, rounds, thresholds and labels; and summary.json."""
    from jobs.reports.report import JOB

    _launch(JOB, settings, None, None, plan, {"out": out})


@app.command(epilog=EXIT_CODES)
def demo(
    out: Annotated[Path, typer.Option(help="Folder for the corpus, the warehouse and the summary.")] = Path(
        "build/demo"
    ),
    texts: Annotated[int, typer.Option(help="Records of the corpus.")] = 200_000,
    days: Annotated[int, typer.Option(help="Days they spread over.")] = 63,
    seed: Annotated[int, typer.Option(help="Of the corpus.")] = 1,
    speed_seconds: Annotated[float, typer.Option(help="How long BERT-base is timed; 0 leaves the speeds out.")] = 10.0,
    settings: SettingsOption = None,
    plan: PlanOption = False,
) -> None:
    """The main job end to end on the demo corpus."""
    from jobs.demo.demo_settings import demo_settings

    loaded = _load(settings, demo_settings(out))
    corpus = _corpus(texts, days, "2026-03-01", seed, 0)
    if plan:
        typer.echo(f"would run the whole job on {texts:,} demo texts in {out}")
        return
    context = _context("demo", loaded, None, None, {})
    from jobs.demo import demo as job

    job.write_settings(loaded, out)
    found = job.run_demo(loaded, corpus, out, context.spark, context.reporter, speed_seconds)
    job.show(found, out, Console())


if __name__ == "__main__":
    main()
