"""What a round's student is worth: thresholds from the threshold days, quality on the test days, and what follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.labels.promote import live
from jobs.lake import queries, tables
from jobs.lake.queries import Model
from jobs.rounds.student_training import Trained
from jobs.runtime.job import Context
from models.evaluation.ensemble import in_order
from models.evaluation.metrics import Quality
from models.evaluation.predictions import Floats, complete_class_labels, first_threshold, keep_argmax, probabilities
from models.evaluation.sliced_metrics import Cell, Evidence, by_label, macro_of, search_thresholds, tally
from models.evaluation.threshold_search import Found
from models.rounds import round_decision
from models.rounds.date_layout import (
    DateLayout,
    Window,
)
from models.rounds.round_decision import HUMAN_POSITIVES, Decision
from models.serving.open_engine import (
    open_engine,
)
from models.tasks import TaskKind, TaskSettings
from udfs.list_arrays import to_matrix

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


@dataclass(frozen=True, slots=True)
class Later:
    """The scored texts of the threshold and test days, a row a day, scene and text, and what is known of them.

    Attributes:
        rows: As they were read: text, text_b, logits of the teacher in its own order, and more.
        distinct: Which rows to score: one of each text.
        where: Each row's place among the distinct ones.
        testing: True on the test days.
        seen: True where the text is among the round's training rows.
        golds: By name: `teacher`; `human`, where annotators spoke; `live`, what the student in force decides.
    """

    rows: pa.Table
    distinct: NDArray[np.int64]
    where: NDArray[np.int64]
    testing: NDArray[np.bool_]
    seen: NDArray[np.bool_]
    golds: Mapping[str, Evidence]

    @property
    def parts(self) -> dict[str, NDArray[np.bool_]]:
        """What is judged apart: all texts of the test days, and those that training has not seen."""
        return {"test": self.testing, "test_unseen": self.testing & ~self.seen}

    def human_positives(self, labels: Sequence[str]) -> dict[str, int]:
        """How many distinct texts of the test days, unseen in training, have each label by the annotators."""
        rows, humans = self.parts["test_unseen"], self.golds["human"]
        held = humans.gold & humans.known & rows[:, None]
        return {label: len(np.unique(self.where[held[:, at]])) for at, label in enumerate(labels)}

    def texts(self) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
        """The distinct texts and, of pairs, their second ones."""
        return tuple(self.rows.column(name).take(pa.array(self.distinct)) for name in ("text", "text_b"))


def later(context: Context, teacher: Model, layout: DateLayout, round_id: str) -> Later:
    """Read what a round's models are judged on: bounded by the teacher's sample."""
    name, settings = teacher.task, context.task_of(teacher)
    lake = context.lake
    scored = lake.read(tables.TEACHER_SCORES).where(F.col("model_id") == teacher.model_id)
    texts = queries.occurrences(lake, name, settings, [layout.threshold, layout.test])
    known = lake.read(tables.ROUND_SAMPLES).where(F.col("round_id") == round_id).select("text_hash")
    known = known.distinct().withColumn("seen", F.lit(True))
    joined = texts.join(scored.select("text_hash", "logits"), "text_hash").join(known, "text_hash", "left")
    rows = joined.fillna(False, "seen").orderBy("dt", "scene", "text_hash").toArrow()
    _, first, where = np.unique(
        rows.column("text_hash").to_numpy(zero_copy_only=False), return_index=True, return_inverse=True
    )
    days = day_numbers(rows)
    about = (days, np.array(rows.column("scene").to_pylist(), np.str_), rows.column("occurrences").to_numpy())
    labels = settings.label_names
    golds = {
        "teacher": Evidence(*about, *gold_of_teacher(context, teacher, rows, labels)),
        "human": Evidence(*about, *_gold_of_humans(context, name, rows, labels)),
    }
    found = Later(rows, first, where, days >= (layout.test.first - _EPOCH).days, rows.column("seen").to_numpy(), golds)
    in_force = _gold_of_live(context, name, found, labels)
    if in_force is None:
        return found
    return replace(found, golds=golds | {"live": Evidence(*about, *in_force)})


def judge(context: Context, teacher: Model, layout: DateLayout, trained: Trained, round_id: str) -> Judged:
    """Thresholds from the threshold days, quality on the test days; for the student and for its twin alike."""
    from models.students.student import predict

    task = context.task_of(teacher)
    found = later(context, teacher, layout, round_id)
    engine = open_engine(trained.bundle, context.settings.scoring.engine)
    column = engine.read(*found.texts())
    student = engine.probabilities(column)
    undistilled = probabilities(predict(trained.undistilled, engine.encode(column)), task.kind).astype(np.float32)
    searched, cells = weigh(found, task, "student", trained.model_id, student)
    cells |= weigh(found, task, "undistilled", f"{trained.model_id}/undistilled", undistilled)[1]
    cells |= of_teacher(found, task, teacher)
    counts = {
        "threshold": int((~found.testing).sum()),
        "test": int(found.testing.sum()),
        "test_unseen": int(found.parts["test_unseen"].sum()),
    } | {f"{HUMAN_POSITIVES}{label}": count for label, count in found.human_positives(task.label_names).items()}
    return Judged(cells, _metrics(cells), counts, searched)


def weigh(
    found: Later, task: TaskSettings, name: str, model_id: str, scores: NDArray[np.float32]
) -> tuple[tuple[Found, ...], dict[CellKey, list[Cell]]]:
    """A model's thresholds from the threshold days, and its counts against each gold on the test days.

    Args:
        found: The texts.
        task: The task's settings.
        name: What the model is called in `rounds`.
        model_id: What it is called in `evaluations`.
        scores: Its probabilities of the distinct texts, (texts, labels).
    """
    own = keep_argmax(scores, task.kind)[found.where]
    targets = [settings.target for settings in task.labels.values()]
    fallback = first_threshold(task.kind, len(targets))
    before = ~found.testing
    searched = search_thresholds(own[before], found.golds["teacher"].where(before), targets, fallback)
    decisions = own >= np.array([one.value for one in searched], np.float32)
    return searched, cells_of(name, model_id, decisions, found.golds, found.parts, task)


def of_teacher(found: Later, task: TaskSettings, teacher: Model) -> dict[CellKey, list[Cell]]:
    """The teacher's counts against the annotators."""
    gold, known = found.golds["teacher"].gold, found.golds["teacher"].known
    humans = found.golds["human"]
    both = replace(humans, known=humans.known & known)
    return cells_of("teacher", teacher.model_id, gold, {"human": both}, found.parts, task)


