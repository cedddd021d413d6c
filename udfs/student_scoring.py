"""Scoring with students on the executors: clean texts in Arrow batches, a row of probabilities a text and model.

Needs neither torch nor Spark. A student is opened once per worker process, at the first batch that has a row for it:
Spark calls the function for empty partitions too, and those must not pay for a model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.errors import BundleError
from models.serving.engine import Engine, EngineKind
from models.serving.open_engine import open_engine
from models.text.vocabulary import Encoded
from udfs.list_arrays import FLOAT_LIST, to_lists
from udfs.model_files import ModelFiles

STORED = pa.schema([
    ("text_id", pa.string()), ("dt", pa.date32()), ("scene", pa.string()), ("clean_version", pa.string()),
])  # fmt: skip
"""The columns of a text that its row of `student_scores` keeps."""

Batches = Iterator[pa.RecordBatch]


@dataclass(frozen=True, slots=True)
class Served:
    """A student to score with: its bundle, and the boolean column that says which rows are its own."""

    model_id: str
    files: ModelFiles
    wanted: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Names the student and its content."""
        return self.files.key, self.model_id


_OPEN: dict[tuple[tuple[str, str], EngineKind], Engine] = {}


def keep_open(students: Sequence[Served]) -> None:
    """Let go of every open student but these: a worker outlives the runs that it serves.

    A cache of any fixed size would open all students anew for each batch once one more than that is served.
    """
    wanted = {student.key for student in students}
    for key in [key for key in _OPEN if key[0] not in wanted]:
        del _OPEN[key]


def engine_of(student: Served, kind: EngineKind) -> Engine:
    """The engine of a sealed student, opened once a process.

    Raises:
        BundleError: The bundle holds another student, or other files than were registered; a manifest vouches for its
            own files only.
    """
    engine = _OPEN.get((student.key, kind))
    if engine is not None:
        return engine
    engine = open_engine(student.files.local(), kind, threads=1)
    manifest, place = engine.bundle.manifest, student.files.place
    if manifest.model_id != student.model_id:
        raise BundleError(
            f"{place}: holds {manifest.model_id}, the table models says {student.model_id}; train the round again"
        )
    if student.files.digests and dict(student.files.digests) != dict(manifest.files):
        raise BundleError(
            f"{place}: was sealed again with other content than {student.model_id} was registered with in models; copy "
            "the bundle again or train the round again"
        )
    _OPEN[student.key, kind] = engine
    return engine


def scores_schema(keep: pa.Schema) -> pa.Schema:
    """The columns that a scorer gives: those kept of the text, then model_id, probs and error."""
    scores = [pa.field("model_id", pa.string()), pa.field("probs", FLOAT_LIST), pa.field("error", pa.string())]
    return pa.schema([*keep, *scores])


def student_scorer(
    students: Sequence[Served], kind: EngineKind = "auto", keep: pa.Schema = STORED
) -> Callable[[Batches], Batches]:
    """A batch function from clean texts to scores (`scores_schema`), several students in one pass over the text."""

    def score(batches: Batches) -> Batches:
        keep_open(students)
        for batch in batches:
            yield from score_batch(batch, students, kind, keep)

    return score


def score_batch(
    batch: pa.RecordBatch, students: Sequence[Served], kind: EngineKind = "auto", keep: pa.Schema = STORED
) -> Batches:
    """Score one batch: a batch of scores for each student that has rows in it.

    A null text, or a pair with one, keeps a null score and an `error`; no row is ever dropped. Students with one
    `encoder_key` share the texts' ids. The column `text_b` may be missing where no student judges pairs.
    """
    second = batch.column("text_b") if "text_b" in batch.schema.names else None
    encoded: dict[tuple[str, int, bool], tuple[Encoded, NDArray[np.bool_]]] = {}
    for student in students:
        rows = np.flatnonzero(batch.column(student.wanted).fill_null(False).to_numpy(zero_copy_only=False))
        if len(rows) == 0:
            continue
        engine = engine_of(student, kind)
        if engine.encoder_key not in encoded:
            texts = engine.read(batch.column("text"), second)
            encoded[engine.encoder_key] = engine.encode(texts), texts.is_null().to_numpy(zero_copy_only=False)
        ids, null = encoded[engine.encoder_key]
        probabilities = to_lists(engine.probabilities_encoded(ids, rows), null[rows])
        yield with_scores(batch.select(keep.names), student, rows, probabilities)


def with_scores(
    kept: pa.RecordBatch, student: Served, rows: NDArray[np.int64], probabilities: pa.ListArray
) -> pa.RecordBatch:
    """Some rows of the kept columns with a student's probabilities; these are as many as the rows."""
    chosen = kept if len(rows) == kept.num_rows else kept.take(pa.array(rows))
    columns = dict(zip(chosen.schema.names, chosen.columns, strict=True)) | {
        "model_id": pa.repeat(pa.scalar(student.model_id), len(rows)),
        "probs": probabilities,
        "error": pc.if_else(probabilities.is_null(), "no_text", pa.scalar(None, pa.string())),
    }
    return pa.RecordBatch.from_pydict(columns)
