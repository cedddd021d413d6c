"""Rows of `round_samples` as the trainer takes them: encoded by the student's vocabulary, what is not known masked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.rounds.date_layout import ANNOTATED
from models.student_settings import StudentSettings
from models.tasks import TaskSettings
from models.text.pairs import joined
from models.text.vocabulary import Texts, Vocabulary
from models.text.word_vocabulary import AnyVocabulary, WordVocabulary
from udfs.list_arrays import to_matrix

if TYPE_CHECKING:
    from models.training.training_rows import TrainingRows


def encoded_column(task: TaskSettings, student: StudentSettings, rows: pa.Table) -> Texts:
    """The column that a student encodes: the texts, or pairs of them as one."""
    if task.kind != "pair":
        return rows.column("text")
    return joined(rows.column("text"), rows.column("text_b"), student.max_length)


def build_vocabulary(blocks: Iterable[Texts], task: TaskSettings, student: StudentSettings) -> AnyVocabulary:
    """The characters or words that a student knows, from all its texts."""
    kind = WordVocabulary if student.unit == "word" else Vocabulary
    return kind.build(blocks, max_size=student.vocabulary_size, pairs=task.kind == "pair")


def training_rows(
    rows: pa.Table, *, task: TaskSettings, vocabulary: AnyVocabulary, student: StudentSettings, checkpoints: int = 0,
    trust: NDArray[np.float32] | None = None,
) -> TrainingRows:  # fmt: skip
    """Rows of `round_samples` as the trainer takes them; what is null there is masked here.

    Rows without the reason `ANNOTATED` have the teacher's decisions as hard targets. Those on labels that it is not
    trusted with are masked too: of a label (of classes: of a row whose class is such a one) with a `trust` (labels,) of
    0 only annotators' answers stay.
    """
    from models.training.training_rows import TrainingRows

    labels = len(task.label_names)
    hard, soft = to_matrix(rows.column("hard"), labels), to_matrix(rows.column("soft"), labels)
    more: dict[str, Any] = {}
    if "reasons" in rows.column_names:
        reasons = rows.column("reasons").to_pylist()
        more["by_teacher"] = by_teacher = np.array([ANNOTATED not in of_row for of_row in reasons], np.bool_)
        if trust is not None:
            denied = np.broadcast_to(trust <= 0, hard.shape)
            if task.kind == "multi_class":
                denied = np.broadcast_to((denied & (hard == 1)).any(1, keepdims=True), hard.shape)
            hard = np.where(by_teacher[:, None] & denied, np.float32("nan"), hard)
    if "cls" in rows.column_names:
        widths = [len(vector) for vector in rows.column("cls").drop_null()[:1].to_pylist()]
        more["cls_states"] = to_matrix(rows.column("cls"), (widths or [1])[0])
    if checkpoints:
        logits = [to_matrix(rows.column(f"checkpoint_{number}"), labels) for number in range(checkpoints)]
        more["curriculum"] = np.nan_to_num(np.stack(logits, axis=1))
    return TrainingRows(
        texts=vocabulary.encode(encoded_column(task, student, rows), student.max_length),
        hard=np.nan_to_num(hard), hard_mask=~np.isnan(hard), soft=np.nan_to_num(soft), soft_mask=~np.isnan(soft),
        weight=rows.column("weight").to_numpy(), **more,
    )  # fmt: skip
