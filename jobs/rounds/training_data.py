"""A round's rows as the trainer takes them: encoded, masked, in memory or mapped from files."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake import tables
from jobs.lake.store import Lake
from jobs.rounds.round import Round
from jobs.rounds.soft_targets import Say, with_soft_targets
from jobs.settings import TeacherScoringSettings
from jobs.training.encoded_rows import build_vocabulary, encoded_column, training_rows
from models.errors import DataError
from models.scheme_settings import JOINT
from models.serving.engine import EngineKind
from models.student_settings import StudentSettings
from models.tasks import TaskSettings
from models.text.word_vocabulary import AnyVocabulary
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
        trust: (labels,) 0 to 1, how far the teacher teaches each label; None: all the way.
    """

    vocabulary: AnyVocabulary
    rows: TrainingRows
    texts: FineTuningRows | None = None
    trust: NDArray[np.float32] | None = None


@contextmanager
def training_data(
    lake: Lake,
    round_: Round,
    student: StudentSettings,
    *,
    engine: EngineKind,
    scoring: TeacherScoringSettings,
    say: Say,
) -> Iterator[TrainingData]:
    """The rows of a round for one student; files behind them live as long as this."""
    from models.training.training_rows import RowsWriter

    task = round_.task
    frame, checkpoints = with_soft_targets(lake, round_, student, engine, scoring, say)
    count = frame.count()
    if not count:
        raise DataError(f"{lake.catalog.name(tables.ROUND_SAMPLES)}: no rows of {round_.round_id}; run `pingti distil`")
    trust = _trust(round_)
    make = partial(training_rows, task=task, student=student, checkpoints=checkpoints, trust=trust)
    if count <= BLOCK:  # read once
        (block,) = _blocks(frame, count)
        vocabulary = build_vocabulary([encoded_column(task, student, block)], task, student)
        yield TrainingData(vocabulary, make(block, vocabulary=vocabulary), _texts([block], task, student), trust)
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
            yield TrainingData(vocabulary, writer.finished(), texts, trust)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _trust(round_: Round) -> NDArray[np.float32] | None:
    """The round's trust in the order of its labels; a label that nothing is known of is trusted."""
    if not round_.trust:
        return None
    return np.array([round_.trust.get(label, 1.0) for label in round_.labels], np.float32)


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
