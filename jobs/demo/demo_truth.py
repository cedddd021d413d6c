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

from jobs.evaluation.evaluation_set import decide_by_scene, teacher_gold
from jobs.lake import registry, tables, teacher_scores, text_queries, threshold_queries
from jobs.lake.registry import RegisteredModel
from jobs.lake.store import Lake
from models import digests
from models.evaluation.sliced_metrics import GoldRows, count_by_slice, macro_average
from models.rounds.date_layout import RoundSettings
from models.serving.engine import EngineKind
from models.serving.open_engine import open_engine
from models.tasks import EVERY_SCENE, TaskKind, TaskSettings

Truth: TypeAlias = Mapping[str, Mapping[str, frozenset[str]]]  # the true labels by task and text_id


@dataclass(frozen=True, slots=True)
class TestTexts:
    """The test days' texts that a task's models score, and what the generator meant by each."""

    rows: pa.Table  # text_id, text_hash, text, scene
    labels: tuple[str, ...]
    _gold: NDArray[np.bool_]  # (texts, labels)

    def gold(self, labels: Sequence[str]) -> NDArray[np.bool_]:
        """What was meant of these labels: (texts, labels)."""
        return self._gold[:, [self.labels.index(label) for label in labels]]


def test_texts(lake: Lake, name: str, task: TaskSettings, settings: RoundSettings, truth: Truth) -> TestTexts:
    """The texts of the test days that no rule settled for the task."""
    window = text_queries.date_layout(lake, settings).test
    texts = text_queries.texts_for(lake.read(tables.TEXTS), name, task).where(text_queries.within(window))
    rows = texts.select("text_id", "text_hash", "text", "scene").orderBy("text_id").toArrow()
    meant = truth.get(name, {})
    ids = rows.column("text_id").to_pylist()
    gold = np.array([[label in meant.get(text_id, ()) for label in task.label_names] for text_id in ids], np.bool_)
    return TestTexts(rows, task.label_names, gold)


def read(file: Path) -> Truth:
    """The generator's file; texts without a label are left out."""
    table = pajson.read_json(file)
    labels_by_task: dict[str, dict[str, frozenset[str]]] = {}
    columns = (table.column(name).to_pylist() for name in ("source", "source_id", "labels"))
    for source, source_id, labels in zip(*columns, strict=True):
        for task, names in (labels or {}).items():
            if names:
                labels_by_task.setdefault(task, {})[digests.of_source(source, source_id)] = frozenset(names)
    return labels_by_task


def student_quality(
    lake: Lake, student: RegisteredModel, kind: TaskKind, test: TestTexts, engine: EngineKind
) -> dict[str, float] | None:
    """A student's macro quality by the thresholds in force with it, or where it is not in force by its round's."""
    live = registry.live(lake).get(student.task)
    version = live.threshold_version if live is not None and live.model_id == student.model_id else 1
    thresholds = threshold_queries.read(lake, student.model_id, version)
    scores = open_engine(registry.files(lake, student).local(), engine).probabilities(test.rows.column("text"))
    scenes = test.rows.column("scene").to_pylist()
    decisions, _ = decide_by_scene(scores, student, thresholds, scenes, kind, student.labels)
    return _macro(decisions, test.gold(student.labels), student.labels)


def teacher_quality(lake: Lake, name: str, kind: TaskKind, test: TestTexts) -> dict[str, float] | None:
    """The teacher's, on those of the texts that it scored."""
    teacher = registry.newest_teacher(lake, name)
    scored = teacher_scores.frame(lake, teacher.model_id)
    logits = scored.select("text_hash", "logits").toArrow()
    place = {text_hash: row for row, text_hash in enumerate(logits.column("text_hash").to_pylist())}
    rows = np.array([place.get(text_hash, -1) for text_hash in test.rows.column("text_hash").to_pylist()])
    chosen = test.rows.filter(pa.array(rows >= 0)).append_column(
        "logits", logits.column("logits").take(pa.array(rows[rows >= 0]))
    )
    decisions, _ = teacher_gold(lake, teacher, kind, chosen, teacher.labels)
    return _macro(decisions, test.gold(teacher.labels)[rows >= 0], teacher.labels)


def _macro(decisions: NDArray[np.bool_], gold: NDArray[np.bool_], labels: Sequence[str]) -> dict[str, float] | None:
    rows = len(gold)
    same_day, same_scene = np.zeros(rows, np.int32), np.full(rows, EVERY_SCENE)
    evidence = GoldRows(same_day, same_scene, np.ones(rows, np.int64), gold, np.ones_like(gold), np.arange(rows))
    quality = macro_average(count_by_slice(decisions, evidence, labels))
    if quality is None:
        return None
    return {name: round(getattr(quality, name), 4) for name in ("precision", "recall", "f1")}
