"""The texts that a task's models are evaluated on, and their golds: teacher, annotators, student in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import functions as F

from jobs.lake import registry, tables, text_queries, threshold_queries
from jobs.lake.registry import RegisteredModel
from jobs.lake.store import Lake
from jobs.lake.threshold_queries import Thresholds
from models.evaluation.ensemble import in_order
from models.evaluation.predictions import Floats, complete_class_labels, decide, probabilities
from models.evaluation.sliced_metrics import GoldRows
from models.rounds.date_layout import DateLayout, Window
from models.serving.engine import EngineKind
from models.serving.open_engine import open_engine
from models.tasks import TaskKind, TaskSettings
from udfs.list_arrays import to_matrix

EPOCH = date(1970, 1, 1)

Gold: TypeAlias = tuple[NDArray[np.bool_], NDArray[np.bool_]]
"""Decisions (rows, labels), and where there is one."""


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """The scored texts of some days, a row a day, scene and distinct text.

    Attributes:
        rows: As they were read: text, text_b, the teacher's logits in its own order, and more.
        distinct: (texts,) a row of each distinct text: those are scored.
        text_of_row: (rows,) each row's place among the distinct texts.
        testing: (rows,) True on the test days.
        seen: (rows,) True where the text is among the round's training rows.
        golds: By name: `teacher`; `human`, where annotators labelled; `live`, what the student in force decides.
    """

    rows: pa.Table
    distinct: NDArray[np.int64]
    text_of_row: NDArray[np.int64]
    testing: NDArray[np.bool_]
    seen: NDArray[np.bool_]
    golds: Mapping[str, GoldRows]

    @property
    def parts(self) -> dict[str, NDArray[np.bool_]]:
        """What is evaluated apart: all texts of the test days, and those that training has not seen."""
        return {"test": self.testing, "test_unseen": self.testing & ~self.seen}

    def human_positives(self, labels: Sequence[str]) -> dict[str, int]:
        """How many distinct texts of the test days, unseen in training, have each label by the annotators."""
        humans = self.golds["human"]
        positive = humans.gold & humans.known & self.parts["test_unseen"][:, None]
        return {label: len(np.unique(self.text_of_row[positive[:, at]])) for at, label in enumerate(labels)}

    def texts(self) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
        """The distinct texts and, of pairs, their second ones."""
        rows = pa.array(self.distinct)
        return self.rows.column("text").take(rows), self.rows.column("text_b").take(rows)


def read_evaluation_set(
    lake: Lake, teacher: RegisteredModel, declared: TaskSettings, layout: DateLayout, round_id: str, engine: EngineKind
) -> EvaluationSet:
    """What a round's models are evaluated on: what the teacher scored of the threshold and test days.

    Args:
        lake: The tables.
        teacher: Whose scores bound it.
        declared: The task as the settings declare it; models are evaluated on the labels that the teacher knows.
        layout: The round's days.
        round_id: The round, whose training rows count as seen.
        engine: Which engine scores with the student in force.
    """
    task = declared.of(teacher.labels)
    rows = _scored_texts(lake, teacher, task, layout, round_id)
    hashes = rows.column("text_hash").to_numpy(zero_copy_only=False)
    _, distinct, text_of_row = np.unique(hashes, return_index=True, return_inverse=True)
    days, labels = day_numbers(rows), task.label_names
    scenes = rows.column("scene").to_pylist()
    about = (days, np.array(scenes, np.str_), rows.column("occurrences").to_numpy())
    golds = {
        "teacher": GoldRows(*about, *teacher_gold(lake, teacher, task.kind, rows, labels)),
        "human": GoldRows(*about, *_human_gold(lake, teacher.task, declared, rows, labels)),
    }
    testing = days >= (layout.test.first - EPOCH).days
    evaluation = EvaluationSet(rows, distinct, text_of_row, testing, rows.column("seen").to_numpy(), golds)
    live = _live_gold(lake, teacher.task, task, evaluation, engine)
    return evaluation if live is None else replace(evaluation, golds=golds | {"live": GoldRows(*about, *live)})


def _scored_texts(
    lake: Lake, teacher: RegisteredModel, task: TaskSettings, layout: DateLayout, round_id: str
) -> pa.Table:
    scored = lake.read(tables.TEACHER_SCORES).where(F.col("model_id") == teacher.model_id)
    texts = text_queries.texts_for(lake.read(tables.TEXTS), teacher.task, task)
    texts = text_queries.occurrences(texts, [layout.threshold, layout.test])
    trained = lake.read(tables.ROUND_SAMPLES).where(F.col("round_id") == round_id).select("text_hash")
    trained = trained.distinct().withColumn("seen", F.lit(True))
    joined = texts.join(scored.select("text_hash", "logits"), "text_hash").join(trained, "text_hash", "left")
    return joined.fillna(False, "seen").orderBy("dt", "scene", "text_hash").toArrow()


def stored_scores(lake: Lake, student: RegisteredModel, window: Window) -> pa.Table:
    """A student's stored probabilities beside its teacher's logits over some days.

    Returns:
        A row a day, scene and distinct text: dt, scene, text_hash, probs, logits, occurrences.
    """
    texts = lake.read(tables.TEXTS).where(text_queries.within(window)).select("text_id", "dt", "text_hash")
    scores = lake.read(tables.STUDENT_SCORES).where(text_queries.within(window) & F.col("probs").isNotNull())
    scores = scores.where(F.col("model_id") == student.model_id).select("text_id", "dt", "scene", "probs")
    logits = lake.read(tables.TEACHER_SCORES).where(F.col("model_id") == F.lit(student.teacher_id))
    joined = scores.join(texts, ["text_id", "dt"]).join(logits.select("text_hash", "logits"), "text_hash")
    rows = text_queries.occurrences(joined, [window], ("probs", "logits"))
    return rows.orderBy("dt", "scene", "text_hash").toArrow()


def day_numbers(rows: pa.Table) -> NDArray[np.int32]:
    """The column `dt` as days since 1970, which is what Arrow keeps of it."""
    numbers: NDArray[np.int32] = rows.column("dt").cast(pa.int32()).to_numpy()
    return numbers


def teacher_gold(lake: Lake, teacher: RegisteredModel, kind: TaskKind, rows: pa.Table, labels: Sequence[str]) -> Gold:
    """The teacher's decisions for rows with `scene` and `logits`, by its newest thresholds; none of unknown labels."""
    thresholds = threshold_queries.read_newest(lake, teacher.model_id)
    scores = probabilities(to_matrix(rows.column("logits"), len(teacher.labels)), kind)
    return decide_by_scene(scores, teacher, thresholds, rows.column("scene").to_pylist(), kind, labels)


