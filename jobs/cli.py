"""The command line: `pingti JOB`, and the same through `spark-submit` (`jobs/submit.py`) or `python -m jobs.cli`.

A job's command is one function here; what all of them share is `jobs/runtime/launch.py`. It is long because it is a
list: one command after the other, none of which knows another.
"""

from __future__ import annotations

import sys
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, get_args

import typer
from rich.console import Console

from jobs.demo.demo_commands import demo_app
from jobs.runtime.launch import (
    EXIT_CODES,
    AgainOption,
    DtOption,
    LimitOption,
    PlanOption,
    SettingsOption,
    TaskOption,
    context_for,
    launch,
    load_settings,
)
from models.errors import PingtiError, SettingsError
from models.student_settings import StudentKind

app = typer.Typer(
    name="pingti", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Pingti (平替): label production by tiny distilled students on Spark and Delta.",
)  # fmt: skip
annotate_app = typer.Typer(no_args_is_help=True, help="Human labels: import, export.")
app.add_typer(annotate_app, name="annotate")
teacher_app = typer.Typer(no_args_is_help=True, help="Scores from outside: ask, import-scores.")
app.add_typer(teacher_app, name="teacher")
app.add_typer(demo_app)

ModelOption = Annotated[
    str | None,
    typer.Option("--model", help="A student by name, with a version of its thresholds.", metavar="MODEL[@VERSION]"),
]
ReasonOption = Annotated[str | None, typer.Option(help="Kept with the promotion.")]


