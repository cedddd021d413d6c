"""Scores from file to file: which task reads which files of texts, and the one commit of what all of them wrote."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

import pyarrow.parquet as pq

from jobs.lake import registry, tables
from jobs.lake.registry import RegisteredModel
from jobs.lake.store import Lake
from jobs.runtime.daily import DailyWork
from jobs.runtime.executors import map_batches
from models.errors import DataError
from models.serving.engine import EngineKind
from models.tasks import TaskSettings
from udfs.data_files import DataFile
from udfs.file_scoring import WRITTEN, FileScoring, Piece, ScoreBatch, ServedTask, file_scorer, written_files
from udfs.storage import Storage
from udfs.student_scoring import Served, score_batch

_TASKS_A_CORE = 4  # so that the last tasks to end keep all cores busy
_LEAST_BYTES, _MOST_BYTES = 4 << 20, 64 << 20  # of a task: less does not pay for it, more is much to do again


@dataclass(frozen=True, slots=True)
class ScoredFiles:
    """What the tasks wrote and met.

    Attributes:
        files: To be committed.
        scored: Rows by model id.
        errors: How many of all rows have no score.
    """

    files: tuple[DataFile, ...]
    scored: Mapping[str, int]
    errors: int


@dataclass(frozen=True, slots=True)
class _Sized:
    piece: Piece
    size: float


def left_to_spark(lake: Lake, work: DailyWork) -> str | None:
    """Why the texts of some days cannot be scored from file to file, None where they can."""
    for table in (tables.TEXTS, tables.STUDENT_SCORES):
        if (why := lake.catalog.left_to_spark(table)) is not None:
            return f"{table.name}: {why}"
    if any(":" in file.path or file.path.startswith("/") for file in _texts_of(lake, work)):
        return f"{tables.TEXTS.name}: some of its files lie elsewhere"
    return None


def _texts_of(lake: Lake, work: DailyWork) -> list[DataFile]:
    """The files of texts of a run's days."""
    days = {day.isoformat() for day in work.days}
    return [file for file in lake.catalog.arrow.files(tables.TEXTS) if file.partition["dt"] in days]


def score_files(
    lake: Lake, work: DailyWork, students: Sequence[RegisteredModel], tasks: Mapping[str, TaskSettings],
    engine: EngineKind, score: ScoreBatch = score_batch,
) -> ScoredFiles:  # fmt: skip
    """Score the texts of each student's days; the files wait for their commit. `score` is what scores a batch.

    Raises:
        DataError: The tasks did not read the rows that the log says the files have.
    """
    arrow = lake.catalog.arrow
    listed = _texts_of(lake, work)
    if not listed:
        return ScoredFiles((), {student.model_id: 0 for student in students}, 0)
    texts = arrow.storage(tables.TEXTS)
    cores = lake.spark.sparkContext.defaultParallelism
    pieces = tuple(_shared_out(texts, listed, cores))
    served = _served(lake, work, students, tasks)
    scoring = FileScoring(texts, arrow.storage(tables.STUDENT_SCORES), served, engine, pieces)
    numbers = lake.spark.range(0, len(pieces), 1, len(pieces))
    told = map_batches(numbers, file_scorer(scoring, score), WRITTEN).toArrow()
    counts = told.group_by("model_id").aggregate([(name, "sum") for name in ("read", "rows", "settled", "errors")])
    scored = {row["model_id"]: row for row in counts.to_pylist()}
    _check(listed, work, scored)
    rows = {one.model_id: scored[one.model_id]["rows_sum"] if one.model_id in scored else 0 for one in students}
    return ScoredFiles(tuple(written_files(told)), rows, sum(row["errors_sum"] for row in scored.values()))


def _check(listed: Sequence[DataFile], work: DailyWork, scored: Mapping[str, Mapping[str, int]]) -> None:
    if any(file.rows is None for file in listed):
        return  # another tool's file, of which the log keeps no count
    for name, row in scored.items():
        days = {day.isoformat() for day in work.days_of(name)}
        expected = sum(file.rows or 0 for file in listed if file.partition["dt"] in days)
        if row["read_sum"] != expected:
            raise DataError(f"score: {name} read {row['read_sum']} texts, the log has {expected}; run again")


def _served(
    lake: Lake, work: DailyWork, students: Sequence[RegisteredModel], tasks: Mapping[str, TaskSettings]
) -> tuple[ServedTask, ...]:
    return tuple(
        ServedTask(
            Served(student.model_id, registry.files(lake, student), f"wanted_{at}"), student.task,
            tuple(tasks[student.task].scenes), tasks[student.task].kind == "pair",
            frozenset(day.isoformat() for day in work.days_of(student.model_id)),
        )
        for at, student in enumerate(students)
    )  # fmt: skip


def _shared_out(texts: Storage, files: Sequence[DataFile], cores: int) -> Iterator[tuple[Piece, ...]]:
    """The pieces of each task: of even bytes, and of neighbouring days."""
    total = sum(file.size for file in files)
    target = min(max(total / (cores * _TASKS_A_CORE), _LEAST_BYTES), _MOST_BYTES)
    sized = [piece for file in sorted(files, key=_by_day) for piece in _pieces(texts, file, target)]
    count = max(1, min(len(sized), round(total / target)))
    shares: list[list[Piece]] = [[] for _ in range(count)]
    before = 0.0
    for one in sized:
        middle = (before + one.size / 2) / max(total, 1)
        shares[min(int(middle * count), count - 1)].append(one.piece)
        before += one.size
    return (tuple(share) for share in shares if share)


def _by_day(file: DataFile) -> tuple[str, str]:
    return file.partition["dt"] or "", file.path


def _pieces(texts: Storage, file: DataFile, target: float) -> Iterator[_Sized]:
    """A file, cut into its row groups where it is larger than a task's share."""
    path, day = unquote(file.path), file.partition["dt"] or ""
    if file.size <= target:
        yield _Sized(Piece(path, day), file.size)
        return
    with texts.open().open_input_file(path) as opened:
        footer = pq.read_metadata(opened)
    sizes = [footer.row_group(at).total_byte_size for at in range(footer.num_row_groups)]
    for at, size in enumerate(sizes):
        yield _Sized(Piece(path, day, (at,)), file.size * size / max(sum(sizes), 1))
