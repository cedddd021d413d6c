"""The demo's models against what its generator meant. Nothing is trained or chosen by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.json as pajson
from numpy.typing import NDArray
from pyspark.sql import functions as F

from jobs.lake import queries, tables
from jobs.rounds import training_data
from jobs.runtime.job import Context
from models import digests
from models.evaluation.sliced_metrics import Evidence, macro_of, tally
from models.serving.open_engine import (
    open_engine,
)
from models.tasks import (
    EVERY_SCENE,
)

Truth: TypeAlias = Mapping[str, Mapping[str, frozenset[str]]]  # the true labels by task and text_id


@dataclass(frozen=True, slots=True)
class TestTexts:
    """The test days' texts that a task's models score, and what the generator meant by each."""

    texts: pa.ChunkedArray
    hashes: NDArray[np.object_]
    labels: tuple[str, ...]
    _gold: NDArray[np.bool_]  # (texts, labels)

    def gold(self, labels: Sequence[str]) -> NDArray[np.bool_]:
        """What was meant of these labels: (texts, labels)."""
        return self._gold[:, [self.labels.index(label) for label in labels]]


def test_texts(context: Context, name: str, truth: Truth) -> TestTexts:
    """The texts of the test days that no rule settled for the task."""
    task = context.settings.task(name)
    window = queries.date_layout(context.lake, context.settings.rounds).test
    texts = queries.texts_of(context.lake.read(tables.TEXTS), name, task).where(queries.within(window))
    rows = texts.select("text_id", "text_hash", "text").orderBy("text_id").toArrow()
    meant = truth.get(name, {})
    ids = rows.column("text_id").to_pylist()
    gold = np.array([[label in meant.get(text_id, ()) for label in task.label_names] for text_id in ids], np.bool_)
    hashes = rows.column("text_hash").to_numpy(zero_copy_only=False)
    return TestTexts(rows.column("text"), hashes, task.label_names, gold)


def read(file: Path) -> Truth:
    """The generator's file; texts without a label are left out."""
    table = pajson.read_json(file)
    found: dict[str, dict[str, frozenset[str]]] = {}
    columns = (table.column(name).to_pylist() for name in ("source", "source_id", "labels"))
    for source, own, labels in zip(*columns, strict=True):
        for task, names in (labels or {}).items():
            if names:
                found.setdefault(task, {})[digests.of_source(source, own)] = frozenset(names)
    return found


def of_student(context: Context, model_id: str, test: TestTexts) -> dict[str, float] | None:
    """A student's macro quality by its round's thresholds. Nothing is trained or chosen by it."""
    student = queries.model(context.lake, model_id)
    limits = queries.threshold_row(queries.thresholds(context.lake, model_id, 1), EVERY_SCENE, student.labels)
    scores = open_engine(student.path, context.settings.scoring.engine).probabilities(test.texts)
    return _macro(scores >= np.array(limits, np.float32), test.gold(student.labels), student.labels)


def of_teacher(context: Context, name: str, test: TestTexts) -> dict[str, float] | None:
    """The teacher's, on those of the texts that it scored: what a student that copied it would reach."""
    teacher = queries.require_model(context.lake, name, "teacher", "run `pingti train-teacher` first")
    scored = context.lake.read(tables.TEACHER_SCORES).where(F.col("model_id") == teacher.model_id)
    hard = scored.select("text_hash", training_data.decided(context, teacher, "logits").alias("hard")).toArrow()
    place = {text_hash: row for row, text_hash in enumerate(hard.column("text_hash").to_pylist())}
    rows = np.array([place.get(text_hash, -1) for text_hash in test.hashes])
    decisions = hard.column("hard").combine_chunks().flatten().to_numpy().reshape(-1, len(teacher.labels)) > 0
    return _macro(decisions[rows[rows >= 0]], test.gold(teacher.labels)[rows >= 0], teacher.labels)


def _macro(decisions: NDArray[np.bool_], gold: NDArray[np.bool_], labels: Sequence[str]) -> dict[str, float] | None:
    rows = len(gold)
    same_day, same_scene = np.zeros(rows, np.int32), np.full(rows, EVERY_SCENE)
    evidence = Evidence(same_day, same_scene, np.ones(rows, np.int64), gold, np.ones_like(gold))
    quality = macro_of(tally(decisions, evidence, labels))
    if quality is None:
        return None
    return {name: round(getattr(quality, name), 4) for name in ("precision", "recall", "f1")}
