"""`pingti demo`: the main job end to end on the demo corpus, then what it came to and what to try next."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import yaml
from pyspark.sql import SparkSession
from rich.console import Console
from rich.table import Table

from jobs.demo import demo_truth, generate
from jobs.demo.corpus_settings import CorpusSettings
from jobs.evaluation import speed
from jobs.ingestion import clean, import_annotations, ingest
from jobs.labels import label, promote, thresholds
from jobs.labels.promote import live
from jobs.lake import queries, tables
from jobs.operations import init
from jobs.reports import report, summary
from jobs.rounds import distil
from jobs.runtime.job import Context, Job, Request, make_context, run
from jobs.runtime.progress import Reporter
from jobs.scoring import score, score_teacher
from jobs.settings import Settings
from jobs.teachers import train_teacher
from models import digests
from models.errors import GateError

STAGES: tuple[tuple[str, Job, dict[str, Any]], ...] = (
    ("init", init.JOB, {}),
    ("ingest", ingest.JOB, {}),
    ("clean", clean.JOB, {}),
    ("annotate import", import_annotations.JOB, {"file": "annotations"}),
    ("train-teacher", train_teacher.JOB, {}),
    ("score-teacher", score_teacher.JOB, {}),
    ("distil", distil.JOB, {}),
    ("score", score.JOB, {}),
    ("thresholds", thresholds.JOB, {}),
    ("promote", promote.JOB, {}),
    ("label", label.JOB, {}),
)
_SPEED_TEXTS = 20_000
TRY_NEXT = (
    "SELECT task, label, scene, count(*) AS texts FROM labels GROUP BY ALL ORDER BY ALL",
    "SELECT text, score, threshold FROM current_labels WHERE label = 'asks_praise' ORDER BY score DESC LIMIT 10",
    "SELECT round_id, sampling, decision, reason FROM rounds ORDER BY round_id",
)


def run_demo(
    settings: Settings,
    corpus: CorpusSettings,
    folder: Path,
    spark: SparkSession,
    reporter: Reporter,
    speed_seconds: float = speed.BERT_SECONDS,
) -> dict[str, Any]:
    """Run every stage that is not up to date; returns the summary, made anew only where something changed.

    Raises:
        GateError: At the end, where a student must not be put in force.
    """
    started = time.monotonic()
    made = _corpus(corpus, folder, reporter)
    context = make_context("demo", settings, spark, Request(), reporter)
    changed = made
    refused: GateError | None = None
    titles = [title for title, _, _ in STAGES]
    for number, (title, job, options) in enumerate(STAGES):
        following = titles[number + 1] if number + 1 < len(titles) else "report"
        options = {"file": folder / "corpus" / options["file"]} if options else {}
        stage = context.beside(job.name, Request(options=options))
        try:
            changed |= run(job, stage, title=title, following=following) is not None
        except GateError as error:
            if not live(context):
                raise
            refused = error  # told at the end: what is in force labels all the same
    written = folder / "summary.json"
    if not changed and written.is_file():
        reporter.say("Nothing changed since the last run.")
        return dict(json.loads(written.read_text("utf-8")))
    with reporter.stage("report"):
        found = report.write(context, folder, _measured(context, folder, started, speed_seconds))
    if refused is not None:
        raise refused
    return found


def _corpus(corpus: CorpusSettings, folder: Path, reporter: Reporter) -> bool:
    """Make the corpus unless the folder holds the very same."""
    manifest = folder / "corpus" / "manifest.json"
    wanted = digests.of_json(corpus.model_dump(mode="json", exclude={"processes"}))
    stamp = folder / "corpus.sha256"
    if manifest.is_file() and stamp.is_file() and stamp.read_text() == wanted:
        return False
    generate.run(corpus, folder / "corpus", reporter, following="init")
    stamp.write_text(wanted)
    return True


def write_settings(settings: Settings, folder: Path) -> Path:
    """The demo's whole settings as a file, for `pingti … --settings`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "settings.yaml"
    values = settings.model_dump(mode="json", by_alias=True)
    path.write_text(yaml.safe_dump(values, allow_unicode=True, sort_keys=False), "utf-8")
    return path