def decide_by_scene(
    scores: Floats, model: RegisteredModel, thresholds: Thresholds, scenes: Sequence[str], kind: TaskKind,
    labels: Sequence[str],
) -> Gold:  # fmt: skip
    """A model's decisions by the thresholds of each row's scene, for the labels wanted.

    Args:
        scores: Probabilities (rows, labels of the model).
        model: Whose they are.
        thresholds: By scene and label.
        scenes: Of each row.
        kind: The task's kind.
        labels: The labels wanted, in their order; one that the model does not know has no decision.
    """
    limits = {scene: threshold_queries.for_scene(thresholds, scene, model.labels) for scene in set(scenes)}
    wanted = np.array([limits[scene] for scene in scenes]).reshape(scores.shape)
    decisions = in_order(decide(scores, wanted, kind).astype(np.float32), model.labels, labels)
    return decisions == 1, ~np.isnan(decisions)


def _live_gold(lake: Lake, name: str, task: TaskSettings, evaluation: EvaluationSet, engine: EngineKind) -> Gold | None:
    """What the task's student in force decides of the texts: whose positives a new one should keep."""
    promotion = registry.live(lake).get(name)
    if promotion is None or not len(evaluation.text_of_row):
        return None
    student = registry.model(lake, promotion.model_id)
    opened = open_engine(registry.files(lake, student).local(), engine)
    scores = opened.probabilities(opened.read(*evaluation.texts()))[evaluation.text_of_row]
    thresholds = threshold_queries.read(lake, student.model_id, promotion.threshold_version)
    scenes = evaluation.rows.column("scene").to_pylist()
    return decide_by_scene(scores, student, thresholds, scenes, task.kind, task.label_names)


def _human_gold(lake: Lake, name: str, declared: TaskSettings, rows: pa.Table, wanted: Sequence[str]) -> Gold:
    """What annotators say of the rows' texts, and where they say anything; an even split says nothing."""
    labels = declared.label_names  # all of them: a class that is not wanted denies those that are
    votes = text_queries.majority(lake, name, labels).where("positive IS NOT NULL")
    place = {label: column for column, label in enumerate(labels)}
    by_text: dict[str, dict[int, bool]] = {}
    for row in votes.collect():
        by_text.setdefault(row["text_hash"], {})[place[row["label"]]] = row["positive"]
    answers = np.full((rows.num_rows, len(labels)), np.nan, np.float32)
    for index, text_hash in enumerate(rows.column("text_hash").to_pylist()):
        for column, positive in by_text.get(text_hash, {}).items():
            answers[index, column] = positive
    answers = complete_class_labels(answers, declared.kind)[:, [place[label] for label in wanted]]
    return answers == 1, ~np.isnan(answers)
