"""Annotated texts that a teacher has not learnt from, and what it and the undistilled student decide of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import functions as F

from jobs.lake import tables, text_queries
from jobs.lake.registry import RegisteredModel
from jobs.lake.store import Lake
from jobs.teachers.annotated_texts import answered_texts, answers
from jobs.teachers.base_model import MakeProgress
from jobs.teachers.stored_scores import can_tell
from jobs.training.encoded_rows import build_vocabulary, encoded_column, training_rows
from models import digests
from models.evaluation.held_out import cross_fitted_decisions
from models.evaluation.predictions import complete_class_labels, probabilities
from models.evaluation.sliced_metrics import GoldRows
from models.evaluation.threshold_search import ThresholdSettings
from models.rounds.date_layout import DateLayout, Window
from models.tasks import TaskSettings


@dataclass(frozen=True, slots=True)
class HeldOutTest:
    """What a teacher is compared by.

    Attributes:
        teacher: Whom.
        declared: Its task, as the settings declare it; the student is that of its first round.
        layout: The days.
        seed: Of the student's training.
        thresholds: How much evidence a threshold needs, and the fewest positives that tell anything.
    """

    teacher: RegisteredModel
    declared: TaskSettings
    layout: DateLayout
    seed: int
    thresholds: ThresholdSettings

    @property
    def task(self) -> TaskSettings:
        """The task with the labels that the teacher knows."""
        return self.declared.of(self.teacher.labels)


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


def held_out_texts(lake: Lake, test: HeldOutTest) -> HeldOutTexts:
    """The annotated texts of the threshold, test and gate days that are not among the teacher's own rows."""
    window = Window(test.layout.threshold.first, test.layout.gate.last)
    table = can_tell(lake, test.teacher, answered_texts(lake, test.teacher.task, test.declared, window))
    own = lake.arrow(tables.ROUND_SAMPLES, "text_hash", where=pc.field("round_id") == test.teacher.model_id)
    table = table.filter(pc.invert(pc.is_in(table.column("text_hash"), own.column("text_hash").combine_chunks())))
    declared, labels = test.declared.label_names, test.task.label_names
    # All labels of the task: a class that the teacher does not know denies those that it knows.
    values = complete_class_labels(answers(table, declared), test.declared.kind)
    values = values[:, [declared.index(label) for label in labels]]
    answered = ~np.isnan(values).all(axis=1)
    table, values = table.filter(pa.array(answered)), values[answered]
    count = len(values)
    days: NDArray[np.int32] = table.column("first_day").cast(pa.int32()).to_numpy()
    scenes = np.array(table.column("first_scene").to_pylist(), np.str_)
    evidence = GoldRows(
        days, scenes, np.ones(count, np.int64), values == 1, ~np.isnan(values), np.arange(count, dtype=np.int64)
    )
    return HeldOutTexts(table.select(["text_hash", "text", "text_b"]), evidence)


def undistilled_logits(
    lake: Lake, test: HeldOutTest, texts: HeldOutTexts, progress: MakeProgress
) -> NDArray[np.float32]:
    """What round 1's student says that learnt from the teacher's rows in round 1's order, without the teacher."""
    from models.students.student import predict
    from models.training.trainer import train_student

    task, student = test.task, test.declared.student
    frame = lake.read(tables.ROUND_SAMPLES).where(F.col("round_id") == test.teacher.model_id)
    rows = frame.orderBy(text_queries.drawn_by_hash("text_hash", test.seed), "text_hash").toArrow()
    vocabulary = build_vocabulary([encoded_column(task, student, rows)], task, student)
    shown = progress(f"{test.teacher.task}: the student without its teacher")
    trained = train_student(
        training_rows(rows, task=task, vocabulary=vocabulary, student=student), student,
        vocabulary_size=len(vocabulary), labels=len(task.label_names), seed=test.seed, kind=task.kind, distil=False,
        progress=shown, after_epoch=shown.epoch,
    )  # fmt: skip
    encoded = vocabulary.encode(encoded_column(task, student, texts.table), student.max_length)
    return predict(trained.student, encoded)


def decided(test: HeldOutTest, texts: HeldOutTexts, logits: NDArray[np.float32]) -> NDArray[np.bool_]:
    """A model's decisions, from its logits in the order of the labels."""
    task = test.task
    scores = probabilities(logits, task.kind).astype(np.float32)
    targets = [settings.target for settings in task.labels.values()]
    return cross_fitted_decisions(scores, texts.evidence, targets, task.kind, test.thresholds.min_positives_all_scenes)
