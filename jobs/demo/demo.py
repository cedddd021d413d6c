"""`pingti demo`: the main job end to end on the demo corpus, then what it came to and what to try next."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from jobs import settings_file
from jobs.demo import demo_truth, generator, phrase_files
from jobs.demo.corpus_settings import CorpusSettings
from jobs.evaluation import speed
from jobs.ingestion import clean, import_annotations, ingest
from jobs.labels import label, promote, thresholds
from jobs.lake import registry, tables, text_queries
from jobs.lake.store import Lake
from jobs.operations import init
from jobs.reports import report, summary
from jobs.rounds import distil
from jobs.runtime.chain import Link, run_chain
from jobs.runtime.context import Context
from jobs.runtime.progress import Reporter
from jobs.scoring import score, score_teacher
from jobs.settings import Settings
from jobs.teachers import pretrain, train_teacher
from models import digests
from models.folders import write_file

_SPEED_TEXTS = 20_000
TRY_NEXT = (
    "SELECT task, label, scene, count(*) AS texts FROM labels GROUP BY ALL ORDER BY ALL",
    "SELECT text, score, threshold FROM current_labels WHERE label = 'asks_homework' ORDER BY score DESC LIMIT 10",
    "SELECT round_id, sampling, decision, reason FROM rounds ORDER BY round_id",
)


def stages(folder: Path) -> tuple[Link, ...]:
    """The main job, over the corpus of a folder."""
    return (
        Link(init.JOB), Link(ingest.JOB), Link(clean.JOB),
        Link(import_annotations.JOB, {"file": folder / "corpus" / "annotations"}),
        Link(pretrain.JOB), Link(train_teacher.JOB), Link(score_teacher.JOB),
        Link(thresholds.JOB, {"teachers": True}), Link(distil.JOB),
        Link(score.JOB), Link(thresholds.JOB), Link(promote.JOB), Link(label.JOB),
    )  # fmt: skip


def run_demo(
    context: Context, corpus: CorpusSettings, folder: Path, speed_seconds: float = speed.BERT_SECONDS
) -> dict[str, Any]:
    """Run every stage that is not up to date; returns the summary, made anew only where something changed.

    Raises:
        GateError: At the end, where a student must not be put in force.
    """
    started = time.monotonic()
    made = _corpus(corpus, folder, context.reporter)
    chain = run_chain(stages(folder), context, following="report")
    written = folder / "summary.json"
    if not (made or chain.changed) and written.is_file():
        context.reporter.say("Nothing changed since the last run.")
        return dict(json.loads(written.read_text("utf-8")))
    lake, settings = context.lake, context.settings
    with context.reporter.stage("report"):
        measured = _measured(lake, settings, folder, speed_seconds)
        measured["seconds"] = round(time.monotonic() - started, 1)
        figures = report.write(lake, settings.tasks, folder, measured)
    if chain.refused is not None:
        raise chain.refused
    return figures


def _corpus(corpus: CorpusSettings, folder: Path, reporter: Reporter) -> bool:
    """Make the corpus unless the folder holds the very same."""
    manifest = folder / "corpus" / "manifest.json"
    settings = corpus.model_dump(mode="json", exclude={"processes"})
    wanted = digests.of_json({"settings": settings, "phrases": phrase_files.digest()})
    stamp = folder / "corpus.sha256"
    if manifest.is_file() and stamp.is_file() and stamp.read_text() == wanted:
        return False
    with reporter.stage("generate", following="init") as stage:
        generator.generate(corpus, folder / "corpus", stage.update)
    stamp.write_text(wanted)
    return True


def write_settings(settings: Settings, folder: Path, given: Path | None = None) -> Path:
    """The demo's whole settings as a file that only its owner reads, for `pingti … --settings`.

    What `given`, the file that they were read from, says stands as it stands there: `${NAME}` stays, whatever it is.
    """
    path = folder / "settings.yaml"
    values = settings.model_dump(mode="json", by_alias=True)
    if given is not None:
        values = settings_file.merge(values, settings_file.read_yaml(given, fill=False))
    write_file(path, yaml.safe_dump(values, allow_unicode=True, sort_keys=False), private=True)
    return path


def _measured(lake: Lake, settings: Settings, folder: Path, speed_seconds: float) -> dict[str, Any]:
    """What the rounds came to against the truth, and how fast the models are."""
    rounds = summary.rounds(lake)
    teachers = []
    truth = demo_truth.read(folder / "corpus" / "truth.jsonl")
    for name, task in settings.tasks.items():
        test = demo_truth.test_texts(lake, name, task, settings.rounds, truth)
        teachers.append({"task": name, "truth": demo_truth.teacher_quality(lake, name, task.kind, test)})
        for entry in rounds:
            if entry["task"] == name:
                student = registry.model(lake, entry["model_id"])
                entry["truth"] = demo_truth.student_quality(lake, student, task.kind, test, settings.scoring.engine)
    figures: dict[str, Any] = {"rounds": rounds, "teachers": teachers}
    if speed_seconds:
        figures["speed"] = _speed(lake, settings, speed_seconds)
    return figures


def _speed(lake: Lake, settings: Settings, seconds: float) -> dict[str, float]:
    """On the texts of the first task, with its newest models."""
    name, task = next(iter(settings.tasks.items()))
    teacher, student = registry.newest_teacher(lake, name), registry.newest_student(lake, name)
    texts = text_queries.texts_for(lake.read(tables.TEXTS), name, task)
    sample = texts.orderBy(text_queries.drawn_by_hash("text_id", 1)).limit(_SPEED_TEXTS).select("text").toArrow()
    student_folder, teacher_folder = (str(registry.files(lake, model).local()) for model in (student, teacher))
    return speed.measure(student_folder, teacher_folder, sample.column("text").to_pylist(), seconds)


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def show(figures: dict[str, Any], folder: Path, console: Console) -> None:
    """The closing table, and the SQL to try next."""
    counts = figures["counts"]
    console.width = max(console.width, 120)
    console.print()
    line = "   ".join(
        f"{name} [bold]{counts[name]:,}[/bold]" for name in ("read", "raw", "rejected", "repeated", "texts")
    )
    console.print(line, highlight=False)
    table = Table(show_edge=False, header_style="bold", title_justify="left")
    figures_shown = {
        "unseen F1": "unseen", "by text": "unseen_by_text", "undistilled": "undistilled", "human F1": "human",
        "truth F1": "truth",
    }  # fmt: skip
    for name in ("task", "round", "sampling", "rows", "labels", *figures_shown, "with seen"):
        table.add_column(name, justify="left" if name in ("task", "sampling") else "right")
    for entry in figures["rounds"]:
        values = [(entry[key] or {}).get("f1") for key in figures_shown.values()]
        table.add_row(
            entry["task"],
            str(entry["round"]),
            entry["sampling"],
            f"{entry['rows']:,}",
            entry["of_labels"] or "–",
            *[_shown(value) for value in (*values, entry["f1"])],
        )
    console.print(table)
    for name, task in counts["tasks"].items():
        console.print(
            f"{name}: {task['settled']:,} texts settled by rule, {task['scored']:,} scored, "
            f"[bold]{task['positive_labels']:,}[/bold] positive labels", highlight=False,
        )  # fmt: skip
    for teacher in figures["teachers"]:
        console.print(
            f"{teacher['task']}: the teacher's own F1 against the truth {_shown((teacher['truth'] or {}).get('f1'))}"
        )
    if "speed" in figures:
        _show_speed(figures, console)
    console.print(f"\nWritten: {folder / 'summary.json'}, {folder / 'report.html'}. Try next:")
    for statement in TRY_NEXT:
        console.print(
            f'  pingti sql --settings {folder / "settings.yaml"} "{statement}"', highlight=False, soft_wrap=True
        )


def _show_speed(figures: dict[str, Any], console: Console) -> None:
    measured = figures["speed"]
    console.print(
        f"one core: student [bold]{measured['student_rows_per_s']:,.0f}[/bold] rows/s, teacher "
        f"{measured['teacher_rows_per_s']:,.0f}, BERT-base {measured['bert_base_rows_per_s']:,.1f}: "
        f"[bold]{measured['ratio']:,.0f}×[/bold] BERT-base; whole run {figures['seconds']:,.0f} s", highlight=False,
    )  # fmt: skip
