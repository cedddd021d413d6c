"""`pingti demo`: the main job end to end on the demo corpus, then what it came to and what to try next."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json as pajson
import yaml
from pyspark.sql import functions as F
from rich.console import Console
from rich.table import Table

from jobs import (
    annotate,
    clean,
    distil,
    generate,
    ingest,
    label,
    promote,
    report,
    score,
    score_teacher,
    summary,
    thresholds,
    train_teacher,
)
from jobs.corpus.settings import CorpusSettings
from jobs.lake import queries, tables
from jobs.runtime import speed
from jobs.runtime.job import Context, Job, Request, make_context, run
from jobs.runtime.progress import Reporter
from jobs.settings import Settings
from models import digests
from models.engine import OnnxEngine
from models.evaluation import Evidence, macro_of, tally
from models.threshold_search import EVERY_SCENE

STAGES: tuple[tuple[str, Job, dict[str, Any]], ...] = (
    ("ingest", ingest.JOB, {}),
    ("clean", clean.JOB, {}),
    ("annotate import", annotate.JOB, {"file": "annotations"}),
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
    settings: Settings, corpus: CorpusSettings, folder: Path, spark: Any, reporter: Reporter
) -> dict[str, Any]:
    """Run every stage that is not up to date; returns the summary, made anew only where something changed."""
    started = time.monotonic()
    made = _corpus(corpus, folder, reporter)
    context = make_context("demo", settings, spark, Request(), reporter)
    with reporter.stage("init", following=STAGES[0][0]):
        context.lake.init()
    changed = made
    titles = [title for title, _, _ in STAGES]
    for number, (title, job, options) in enumerate(STAGES):
        following = titles[number + 1] if number + 1 < len(titles) else "report"
        options = {"file": folder / "corpus" / options["file"]} if options else {}
        stage = make_context(job.name, settings, spark, Request(options=options), reporter)
        changed |= run(job, stage, title=title, following=following) is not None
    written = folder / "summary.json"
    if not changed and written.is_file():
        reporter.say("Nothing changed since the last run.")
        return dict(json.loads(written.read_text("utf-8")))
    with reporter.stage("report"):
        extra = _measured(context, folder, started)
        return report.run(context, folder, extra)


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


def _measured(context: Context, folder: Path, started: float) -> dict[str, Any]:
    rounds = summary.rounds(context)
    for entry in rounds:
        entry["truth"] = against_truth(context, entry["model_id"], folder / "corpus" / "truth.jsonl")
    name = next(iter(context.settings.tasks))
    teacher = queries.require_model(context.lake, name, "teacher", "run `pingti train-teacher` first")
    student = queries.require_model(context.lake, name, "student", "run `pingti distil` first")
    own = queries.texts_of(context.lake.read(tables.TEXTS), name, context.settings.task(name))
    sample = own.orderBy(queries.drawn_by_hash("text_id", 1)).limit(_SPEED_TEXTS).select("text").toArrow()
    measured = speed.measure(student.path, teacher.path, sample.column("text").to_pylist())
    return {"rounds": rounds, "speed": measured, "seconds": round(time.monotonic() - started, 1)}


def against_truth(context: Context, model_id: str, truth: Path) -> dict[str, float] | None:
    """A student's macro quality on the test days against what the generator meant; None if no label was meant there.

    Nothing is trained or chosen by it.
    """
    student = queries.model(context.lake, model_id)
    task = context.settings.task(student.task)
    layout = queries.date_layout(context.lake, context.settings.rounds)
    texts = queries.texts_of(context.lake.read(tables.TEXTS), student.task, task).where(queries.within(layout.test))
    rows = texts.select("text_id", "scene", "text").orderBy("text_id").toArrow()
    meant = _meant(truth, student.task)
    gold = np.array(
        [[name in meant.get(text_id, ()) for name in student.labels] for text_id in rows.column("text_id").to_pylist()]
    )
    version = (
        context.lake.read(tables.THRESHOLDS).where(F.col("model_id") == model_id).agg(F.min("version")).collect()[0][0]
    )
    limits = queries.threshold_row(queries.thresholds(context.lake, model_id, version), EVERY_SCENE, student.labels)
    decisions = OnnxEngine.open(student.path).probabilities(rows.column("text")) >= np.array(limits, np.float32)
    ones = np.ones(rows.num_rows, np.int64)
    scenes = np.array(rows.column("scene").to_pylist(), np.str_)
    evidence = Evidence(np.zeros(rows.num_rows, np.int32), scenes, ones, gold, np.ones_like(gold))
    quality = macro_of(tally(decisions, evidence, student.labels))
    if quality is None:
        return None
    return {name: round(getattr(quality, name), 4) for name in ("precision", "recall", "f1")}


def _meant(truth: Path, task: str) -> dict[str, frozenset[str]]:
    """The true labels of a task by text_id; texts without any are left out."""
    table: pa.Table = pajson.read_json(truth)
    found = {}
    for source, own, tasks in zip(
        *(table.column(name).to_pylist() for name in ("source", "source_id", "labels")), strict=True
    ):
        names = (tasks or {}).get(task)
        if names:
            found[digests.of_source(source, own)] = frozenset(names)
    return found


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
    measured = found["speed"]
    console.print(
        f"one core: student [bold]{measured['student_rows_per_s']:,.0f}[/bold] rows/s, teacher "
        f"{measured['teacher_rows_per_s']:,.0f}, BERT-base {measured['bert_base_rows_per_s']:,.1f}: "
        f"[bold]{measured['ratio']:,.0f}×[/bold] BERT-base; whole run {found['seconds']:,.0f} s", highlight=False,
    )  # fmt: skip
    console.print(f"\nWritten: {folder / 'summary.json'}, {folder / 'report.html'}. Try next:")
    for statement in TRY_NEXT:
        console.print(
            f'  pingti sql --settings {folder / "settings.yaml"} "{statement}"',
            highlight=False,
            soft_wrap=True,
        )
