"""Scoring with students from file to file: a task reads files of texts and writes files of scores, all in Arrow.

Spark places, retries and counts the tasks, and never sees a row: what a task gives back is which files it wrote and
how many rows it met. The driver commits the files of the attempts that succeeded; no other file is ever read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from numpy.typing import NDArray

from models.serving.engine import EngineKind
from udfs.data_files import DataFile, PartitionWriter
from udfs.settled import rules_of, settled_for
from udfs.storage import Storage
from udfs.student_scoring import Batches, Served, keep_open, score_batch

KEPT = pa.schema([("text_id", pa.string()), ("scene", pa.string()), ("clean_version", pa.string())])
"""The columns of a text that its row of scores keeps in the file; the day is the partition's."""
WRITTEN = pa.schema([
    ("dt", pa.string()), ("model_id", pa.string()), ("path", pa.string()), ("size", pa.int64()), ("rows", pa.int64()),
    ("read", pa.int64()), ("settled", pa.int64()), ("errors", pa.int64()),
])  # fmt: skip
"""What a task tells: a row a file it wrote, and a row without a path for each day and student with its counts."""
ScoreBatch: TypeAlias = Callable[[pa.RecordBatch, Sequence[Served], EngineKind, pa.Schema], Batches]
"""As `udfs.student_scoring.score_batch`."""
BATCH_ROWS = 16_384
_KEPT_BYTES = 16 << 20  # of rows that wait for their row group, over all students of a task


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a file of texts: all of it, or some of its row groups."""

    path: str
    day: str
    row_groups: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class ServedTask:
    """A student and which texts are its own: of its task's scenes and of its days, settled by no rule for the task.

    Attributes:
        served: The student.
        task: Its task.
        scenes: The task's.
        pairs: Whether the task judges pairs.
        days: As text; None: every day.
    """

    served: Served
    task: str
    scenes: tuple[str, ...]
    pairs: bool = False
    days: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class FileScoring:
    """A scoring run, as its tasks know it.

    Attributes:
        texts: Where the files of texts lie.
        scores: Where the files of scores go.
        students: Who scores.
        engine: By what.
        tasks: The pieces of each task, by its number.
    """

    texts: Storage
    scores: Storage
    students: tuple[ServedTask, ...]
    engine: EngineKind
    tasks: tuple[tuple[Piece, ...], ...]


@dataclass(slots=True)
class _Counts:
    """Of one student on one day."""

    settled: int = 0
    errors: int = 0


@dataclass(slots=True)
class _Day:
    """A day under way: a writer a student."""

    day: str
    students: tuple[ServedTask, ...]
    writers: Mapping[str, PartitionWriter]
    counts: Mapping[str, _Counts] = field(default_factory=dict)
    read: int = 0


def file_scorer(work: FileScoring, score: ScoreBatch = score_batch) -> Callable[[Batches], Batches]:
    """A batch function from the numbers of tasks to what they wrote (`WRITTEN`); `score` is what scores a batch."""

    def score_tasks(batches: Batches) -> Batches:
        for batch in batches:
            for number in batch.column(0).to_pylist():
                yield from score_pieces(work, work.tasks[number], score)

    return score_tasks


def score_pieces(work: FileScoring, pieces: Sequence[Piece], score: ScoreBatch = score_batch) -> Batches:
    """Score the pieces, one day after the other; nothing stays of a task that fails."""
    keep_open([student.served for student in work.students])
    folder = work.scores.open()
    days: list[_Day] = []
    try:
        for day, own in groupby(sorted(pieces, key=lambda one: one.day), key=lambda one: one.day):
            days.append(_begin(work, folder, day))
            for piece in own:
                _score_piece(work, piece, days[-1], score)
            for writer in days[-1].writers.values():
                writer.close()
    except BaseException:
        for day_begun in days:
            for writer in day_begun.writers.values():
                writer.abandon()
        raise
    yield from map(_told, days)


def _begin(work: FileScoring, folder: pafs.FileSystem, day: str) -> _Day:
    students = tuple(student for student in work.students if student.days is None or day in student.days)
    names = [student.served.model_id for student in students]
    writers = {
        name: PartitionWriter(folder, {"dt": day, "model_id": name}, distinct=("text_id", "probs.list.element"))
        for name in names
    }
    return _Day(day, students, writers, {name: _Counts() for name in names})


def _score_piece(work: FileScoring, piece: Piece, under_way: _Day, score: ScoreBatch) -> None:
    with pq.ParquetFile(work.texts.open().open_input_file(piece.path)) as file:
        # A task has one core: more threads would take the others', and each keeps memory of its own.
        batches = file.iter_batches(
            BATCH_ROWS, row_groups=piece.row_groups, columns=_columns(under_way.students), use_threads=False
        )
        for batch in batches:
            under_way.read += batch.num_rows
            flagged = _flagged(batch, under_way.students, under_way.counts)
            for scores in score(flagged, [one.served for one in under_way.students], work.engine, KEPT):
                name = scores.column("model_id")[0].as_py()
                under_way.counts[name].errors += scores.num_rows - scores.column("error").null_count
                under_way.writers[name].write(scores)
            _make_room(under_way.writers)


def _columns(students: Sequence[ServedTask]) -> list[str]:
    second = ["text_b"] if any(student.pairs for student in students) else []
    return [*KEPT.names, "text", *second, "settled"]


def _make_room(writers: Mapping[str, PartitionWriter]) -> None:
    """Write the largest row groups while too many rows wait."""
    waiting = sum(writer.kept_bytes for writer in writers.values())
    while waiting > _KEPT_BYTES:
        largest = max(writers.values(), key=lambda writer: writer.kept_bytes)
        waiting -= largest.kept_bytes
        largest.flush()


def _flagged(batch: pa.RecordBatch, students: Sequence[ServedTask], counts: Mapping[str, _Counts]) -> pa.RecordBatch:
    """The rows that some student wants, with a boolean column a student that says which are its own."""
    rules = rules_of(batch.column("settled"))
    flags: dict[str, NDArray[np.bool_]] = {}
    for student in students:
        in_scenes = pc.is_in(batch.column("scene"), pa.array(student.scenes)).to_numpy(zero_copy_only=False)
        by_rule = settled_for(rules, student.task, batch.num_rows)
        counts[student.served.model_id].settled += int((in_scenes & by_rule).sum())
        flags[student.served.wanted] = in_scenes & ~by_rule
    wanted = np.logical_or.reduce(list(flags.values()))
    columns = {name: batch.column(name) for name in batch.schema.names if name != "settled"}
    flagged = pa.RecordBatch.from_pydict(columns | {name: pa.array(flag) for name, flag in flags.items()})
    return flagged if wanted.all() else flagged.filter(pa.array(wanted))


def _told(under_way: _Day) -> pa.RecordBatch:
    """The names of the day's files, and its counts."""
    rows = []
    for name, writer in under_way.writers.items():
        counts = under_way.counts[name]
        for file in writer.close():
            rows.append(_row(under_way.day, name, file))
        told = {"read": under_way.read, "settled": counts.settled, "errors": counts.errors}
        rows.append(_row(under_way.day, name, None) | told)
    return pa.RecordBatch.from_pylist(rows, WRITTEN)


def _row(day: str, model_id: str, file: DataFile | None) -> dict[str, object]:
    row: dict[str, object] = {"dt": day, "model_id": model_id, "path": None, "size": 0, "rows": 0}
    row |= {"read": 0, "settled": 0, "errors": 0}
    return row if file is None else row | {"path": file.path, "size": file.size, "rows": file.rows}


def written_files(told: pa.Table) -> list[DataFile]:
    """The files that tasks told of."""
    return [
        DataFile(row["path"], row["size"], row["rows"], {"dt": row["dt"], "model_id": row["model_id"]})
        for row in told.to_pylist()
        if row["path"] is not None
    ]