def _measured(context: Context, folder: Path, started: float, speed_seconds: float) -> dict[str, Any]:
    rounds = summary.rounds(context)
    teachers = []
    truth = demo_truth.read(folder / "corpus" / "truth.jsonl")
    for name in context.settings.tasks:
        test = demo_truth.test_texts(context, name, truth)
        teachers.append({"task": name, "truth": demo_truth.of_teacher(context, name, test)})
        for entry in rounds:
            if entry["task"] == name:
                entry["truth"] = demo_truth.of_student(context, entry["model_id"], test)
    found: dict[str, Any] = {"rounds": rounds, "teachers": teachers}
    if speed_seconds:
        found["speed"] = _speed(context, speed_seconds)
    return found | {"seconds": round(time.monotonic() - started, 1)}


def _speed(context: Context, seconds: float) -> dict[str, float]:
    """On the texts of the first task, with its newest models."""
    name = next(iter(context.settings.tasks))
    teacher = queries.require_model(context.lake, name, "teacher", "run `pingti train-teacher` first")
    student = queries.require_model(context.lake, name, "student", "run `pingti distil` first")
    own = queries.texts_of(context.lake.read(tables.TEXTS), name, context.settings.task(name))
    sample = own.orderBy(queries.drawn_by_hash("text_id", 1)).limit(_SPEED_TEXTS).select("text").toArrow()
    return speed.measure(student.path, teacher.path, sample.column("text").to_pylist(), seconds)


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def show(found: dict[str, Any], folder: Path, console: Console) -> None:
    """The closing table, and the SQL to try next."""
    counts = found["counts"]
    console.width = max(console.width, 120)
    console.print()
    line = "   ".join(f"{name} [bold]{counts[name]:,}[/bold]" for name in ("read", "raw", "rejected", "texts"))
    console.print(line, highlight=False)
    table = Table(show_edge=False, header_style="bold", title_justify="left")
    for name in (
        "task",
        "round",
        "sampling",
        "rows",
        "precision",
        "recall",
        "F1",
        "unseen F1",
        "undistilled F1",
        "truth F1",
    ):
        table.add_column(name, justify="left" if name in ("task", "sampling") else "right")
    for entry in found["rounds"]:
        values = [entry["precision"], entry["recall"], entry["f1"]]
        values += [(entry[key] or {}).get("f1") for key in ("unseen", "undistilled", "truth")]
        table.add_row(
            entry["task"],
            str(entry["round"]),
            entry["sampling"],
            f"{entry['rows']:,}",
            *[_shown(value) for value in values],
        )
    console.print(table)
    for name, task in counts["tasks"].items():
        console.print(
            f"{name}: {task['settled']:,} texts settled by rule, {task['scored']:,} scored, "
            f"[bold]{task['positive_labels']:,}[/bold] positive labels", highlight=False,
        )  # fmt: skip
    for teacher in found["teachers"]:
        console.print(
            f"{teacher['task']}: the teacher's own F1 against the truth {_shown((teacher['truth'] or {}).get('f1'))}"
        )
    if "speed" in found:
        _show_speed(found, console)
    console.print(f"\nWritten: {folder / 'summary.json'}, {folder / 'report.html'}. Try next:")
    for statement in TRY_NEXT:
        console.print(
            f'  pingti sql --settings {folder / "settings.yaml"} "{statement}"', highlight=False, soft_wrap=True
        )


def _show_speed(found: dict[str, Any], console: Console) -> None:
    measured = found["speed"]
    console.print(
        f"one core: student [bold]{measured['student_rows_per_s']:,.0f}[/bold] rows/s, teacher "
        f"{measured['teacher_rows_per_s']:,.0f}, BERT-base {measured['bert_base_rows_per_s']:,.1f}: "
        f"[bold]{measured['ratio']:,.0f}×[/bold] BERT-base; whole run {found['seconds']:,.0f} s", highlight=False,
    )  # fmt: skip