def main() -> None:
    """Run the command line; our own errors become one message and their exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal in GBK shows a stand-in for what it does not have
            stream.reconfigure(errors="replace")
    try:
        app()
    except PingtiError as error:
        Console(stderr=True).print(f"pingti: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(error.exit_code)


@app.command(epilog=EXIT_CODES)
def init(settings: SettingsOption = None, plan: PlanOption = False) -> None:
    """Make tables and columns that are not there yet."""
    from jobs.operations.init import JOB

    launch(JOB, settings, plan)


@app.command(epilog=EXIT_CODES)
def check(
    settings: SettingsOption = None,
    plan: PlanOption = False,
    annotations: Annotated[
        str | None, typer.Option(help="Also files of human labels, as annotate import takes them.", metavar="FILE")
    ] = None,
) -> None:
    """What a run would meet: files as they would be read, bases, Java, disk. Seconds, no Spark, nothing is made."""
    from jobs.operations.check import check as look

    found = look(load_settings(settings), annotations)
    for line in found.lines:
        typer.echo(line)
    if found.problems:
        raise found.problems[0]


@app.command(epilog=EXIT_CODES)
def ingest(
    settings: SettingsOption = None,
    plan: PlanOption = False,
    new: Annotated[bool, typer.Option("--new", help="In batches of ingest.follow_files, each a run.")] = False,
    follow: Annotated[bool, typer.Option("--follow", help="The same, again and again until stopped.")] = False,
    replace_file: Annotated[
        list[str] | None,
        typer.Option("--replace-file", help="A file whose content was changed on purpose; may be given again."),
    ] = None,
) -> None:
    """Files of texts -> raw_texts, or rejected with a reason."""
    if new and follow:
        raise SettingsError("ingest: got --new and --follow, expected one of them: --new ends, --follow does not")
    if plan or not (new or follow):
        from jobs.ingestion.ingest import JOB

        launch(JOB, settings, plan, options={"replace_file": replace_file} if replace_file else None)
        return
    if replace_file:
        raise SettingsError("ingest: got --replace-file with --new or --follow, expected it by itself")
    context = context_for("ingest", load_settings(settings), options={"new": new, "follow": follow})
    from jobs.ingestion.ingest_stream import ingest_stream

    ingest_stream(context, until_stopped=follow)


@app.command(epilog=EXIT_CODES)
def clean(
    settings: SettingsOption = None, dt: DtOption = None, plan: PlanOption = False, again: AgainOption = False
) -> None:
    """raw_texts -> texts."""
    from jobs.ingestion.clean import JOB

    launch(JOB, settings, plan, dt=dt, options={"again": again})


@annotate_app.command("import", epilog=EXIT_CODES)
def annotate_import(
    file: Annotated[
        str, typer.Option("--file", help="A CSV, TSV, JSONL or Parquet file, a folder of them, a glob, or a URI.")
    ],
    more: Annotated[
        list[str] | None, typer.Argument(help="More files: what a shell makes of a glob.", metavar="[FILE]...")
    ] = None,
    settings: SettingsOption = None,
    plan: PlanOption = False,
) -> None:
    """Files of human labels -> annotations."""
    from jobs.ingestion.import_annotations import JOB

    launch(JOB, settings, plan, options={"file": [file, *(more or ())]})


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

    launch(JOB, settings, plan, dt=dt, task=task, options={"file": file, "with_text": with_text})


@app.command(epilog=EXIT_CODES)
def pretrain(
    settings: SettingsOption = None,
    task: TaskOption = None,
    plan: PlanOption = False,
    again: Annotated[
        bool, typer.Option("--again", help="Also where there is one of these settings: on the texts of now.")
    ] = False,
) -> None:
    """Texts -> what teachers begin as: a small BERT, or the model of `from` further; train-teacher makes it too."""
    from jobs.teachers.pretrain import JOB

    launch(JOB, settings, plan, task=task, options={"again": again})


@app.command("train-teacher", epilog=EXIT_CODES)
def train_teacher(
    settings: SettingsOption = None,
    task: TaskOption = None,
    plan: PlanOption = False,
    again: Annotated[
        bool, typer.Option("--again", help="Also where annotations, labels and teacher settings are as they were.")
    ] = False,
) -> None:
    """annotations, texts -> a fine-tuned teacher of each task."""
    from jobs.teachers.train_teacher import JOB

    launch(JOB, settings, plan, task=task, options={"again": again})


@teacher_app.command("ask", epilog=EXIT_CODES)
def teacher_ask(
    file: Annotated[Path, typer.Option("--file", help="A .csv, .tsv or .jsonl file to write.")],
    settings: SettingsOption = None,
    task: TaskOption = None,
    rows: Annotated[int | None, typer.Option(min=1, help="The most texts; all of the sample by default.")] = None,
    teacher: Annotated[
        str | None,
        typer.Option(help="By the name of import-scores; the task's newest of these by default.", metavar="NAME"),
    ] = None,
    plan: PlanOption = False,
) -> None:
    """Write the texts that a teacher outside has not scored of its sample: what score-teacher would score."""
    from jobs.outside.ask import JOB

    launch(JOB, settings, plan, task=task, options={"file": file, "rows": rows, "teacher": teacher})


@teacher_app.command("import-scores", epilog=EXIT_CODES)
def teacher_import_scores(
    place: Annotated[
        list[str],
        typer.Argument(
            help="CSV, TSV, JSONL, JSON or Parquet files, folders of them, globs, URIs; or Delta tables by path or "
            "name.",
            metavar="FILE|TABLE...",
        ),
    ],
    name: Annotated[str, typer.Option(help="What the teacher is called.", metavar="NAME")],
    settings: SettingsOption = None,
    task: TaskOption = None,
    scale: Annotated[
        str | None,
        typer.Option(help="probability (also yes and no) or logit; by default outside_scores.scale."),
    ] = None,
    plan: PlanOption = False,
    again: Annotated[bool, typer.Option("--again", help="Also where the very same were imported.")] = False,
) -> None:
    """Scores of a language model, an API or another platform's model -> a teacher and its teacher_scores."""
    from jobs.outside.import_scores import JOB

    launch(JOB, settings, plan, task=task, options={"places": place, "name": name, "scale": scale, "again": again})


@app.command("score-teacher", epilog=EXIT_CODES)
def score_teacher(settings: SettingsOption = None, task: TaskOption = None, plan: PlanOption = False) -> None:
    """A bounded sample of texts -> teacher_scores."""
    from jobs.scoring.score_teacher import JOB

    launch(JOB, settings, plan, task=task)


