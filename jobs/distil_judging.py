"""What a round's student is worth: thresholds from the threshold days, quality on the test days, and what follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.distil_round import Trained, matrix_of
from jobs.lake import queries, tables
from jobs.lake.queries import Model
from jobs.runtime.job import Context
from models import round_plan
from models.evaluation import Cell, Evidence, by_label, macro_of, search_thresholds, tally
from models.metrics import Quality
from models.outcomes import competing, first_threshold, implied, probabilities
from models.round_plan import DateLayout, Decision
from models.serving import open_engine
from models.threshold_search import Found

_EPOCH = date(1970, 1, 1)
CellKey: TypeAlias = tuple[str, str, str, str]
"""Model's name, model_id, gold, purpose."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What a round's student and its twin are worth: cells by (model name, model_id, gold, purpose); their means."""

    cells: Mapping[CellKey, list[Cell]]
    metrics: list[dict[str, Any]]
    row_counts: dict[str, int]
    thresholds: tuple[Found, ...]  # the student's, in the labels' order


def judge(context: Context, task: str, teacher: Model, layout: DateLayout, trained: Trained, rows: pa.Table) -> Judged:
    """Thresholds from the threshold days, quality on the test days; for the student and for its twin alike."""
    from models.training.students import predict

    kind = context.settings.task(task).kind
    later = _later_rows(context, task, teacher, layout)
    texts, where = np.unique(later.column("text_hash").to_numpy(zero_copy_only=False), return_inverse=True)
    first = np.unique(where, return_index=True)[1]
    distinct = later.column("text").take(pa.array(first))
    gold = gold_of_teacher(context, teacher, later)
    days = day_numbers(later)
    testing = days >= (layout.test.first - _EPOCH).days
    seen = np.isin(texts, rows.column("text_hash").to_numpy(zero_copy_only=False))[where]
    engine = open_engine(trained.bundle, context.settings.scoring.engine)
    scores = {
        "student": engine.probabilities(distinct),
        "undistilled": probabilities(predict(trained.undistilled, engine.encode(distinct)), kind).astype(np.float32),
    }
    fallback = first_threshold(kind, len(teacher.labels))
    targets = [settings.target for settings in context.settings.task(task).labels.values()]
    scenes = np.array(later.column("scene").to_pylist(), np.str_)
    weight = later.column("occurrences").to_numpy()
    humans = Evidence(days, scenes, weight, *_gold_of_humans(context, task, later, teacher.labels))
    teachers = Evidence(days, scenes, weight, gold, np.ones_like(gold))
    parts = {"test": testing, "test_unseen": testing & ~seen}
    searched: dict[str, tuple[Found, ...]] = {}
    cells = _cells("teacher", teacher.model_id, gold, {"human": humans}, parts, teacher.labels)
    ids = {"student": trained.model_id, "undistilled": f"{trained.model_id}/undistilled"}
    for name, distinct_scores in scores.items():
        own = competing(distinct_scores, kind)[where]
        searched[name] = search_thresholds(own[~testing], teachers.where(~testing), targets, fallback)
        decisions = own >= np.array([one.value for one in searched[name]], np.float32)
        golds = {"teacher": teachers, "human": humans}
        cells |= _cells(name, ids[name], decisions, golds, parts, teacher.labels)
    counts = {
        "threshold": int((~testing).sum()),
        "test": int(testing.sum()),
        "test_unseen": int((testing & ~seen).sum()),
    }
    return Judged(cells, _metrics(cells), counts, searched["student"])


def _cells(
    name: str, model_id: str, decisions: NDArray[np.bool_], golds: Mapping[str, Evidence],
    parts: Mapping[str, NDArray[np.bool_]], labels: Sequence[str],
) -> dict[CellKey, list[Cell]]:  # fmt: skip
    """A model's decisions against each gold on each part of the days, where the gold says anything."""
    return {
        (name, model_id, source, part): tally(decisions[chosen], evidence.where(chosen), labels)
        for source, evidence in golds.items()
        for part, chosen in parts.items()
        if evidence.known[chosen].any()
    }


def _later_rows(context: Context, task: str, teacher: Model, layout: DateLayout) -> pa.Table:
    """The scored texts of the threshold and test days, a row a day, scene and text: bounded by the teacher's sample."""
    settings = context.settings.task(task)
    scored = context.lake.read(tables.TEACHER_SCORES).where(F.col("model_id") == teacher.model_id)
    texts = queries.occurrences(context.lake, task, settings, [layout.threshold, layout.test])
    joined = texts.join(scored.select("text_hash", "logits"), "text_hash")
    return joined.orderBy("dt", "scene", "text_hash").toArrow()


