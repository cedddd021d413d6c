"""Inside a round: from its rows to a sealed student, and the same student without distillation beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, Window, WindowSpec
from pyspark.sql import functions as F

from jobs.lake import queries
from jobs.lake.queries import Model
from jobs.runtime.job import Context
from models.tasks import StudentSettings
from models.threshold_search import EVERY_SCENE
from models.vocabulary import Vocabulary

if TYPE_CHECKING:
    from models.training.trainer import TrainingRows


@dataclass(frozen=True, slots=True)
class Trained:
    """A round's student, sealed, and beside it the same student without distillation."""

    model_id: str
    bundle: Path
    undistilled: Any  # the twin's network; it is measured, never sealed
    losses: tuple[float, ...]
    rows: int


def in_hash_order(seed: int) -> WindowSpec:
    """The order in which the trainer meets the rows, whatever the partitioning."""
    return Window.orderBy(queries.drawn_by_hash("text_hash", seed), "text_hash")


def decided(context: Context, teacher: Model, logits: str) -> Column:
    """The teacher's decisions as hard targets, 0 or 1, from a column of its logits; null where it scored nothing."""
    task = context.settings.task(teacher.task)
    found = queries.newest_thresholds(context.lake, teacher.model_id)
    limits = F.array(*[F.lit(value) for value in queries.threshold_row(found, EVERY_SCENE, teacher.labels)])
    scores = queries.competing(queries.probabilities(F.col(logits), task), task)
    return F.zip_with(scores, limits, lambda score, limit: F.when(score >= limit, 1.0).otherwise(0.0).cast("float"))


def train(context: Context, task: str, rows: pa.Table, *, seed: int, lineage: dict[str, Any]) -> Trained:
    """Train the student by the scheme and its twin without distillation, on the same rows; seal the student."""
    from models.training.export import export_student, model_id_of
    from models.training.trainer import train_student

    settings = context.settings.task(task)
    labels = settings.label_names
    vocabulary = Vocabulary.build(rows.column("text"), max_size=settings.student.vocabulary_size)
    training = training_rows(rows, vocabulary, settings.student, len(labels))
    both = []
    for distil in (True, False):
        name = "distilling" if distil else "the same without distillation"
        both.append(
            train_student(
                training,
                settings.student,
                vocabulary_size=len(vocabulary),
                labels=len(labels),
                seed=seed,
                kind=settings.kind,
                distil=distil,
                progress=context.teller(f"{lineage['round']} {name}"),
            )
        )
    student = both[0].student
    content = model_id_of(student, task=task, kind=settings.student.kind, labels=labels, vocabulary=vocabulary)
    model_id, _ = queries.model_name(context.lake, task, "student", content)
    bundle = export_student(
        student,
        folder=context.lake.bundles / "students" / model_id.replace("/", "-"),
        task=task,
        kind=settings.student.kind,
        labels=labels,
        vocabulary=vocabulary,
        max_length=settings.student.max_length,
        clean_version=context.settings.cleaning.version,
        model_id=model_id,
        outcome=settings.kind,
        extra=lineage,
    )
    return Trained(model_id, bundle, both[1].student, both[0].losses, rows.num_rows)


def training_rows(rows: pa.Table, vocabulary: Vocabulary, student: StudentSettings, labels: int) -> TrainingRows:
    """Rows of `round_samples` as the trainer takes them; what is null there is masked here."""
    from models.training.trainer import TrainingRows

    hard, soft = matrix_of(rows.column("hard"), labels), matrix_of(rows.column("soft"), labels)
    return TrainingRows(
        texts=vocabulary.encode(rows.column("text"), student.max_length),
        hard=np.nan_to_num(hard), hard_mask=~np.isnan(hard), soft=np.nan_to_num(soft), soft_mask=~np.isnan(soft),
        weight=rows.column("weight").to_numpy(),
    )  # fmt: skip


def matrix_of(column: pa.ChunkedArray, labels: int) -> NDArray[np.float32]:
    """Lists of label values as (rows, labels), NaN where a value or a whole list is null."""
    matrix = np.full((len(column), labels), np.nan, np.float32)
    there = ~column.is_null().to_numpy()
    flat = column.drop_null().combine_chunks().flatten()
    matrix[there] = flat.to_numpy(zero_copy_only=False).astype(np.float32).reshape(-1, labels)
    return matrix