@app.command(epilog=EXIT_CODES)
def distil(
    settings: SettingsOption = None,
    task: TaskOption = None,
    plan: PlanOption = False,
    force: Annotated[
        bool, typer.Option("--force", help="Also under a teacher that annotators agree with less than its student.")
    ] = False,
) -> None:
    """Rounds of distillation -> a sealed student of each task."""
    from jobs.rounds.distil import JOB

    launch(JOB, settings, plan, task=task, options={"force": force})


@app.command(epilog=EXIT_CODES)
def compare(
    settings: SettingsOption = None,
    task: TaskOption = None,
    round_id: Annotated[str | None, typer.Option("--round", help="The newest by default.", metavar="ROUND_ID")] = None,
    students: Annotated[
        str, typer.Option(help=f"By commas: {', '.join(get_args(StudentKind))}; :word after one reads words.")
    ] = "textcnn",
    schemes: Annotated[
        str,
        typer.Option(
            help="By commas: offline, multi_teacher, joint_isolated, joint_coupled, joint_summed; each also with +hints"
            " and, but for joint_summed, +curriculum. The student without distillation is always there."
        ),
    ] = "offline",
    seeds: Annotated[str, typer.Option(help="Numbers, by commas.")] = "1",
    out: Annotated[Path, typer.Option(help="Folder for compare.json.")] = Path("build/compare"),
    plan: PlanOption = False,
) -> None:
    """Train students and schemes on one and the same round, and tell what each is worth."""
    from jobs.rounds.compare import JOB

    options = {"round": round_id, "students": students, "schemes": schemes, "seeds": seeds, "out": out}
    launch(JOB, settings, plan, task=task, options=options)


@app.command(epilog=EXIT_CODES)
def score(
    settings: SettingsOption = None,
    dt: DtOption = None,
    task: TaskOption = None,
    plan: PlanOption = False,
    again: AgainOption = False,
) -> None:
    """texts, bundles -> student_scores."""
    from jobs.scoring.score import JOB

    launch(JOB, settings, plan, dt=dt, task=task, options={"again": again})


@app.command(epilog=EXIT_CODES)
def thresholds(
    settings: SettingsOption = None,
    task: TaskOption = None,
    plan: PlanOption = False,
    teachers: Annotated[
        bool, typer.Option("--teachers", help="Those of teachers alone, against annotators: before distil.")
    ] = False,
) -> None:
    """Scores and gold of the threshold days -> thresholds by label and scene."""
    from jobs.labels.thresholds import JOB

    launch(JOB, settings, plan, task=task, options={"teachers": teachers})


