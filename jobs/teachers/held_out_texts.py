"""Annotated texts that a teacher has not learnt from, and what was stored of its scores of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from jobs.lake import tables
from jobs.lake.registry import RegisteredModel
from jobs.lake.store import Lake
from jobs.teachers.annotated_texts import answered_texts, answers
from models import digests
from models.evaluation.ensemble import in_order
from models.evaluation.predictions import complete_class_labels
from models.evaluation.sliced_metrics import GoldRows
from models.rounds.date_layout import DateLayout, Window
from models.tasks import TaskSettings
from udfs.list_arrays import to_matrix


@dataclass(frozen=True, slots=True)
class HeldOutTexts:
    """Annotated texts that a teacher has not learnt from, ordered by hash.

    Attributes:
        table: text_hash, text and text_b.
        evidence: A row a distinct text with the annotators' answers, in the order of the teacher's labels.
    """

    table: pa.Table
    evidence: GoldRows

    @property
    def positives(self) -> int:
        """Labels that hold, over all texts."""
        return int((self.evidence.gold & self.evidence.known).sum())

    @property
    def digest(self) -> str:
        """Names the texts and what annotators say of them."""
        said = np.where(self.evidence.known, self.evidence.gold.astype(np.int8), -1).tolist()
        return digests.of_json([self.table.column("text_hash").to_pylist(), said])


def held_out_texts(lake: Lake, teacher: RegisteredModel, declared: TaskSettings, layout: DateLayout) -> HeldOutTexts:
    """The annotated texts of the threshold, test and gate days that are not among the teacher's own rows.

    Of a teacher whose scores come from outside these are the texts that it has scored.

    Args:
        lake: The tables.
        teacher: Whose rows are left out; the evidence is in the order of the settings, of the labels that it knows.
        declared: Its task, as the settings declare it.
        layout: The days.
    """
    window = Window(layout.threshold.first, layout.gate.last)
    table = answered_texts(lake, teacher.task, declared, window)
    own = lake.arrow(tables.ROUND_SAMPLES, "text_hash", where=pc.field("round_id") == teacher.model_id)
    table = table.filter(pc.invert(pc.is_in(table.column("text_hash"), own.column("text_hash").combine_chunks())))
    if teacher.is_external:
        table = _scored(lake, teacher, table)
    known, labels = declared.label_names, declared.of(teacher.labels).label_names
    # All labels of the task: a class that the teacher does not know denies those that it knows.
    values = complete_class_labels(answers(table, known), declared.kind)
    values = values[:, [known.index(label) for label in labels]]
    answered = ~np.isnan(values).all(axis=1)
    table, values = table.filter(pa.array(answered)), values[answered]
    count = len(values)
    days: NDArray[np.int32] = table.column("first_day").cast(pa.int32()).to_numpy()
    scenes = np.array(table.column("first_scene").to_pylist(), np.str_)
    evidence = GoldRows(
        days, scenes, np.ones(count, np.int64), values == 1, ~np.isnan(values), np.arange(count, dtype=np.int64)
    )
    return HeldOutTexts(table.select(["text_hash", "text", "text_b"]), evidence)


def _scored(lake: Lake, teacher: RegisteredModel, texts: pa.Table) -> pa.Table:
    """Those of the texts (with text_hash) that the teacher has scored."""
    scores = lake.arrow(tables.TEACHER_SCORES, "text_hash", where=pc.field("model_id") == teacher.model_id)
    return texts.filter(pc.is_in(texts.column("text_hash"), scores.column("text_hash").combine_chunks()))


def stored_logits(lake: Lake, teacher: RegisteredModel, texts: pa.Table, labels: Sequence[str]) -> NDArray[np.float32]:
    """The teacher's logits of texts that it has scored: (texts, labels) in the order wanted."""
    of_teacher = pc.field("model_id") == teacher.model_id
    scores = lake.arrow(tables.TEACHER_SCORES, "text_hash", "logits", where=of_teacher).combine_chunks()
    places = pc.index_in(texts.column("text_hash"), scores.column("text_hash").combine_chunks())
    logits = to_matrix(scores.column("logits").take(places), len(teacher.labels))
    return in_order(logits, teacher.labels, labels)