def decided_by_first_thresholds(logits: NDArray[np.float32], kind: TaskKind) -> NDArray[np.bool_]:
    """What a model decides where nothing was searched yet: (rows, labels)."""
    decisions: NDArray[np.bool_] = keep_argmax(probabilities(logits, kind), kind) >= first_threshold(
        kind, logits.shape[1]
    )
    return decisions


def cells_of(
    name: str, model_id: str, decisions: NDArray[np.bool_], golds: Mapping[str, Evidence],
    parts: Mapping[str, NDArray[np.bool_]], task: TaskSettings,
) -> dict[CellKey, list[Cell]]:  # fmt: skip
    """A model's decisions against each gold on each part of the days, where the gold says anything."""
    return {
        (name, model_id, source, part): tally(decisions[chosen], evidence.where(chosen), task.label_names)
        for source, evidence in golds.items()
        for part, chosen in parts.items()
        if evidence.known[chosen].any()
    }


def day_numbers(rows: pa.Table) -> NDArray[np.int32]:
    """The column `dt` as days since 1970, which is what Arrow keeps of it."""
    numbers: NDArray[np.int32] = rows.column("dt").cast(pa.int32()).to_numpy()
    return numbers


Gold: TypeAlias = tuple[NDArray[np.bool_], NDArray[np.bool_]]
"""Decisions (rows, labels), and where there is one."""


