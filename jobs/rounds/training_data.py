"""A round's rows as the trainer takes them: encoded, masked, in memory or mapped from files."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake import tables
from jobs.lake.store import Lake
from jobs.rounds.round import Round
from jobs.rounds.soft_targets import Say, with_soft_targets
from models.errors import DataError
from models.scheme_settings import JOINT
from models.serving.engine import EngineKind
from models.student_settings import StudentSettings
from models.tasks import TaskSettings
from models.text.pairs import joined
from models.text.vocabulary import Texts, Vocabulary
from models.text.word_vocabulary import AnyVocabulary, WordVocabulary
from udfs.list_arrays import to_matrix

if TYPE_CHECKING:
    from models.teachers.fine_tuning_rows import FineTuningRows
    from models.training.training_rows import TrainingRows

BLOCK = 200_000  # rows that are on the driver at a time; a larger round is mapped from files


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What a student is trained on.

    Attributes:
        vocabulary: What its ids mean.
        rows: The rows, in the order of their position.
        texts: The same rows as a teacher of a joint scheme reads them; None for other schemes.
    """

    vocabulary: AnyVocabulary
    rows: TrainingRows
    texts: FineTuningRows | None = None


@contextmanager
def training_data(
    lake: Lake, round_: Round, student: StudentSettings, *, engine: EngineKind, teacher_batch: int, say: Say
) -> Iterator[TrainingData]:
    """The rows of a round for one student; files behind them live as long as this."""
    from models.training.training_rows import RowsWriter

    task = round_.task
    frame, checkpoints = with_soft_targets(lake, round_, student, engine, teacher_batch, say)
    count = frame.count()
    if not count:
        raise DataError(f"{lake.catalog.name(tables.ROUND_SAMPLES)}: no rows of {round_.round_id}; run `pingti distil`")
    make = partial(training_rows, task=task, student=student, checkpoints=checkpoints)
    if count <= BLOCK:  # read once
        (block,) = _blocks(frame, count)
        vocabulary = build_vocabulary([encoded_column(task, student, block)], task, student)
        yield TrainingData(vocabulary, make(block, vocabulary=vocabulary), _texts([block], task, student))
        return
    only_texts = frame.select("position", "text", "text_b")
    vocabulary = build_vocabulary(
        (encoded_column(task, student, block) for block in _blocks(only_texts, count)), task, student
    )
    folder = Path(tempfile.mkdtemp(prefix="pingti-rows-"))
    try:
        with RowsWriter(folder) as writer:
            for block in _blocks(frame, count):
                writer.add(make(block, vocabulary=vocabulary))
            texts = _texts(_blocks(frame.select("position", "text", "text_b", "hard"), count), task, student)
            yield TrainingData(vocabulary, writer.finished(), texts)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _blocks(frame: DataFrame, count: int) -> Iterator[pa.Table]:
    for first in range(1, count + 1, BLOCK):
        inside = F.col("position").between(first, first + BLOCK - 1)
        yield frame.where(inside).orderBy("position").toArrow()


def _texts(blocks: Iterable[pa.Table], task: TaskSettings, student: StudentSettings) -> FineTuningRows | None:
    """The rows for a teacher that learns beside the student; read of joint schemes alone."""
    if student.scheme.kind not in JOINT:
        return None
    from models.teachers.fine_tuning_rows import FineTuningRows

    rows = pa.concat_tables(block.select(["text", "text_b", "hard"]) for block in blocks)
    hard = to_matrix(rows.column("hard"), len(task.label_names))
    second = rows.column("text_b").to_pylist() if task.kind == "pair" else None
    texts = rows.column("text").to_pylist()
    return FineTuningRows(texts, np.nan_to_num(hard), ~np.isnan(hard), task.label_names, task.kind, second)


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
    rows: pa.Table, *, task: TaskSettings, vocabulary: AnyVocabulary, student: StudentSettings, checkpoints: int = 0
) -> TrainingRows:
    """Rows of `round_samples` as the trainer takes them; what is null there is masked here."""
    from models.training.training_rows import TrainingRows

    labels = len(task.label_names)
    hard, soft = to_matrix(rows.column("hard"), labels), to_matrix(rows.column("soft"), labels)
    more: dict[str, Any] = {}
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