def day_numbers(rows: pa.Table) -> NDArray[np.int32]:
    """The column `dt` as days since 1970, which is what Arrow keeps of it."""
    numbers: NDArray[np.int32] = rows.column("dt").cast(pa.int32()).to_numpy()
    return numbers


def gold_of_teacher(context: Context, teacher: Model, rows: pa.Table) -> NDArray[np.bool_]:
    """The teacher's decisions for rows with `scene` and `logits`, by its newest thresholds: (rows, labels)."""
    found = queries.newest_thresholds(context.lake, teacher.model_id)
    scenes = rows.column("scene").to_pylist()
    limits = {scene: queries.threshold_row(found, scene, teacher.labels) for scene in set(scenes)}
    kind = context.settings.task(teacher.task).kind
    scores = competing(probabilities(matrix_of(rows.column("logits"), len(teacher.labels)), kind), kind)
    wanted = np.array([limits[scene] for scene in scenes]).reshape(scores.shape)
    decisions: NDArray[np.bool_] = scores >= wanted
    return decisions


def _gold_of_humans(
    context: Context, task: str, rows: pa.Table, labels: Sequence[str]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """What annotators say of the rows' texts, and where they say anything; an even split says nothing."""
    votes = queries.majority(context.lake, task, labels).where("positive IS NOT NULL")
    place = {label: column for column, label in enumerate(labels)}
    said: dict[str, dict[int, bool]] = {}
    for row in votes.collect():
        said.setdefault(row["text_hash"], {})[place[row["label"]]] = row["positive"]
    answers = np.full((rows.num_rows, len(labels)), np.nan, np.float32)
    for index, text_hash in enumerate(rows.column("text_hash").to_pylist()):
        for column, positive in said.get(text_hash, {}).items():
            answers[index, column] = positive
    answers = implied(answers, context.settings.task(task).kind)
    return answers == 1, ~np.isnan(answers)


def _metrics(cells: Mapping[CellKey, list[Cell]]) -> list[dict[str, Any]]:
    metrics = []
    for (name, _, gold, purpose), found in cells.items():
        quality = macro_of(found)
        if quality is not None:
            values = {"precision": quality.precision, "recall": quality.recall, "f1": quality.f1}
            metrics.append({"model": name, "gold": gold, "part": purpose} | values)
    return metrics


def decide(context: Context, task: str, number: int, judged: Judged) -> Decision:
    """What follows the round, from the student's agreement with its teacher on the test days."""
    test = next(
        (found for key, found in judged.cells.items() if key[0] == "student" and key[2:] == ("teacher", "test")),
        [],
    )
    targets = {label: settings.target for label, settings in context.settings.task(task).labels.items()}
    return round_plan.decide(number, by_label(test), targets, context.settings.rounds)


def evaluations(context: Context, round_id: str, judged: Judged) -> DataFrame:
    """The rows of `evaluations`."""
    rows = []
    for (_, model_id, gold, purpose), cells in judged.cells.items():
        for cell in cells:
            counts = cell.counts
            rows.append((
                round_id, model_id, _EPOCH + timedelta(days=cell.day), cell.scene, cell.label, gold, purpose,
                counts.tp, counts.fp, counts.fn, counts.tn, *_measures(counts.quality), context.run_id,
            ))  # fmt: skip
    return context.spark.createDataFrame(rows, tables.EVALUATIONS.schema)


def threshold_row(
    key: tuple[str, str, str, int], found: Found, window: round_plan.Window, now: datetime, run_id: str
) -> tuple[Any, ...]:
    """A row of `thresholds`; its key is model_id, label, scene and version."""
    precision, recall, _ = _measures(found.counts.quality)
    return (
        *key, found.value, found.method, "teacher", window.first, window.last, found.counts.positives, precision,
        recall, found.worst_precision, found.worst_recall, *found.precision_interval, *found.recall_interval,
        now, run_id,
    )  # fmt: skip


def _measures(quality: Quality | None) -> tuple[float | None, float | None, float | None]:
    return (quality.precision, quality.recall, quality.f1) if quality else (None, None, None)


def summary(judged: Judged) -> str:
    """The round in a few words: macro F1 of the student, on unseen texts, and of its twin."""
    f1 = {(row["model"], row["part"]): row["f1"] for row in judged.metrics if row["gold"] == "teacher"}
    shown = {
        "F1": ("student", "test"),
        "unseen": ("student", "test_unseen"),
        "undistilled": ("undistilled", "test"),
    }
    return ", ".join(f"{name} {f1[key]:.3f}" for name, key in shown.items() if key in f1)