@app.command(epilog=EXIT_CODES)
def promote(
    settings: SettingsOption = None,
    task: TaskOption = None,
    plan: PlanOption = False,
    model: ModelOption = None,
    withhold: Annotated[
        list[str] | None,
        typer.Option("--withhold", help="A label that is not to be decided; may be said again.", metavar="LABEL"),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Whatever the gate says; needs --reason.")] = False,
    reason: ReasonOption = None,
) -> None:
    """Put the newest student and its thresholds in force, or the one that --model names."""
    from jobs.labels.promote import JOB

    options = {"model": model, "withhold": withhold, "force": force, "reason": reason}
    launch(JOB, settings, plan, task=task, options=options)


@app.command(epilog=EXIT_CODES)
def rollback(
    settings: SettingsOption = None,
    task: TaskOption = None,
    plan: PlanOption = False,
    to: Annotated[
        str | None,
        typer.Option("--to", help="What was in force once; by default what was before.", metavar="MODEL[@VERSION]"),
    ] = None,
    reason: ReasonOption = None,
) -> None:
    """Put back in force what was before; it stays until promote names another by hand, or a newer one is made."""
    from jobs.labels.rollback import JOB

    launch(JOB, settings, plan, task=task, options={"to": to, "reason": reason})


@app.command(epilog=EXIT_CODES)
def label(
    settings: SettingsOption = None,
    dt: DtOption = None,
    task: TaskOption = None,
    plan: PlanOption = False,
    again: AgainOption = False,
) -> None:
    """student_scores, thresholds, promotions -> labels."""
    from jobs.labels.label import JOB

    launch(JOB, settings, plan, dt=dt, task=task, options={"again": again})


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

    job.run(context_for("sql", load_settings(settings)), statement, limit, as_of, Console())


@app.command(epilog=EXIT_CODES)
def runs(settings: SettingsOption = None, limit: LimitOption = 20, plan: PlanOption = False) -> None:
    """Show what ran and how it ended."""
    if plan:
        typer.echo("would show the latest runs")
        return
    from jobs.operations import runs as job

    job.show(context_for("runs", load_settings(settings)).lake, limit, Console())


@app.command(epilog=EXIT_CODES)
def diff(
    first: Annotated[str, typer.Argument(metavar="MODEL", help="A student, as MODEL or MODEL@VERSION of thresholds.")],
    second: Annotated[str, typer.Argument(metavar="MODEL", help="Another student of the same task.")],
    settings: SettingsOption = None,
    dt: DtOption = None,
    examples: Annotated[int, typer.Option(help="Texts shown of each label and change.")] = 3,
    plan: PlanOption = False,
) -> None:
    """What a promotion would change: labels gained and lost, with examples."""
    if plan:
        typer.echo(f"would compare the labels of {first} and {second}")
        return
    from jobs.reports import diff as job

    job.show(context_for("diff", load_settings(settings), dt), first, second, examples, Console())


@app.command(epilog=EXIT_CODES)
def nightly(settings: SettingsOption = None, dt: DtOption = None, plan: PlanOption = False) -> None:
    """The night: ingest, clean, score, label, and thresholds and promote where there is a new student."""
    from jobs.operations import nightly as job

    context = context_for("nightly", load_settings(settings), dt)
    if not plan:
        job.run(context)
        return
    for step in job.plan(context):
        typer.echo(f"would {step}")


@app.command(epilog=EXIT_CODES)
def maintain(settings: SettingsOption = None, plan: PlanOption = False) -> None:
    """Compact small days, remove files that no version needs, drop old rounds' texts, keep the logs short."""
    from jobs.operations.maintain import JOB

    launch(JOB, settings, plan)


@app.command(epilog=EXIT_CODES)
def erase(
    settings: SettingsOption = None,
    text_id: Annotated[Path | None, typer.Option(help="A file of text_ids, one a line.", metavar="FILE")] = None,
    source_id: Annotated[
        Path | None, typer.Option(help="A file of the sources' own ids, one a line, of every source.", metavar="FILE")
    ] = None,
    plan: PlanOption = False,
) -> None:
    """Texts of a person -> out of every table, and not loaded again; past versions go by maintain."""
    from jobs.operations.erase import JOB

    launch(JOB, settings, plan, options={"text_id": text_id, "source_id": source_id})


@app.command(epilog=EXIT_CODES)
def status(settings: SettingsOption = None, limit: LimitOption = 30, plan: PlanOption = False) -> None:
    """The last nights, what is in force, and what is late."""
    if plan:
        typer.echo("would show the last nights, what is in force, and what is late")
        return
    from jobs.operations import status as job

    job.show(context_for("status", load_settings(settings)), limit, Console())


@app.command(epilog=EXIT_CODES)
def report(
    settings: SettingsOption = None,
    out: Annotated[Path, typer.Option(help="Folder for report.html and summary.json.")] = Path("build/report"),
    plan: PlanOption = False,
) -> None:
    """One HTML page of counts, rounds, thresholds and labels; and summary.json."""
    from jobs.reports.report import JOB

    launch(JOB, settings, plan, options={"out": out})


@app.command("settings", epilog=EXIT_CODES)
def print_settings(
    schema: Annotated[bool, typer.Option("--schema", help="A JSON Schema, for editors and checks.")] = False,
    doc: Annotated[
        bool, typer.Option("--doc", help="Every key, its values, default and meaning, as Markdown.")
    ] = False,
    plan: PlanOption = False,
) -> None:
    """What can be set."""
    if schema == doc:
        raise SettingsError("settings: expected one of --schema and --doc")
    if plan:
        typer.echo(f"would print the {'schema' if schema else 'page'} of all settings")
        return
    import json

    from jobs import settings_doc

    typer.echo(json.dumps(settings_doc.json_schema(), indent=1, ensure_ascii=False) if schema else settings_doc.page())


if __name__ == "__main__":
    main()
