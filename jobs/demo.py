"""`pingti demo`: the main job end to end on the demo corpus, then what it came to and what to try next."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.json as pajson
import yaml
from numpy.typing import NDArray
from pyspark.sql import SparkSession
from pyspark.sql import functions as F
from rich.console import Console
from rich.table import Table

from jobs import (
    annotate,
    clean,
    distil,
    distil_round,
    generate,
    ingest,
    init,
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
from models.evaluation import Evidence, macro_of, tally
from models.serving import open_engine
from models.threshold_search import EVERY_SCENE

STAGES: tuple[tuple[str, Job, dict[str, Any]], ...] = (
    ("init", init.JOB, {}),
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
    settings: Settings,
    corpus: CorpusSettings,
    folder: Path,
    spark: SparkSession,
    reporter: Reporter,
    speed_seconds: float = speed.BERT_SECONDS,
) -> dict[str, Any]:
    """Run every stage that is not up to date; returns the summary, made anew only where something changed."""
    started = time.monotonic()
    made = _corpus(corpus, folder, reporter)
    context = make_context("demo", settings, spark, Request(), reporter)
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
        extra = _measured(context, folder, started, speed_seconds)
        return report.write(context, folder, extra)


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
    for name in context.settings.tasks:
        test = _test_texts(context, name, folder / "corpus" / "truth.jsonl")
        teachers.append({"task": name, "truth": _teacher_against_truth(context, name, test)})
        for entry in rounds:
            if entry["task"] == name:
                entry["truth"] = _student_against_truth(context, entry["model_id"], test)
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


@dataclass(frozen=True, slots=True)
class TestTexts:
    """The test days' texts that a task's models score, and what the generator meant by each."""

    texts: pa.ChunkedArray
    hashes: NDArray[np.object_]
    gold: NDArray[np.bool_]  # (texts, labels), the labels as the settings order them


def _test_texts(context: Context, name: str, truth: Path) -> TestTexts:
    task = context.settings.task(name)
    window = queries.date_layout(context.lake, context.settings.rounds).test
    texts = queries.texts_of(context.lake.read(tables.TEXTS), name, task).where(queries.within(window))
    rows = texts.select("text_id", "text_hash", "text").orderBy("text_id").toArrow()
    meant = _meant(truth, name)
    ids = rows.column("text_id").to_pylist()
    gold = np.array([[label in meant.get(text_id, ()) for label in task.label_names] for text_id in ids], np.bool_)
    return TestTexts(rows.column("text"), rows.column("text_hash").to_numpy(zero_copy_only=False), gold)


def _meant(truth: Path, task: str) -> dict[str, frozenset[str]]:
    """The true labels of a task by text_id; texts without any are left out."""
    table = pajson.read_json(truth)
    found = {}
    columns = (table.column(name).to_pylist() for name in ("source", "source_id", "labels"))
    for source, own, labels in zip(*columns, strict=True):
        names = (labels or {}).get(task)
        if names:
            found[digests.of_source(source, own)] = frozenset(names)
    return found


def _student_against_truth(context: Context, model_id: str, test: TestTexts) -> dict[str, float] | None:
    """A student's macro quality by its round's thresholds. Nothing is trained or chosen by it."""
    student = queries.model(context.lake, model_id)
    limits = queries.threshold_row(queries.thresholds(context.lake, model_id, 1), EVERY_SCENE, student.labels)
    scores = open_engine(student.path, context.settings.scoring.engine).probabilities(test.texts)
    return _macro(scores >= np.array(limits, np.float32), test.gold, student.labels)


def _teacher_against_truth(context: Context, name: str, test: TestTexts) -> dict[str, float] | None:
    """The teacher's, on those of the texts that it scored: what a student that copied it would reach."""
    teacher = queries.require_model(context.lake, name, "teacher", "run `pingti train-teacher` first")
    scored = context.lake.read(tables.TEACHER_SCORES).where(F.col("model_id") == teacher.model_id)
    hard = scored.select("text_hash", distil_round.decided(context, teacher, "logits").alias("hard")).toArrow()
    place = {text_hash: row for row, text_hash in enumerate(hard.column("text_hash").to_pylist())}
    rows = np.array([place.get(text_hash, -1) for text_hash in test.hashes])
    decisions = hard.column("hard").combine_chunks().flatten().to_numpy().reshape(-1, len(teacher.labels)) > 0
    return _macro(decisions[rows[rows >= 0]], test.gold[rows >= 0], teacher.labels)


def _macro(decisions: NDArray[np.bool_], gold: NDArray[np.bool_], labels: Sequence[str]) -> dict[str, float] | None:
    rows = len(gold)
    same_day, same_scene = np.zeros(rows, np.int32), np.full(rows, EVERY_SCENE)
    evidence = Evidence(same_day, same_scene, np.ones(rows, np.int64), gold, np.ones_like(gold))
    quality = macro_of(tally(decisions, evidence, labels))
    if quality is None:
        return None
    return {name: round(getattr(quality, name), 4) for name in ("precision", "recall", "f1")}


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