def gold_of_teacher(context: Context, teacher: Model, rows: pa.Table, labels: Sequence[str]) -> Gold:
    """The teacher's decisions for rows with `scene` and `logits`, by its newest thresholds; none of unknown labels."""
    found = queries.newest_thresholds(context.lake, teacher.model_id)
    kind = context.settings.task(teacher.task).kind
    scores = probabilities(to_matrix(rows.column("logits"), len(teacher.labels)), kind)
    return _decided(scores, teacher, found, rows.column("scene").to_pylist(), kind, labels)


def _decided(
    scores: Floats, model: Model, thresholds: dict[tuple[str, str], float], scenes: list[str],
    kind: TaskKind, labels: Sequence[str],
) -> Gold:  # fmt: skip
    limits = {scene: queries.threshold_row(thresholds, scene, model.labels) for scene in set(scenes)}
    wanted = np.array([limits[scene] for scene in scenes]).reshape(scores.shape)
    decisions = (keep_argmax(scores, kind) >= wanted).astype(np.float32)
    ordered = in_order(decisions, model.labels, labels)
    return ordered == 1, ~np.isnan(ordered)


def _gold_of_live(context: Context, name: str, found: Later, labels: Sequence[str]) -> Gold | None:
    """What the task's student in force decides of the texts: whose positives a new one should keep."""
    current = live(context).get(name)
    if current is None or not len(found.where):
        return None
    model = queries.model(context.lake, current.model_id)
    engine = open_engine(model.path, context.settings.scoring.engine)
    scores = engine.probabilities(engine.read(*found.texts()))[found.where]
    thresholds = queries.thresholds(context.lake, model.model_id, current.threshold_version)
    scenes = found.rows.column("scene").to_pylist()
    return _decided(scores, model, thresholds, scenes, context.settings.task(name).kind, labels)


def _gold_of_humans(context: Context, name: str, rows: pa.Table, wanted: Sequence[str]) -> Gold:
    """What annotators say of the rows' texts, and where they say anything; an even split says nothing."""
    task = context.settings.task(name)
    labels = task.label_names  # all of them: a class that is not wanted denies those that are
    votes = queries.majority(context.lake, name, labels).where("positive IS NOT NULL")
    place = {label: column for column, label in enumerate(labels)}
    said: dict[str, dict[int, bool]] = {}
    for row in votes.collect():
        said.setdefault(row["text_hash"], {})[place[row["label"]]] = row["positive"]
    answers = np.full((rows.num_rows, len(labels)), np.nan, np.float32)
    for index, text_hash in enumerate(rows.column("text_hash").to_pylist()):
        for column, positive in said.get(text_hash, {}).items():
            answers[index, column] = positive
    answers = complete_class_labels(answers, task.kind)[:, [place[label] for label in wanted]]
    return answers == 1, ~np.isnan(answers)


def _metrics(cells: Mapping[CellKey, list[Cell]]) -> list[dict[str, Any]]:
    metrics = []
    for (name, _, gold, purpose), found in cells.items():
        quality = macro_of(found)
        if quality is not None:
            values = {"precision": quality.precision, "recall": quality.recall, "f1": quality.f1}
            metrics.append({"model": name, "gold": gold, "part": purpose} | values)
    return metrics


def decide(context: Context, task: TaskSettings, number: int, judged: Judged) -> Decision:
    """What follows the round, from the student's agreement with its teacher on the test days."""
    test = next(
        (found for key, found in judged.cells.items() if key[0] == "student" and key[2:] == ("teacher", "test")),
        [],
    )
    targets = {label: settings.target for label, settings in task.labels.items()}
    lost = round_decision.loses(judged.metrics, judged.row_counts, context.settings.rounds)
    return round_decision.decide(number, by_label(test), targets, context.settings.rounds, lost)


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
    key: tuple[str, str, str, int], found: Found, window: Window, now: datetime, run_id: str
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
