"""The rows of a round: which texts, what is known of each, and how they reach the trainer."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from jobs.labels.promote import live
from jobs.lake import queries, tables
from jobs.lake.queries import Model
from jobs.runtime.job import Context
from jobs.scoring import score, score_teacher
from jobs.teachers.train_teacher import ON_THE_WAY, folder_of
from models.errors import DataError
from models.rounds.date_layout import DateLayout
from models.tasks import (
    EVERY_SCENE,
    JOINT,
    StudentSettings,
    TaskSettings,
)
from models.text.pairs import joined
from models.text.vocabulary import Texts, Vocabulary
from models.text.word_vocabulary import AnyVocabulary, WordVocabulary
from udfs.averaging import EnsembleMember, averager
from udfs.build import same_build
from udfs.list_arrays import to_matrix

if TYPE_CHECKING:
    from models.training.training_rows import TrainingRows

BLOCK = 200_000  # rows that are on the driver at a time; a larger round is mapped from files
TEACHER, LIVE = "teacher", "live"  # what `student.teachers` may call the newest teacher, and the student in force


def in_hash_order(seed: int) -> WindowSpec:
    """The order in which the trainer meets the rows, whatever the partitioning."""
    return Window.orderBy(queries.drawn_by_hash("text_hash", seed), "text_hash")


def sample(context: Context, round_id: str, teacher: Model, sampling: str, layout: DateLayout, seed: int) -> DataFrame:
    """The rows of a round: the teacher's fine-tuning rows, and from round 2 on what the sampling adds to them.

    Their labels are those that the teacher knows, in the task's order: nobody could teach a student the others.
    """
    lake, task = context.lake, context.task_of(teacher)
    scores = lake.read(tables.TEACHER_SCORES).where(F.col("model_id") == teacher.model_id)
    soft = queries.aligned(F.col("logits"), teacher.labels, task.label_names)
    said = queries.aligned(decided(context, teacher, "logits"), teacher.labels, task.label_names)
    drawable = scores.select("text_hash", soft.alias("soft"), said.alias("hard"))
    scores = drawable.select("text_hash", "soft")
    base = lake.read(tables.ROUND_SAMPLES).where(F.col("round_id") == teacher.model_id).drop("soft")
    base = base.withColumn("hard", queries.aligned(F.col("hard"), teacher.labels, task.label_names))
    rows = base.join(scores, "text_hash", "left").select(
        "text_id", "text_hash", "text", "text_b", "reasons", "hard", "soft"
    )
    if sampling == "random":
        pool = queries.distinct_texts(lake, teacher.task, task, layout, "train").join(drawable, "text_hash")
        order = queries.drawn_by_hash("text_hash", seed)
        pool = pool.join(base.select("text_hash"), "text_hash", "left_anti").orderBy(order, "text_hash")
        drawn = pool.limit(context.settings.rounds.random_texts).withColumn("reasons", F.array(F.lit("random")))
        rows = rows.unionByName(drawn.select(*rows.columns))
    numbered = rows.withColumns(
        {
            "round_id": F.lit(round_id),
            "position": F.row_number().over(in_hash_order(seed)).cast("bigint"),
            "split": F.lit("train"),
            "weight": F.lit(1.0).cast("float"),
        }
    )
    return numbered.select(*tables.ROUND_SAMPLES.names)


def decided(context: Context, teacher: Model, logits: str) -> Column:
    """The teacher's decisions as hard targets, 0 or 1, from its logits; both in the order of its own labels."""
    task = context.settings.task(teacher.task)
    found = queries.newest_thresholds(context.lake, teacher.model_id)
    limits = F.array(*[F.lit(one) for one in queries.threshold_row(found, EVERY_SCENE, teacher.labels)])
    scores = queries.keep_argmax(queries.probabilities(F.col(logits), task), task)
    return F.zip_with(
        scores,
        limits,
        lambda score, limit: (score >= limit).cast("float"),
    )


def averaged(context: Context, teacher: Model, student: StudentSettings, rows: DataFrame) -> DataFrame:
    """The rows with the average of all that `student.teachers` names as their `soft`.

    Past students score on the executors, other teachers are read from `teacher_scores`: what they have not seen they
    say nothing of. Without `student.teachers`, the newest teacher and the student in force count alike.
    """
    task = context.task_of(teacher)
    keep = rows.columns
    voices: list[EnsembleMember] = []
    for number, (model, weight) in enumerate(_teachers(context, teacher, student)):
        column = f"voice_{number}"
        if model.model_id == teacher.model_id:  # its logits are in the task's order already
            rows = rows.withColumn(column, F.col("soft"))
            voices.append(EnsembleMember(column, task.label_names, weight, logits=True))
            continue
        said = _of_student(rows, model) if model.role == "student" else _of_teacher(context, model)
        key = "text_id" if model.role == "student" else "text_hash"
        rows = rows.join(said.select(key, F.col("said").alias(column)), key, "left")
        voices.append(EnsembleMember(column, model.labels, weight, logits=model.role == "teacher"))
    others = [name for name in keep if name != "soft"]
    ddl = ", ".join(f"{field.name} {field.dataType.simpleString()}" for field in rows.select(*others).schema)
    together = averager(voices, task.label_names, task.kind, others)
    return rows.drop("soft").mapInArrow(same_build(together), f"{ddl}, soft array<float>").select(*keep)


def _teachers(context: Context, teacher: Model, student: StudentSettings) -> list[tuple[Model, float]]:
    """The models to learn from, and their weights; a student that is to be in force but is not yet is left out."""
    named: Mapping[str, float] = student.teachers or {TEACHER: 1.0, LIVE: 1.0}
    current = live(context).get(teacher.task)
    found: list[tuple[Model, float]] = []
    for name, weight in named.items():
        if name == TEACHER:
            found.append((teacher, weight))
        elif name == LIVE:
            if current is None:
                context.reporter.say(f"  {teacher.task}: no student is in force yet, so none is among the teachers")
            else:
                found.append((queries.model(context.lake, current.model_id), weight))
        else:
            found.append((queries.model(context.lake, name), weight))
    if not found:
        raise DataError(f"student.teachers of {teacher.task}: none of {', '.join(named)} is there yet")
    others = [model.model_id for model, _ in found if model.task != teacher.task]
    if others:
        raise DataError(f"student.teachers of {teacher.task}: {', '.join(others)} are of another task")
    return found


def _of_student(rows: DataFrame, student: Model) -> DataFrame:
    nothing = {"dt": F.lit(date(1970, 1, 1)), "scene": F.lit(""), "clean_version": F.lit("")}
    asked = rows.select("text_id", "text", "text_b").withColumns(nothing)
    scores = score.score(asked, (student,), {student.model_id: F.lit(True)})
    return scores.select("text_id", F.col("probs").alias("said"))


def _of_teacher(context: Context, teacher: Model) -> DataFrame:
    scores = context.lake.read(tables.TEACHER_SCORES).where(F.col("model_id") == teacher.model_id)
    return scores.select("text_hash", F.col("logits").alias("said"))


@dataclass(frozen=True, slots=True)
class Prepared:
    """A round's rows as the trainer takes them, and what the ids among them mean."""

    vocabulary: AnyVocabulary
    rows: TrainingRows


@contextmanager
def prepared(context: Context, round_id: str, teacher: Model, student: StudentSettings) -> Iterator[Prepared]:
    """The rows of a round for one student, in the order of their position; files behind them live as long as this."""
    from models.training.training_rows import RowsWriter

    task = context.task_of(teacher)
    frame, steps = _with_what_the_scheme_needs(context, round_id, teacher, student)
    count = frame.count()
    if not count:
        raise DataError(f"{context.lake.name(tables.ROUND_SAMPLES)}: no rows of {round_id}; run `pingti distil`")
    if count <= BLOCK:  # read once
        (block,) = _blocks(frame, count)
        vocabulary = build_vocabulary([texts_for(task, student, block)], task, student)
        yield Prepared(vocabulary, training_rows(block, task=task, vocabulary=vocabulary, student=student, steps=steps))
        return
    only_texts = frame.select("position", "text", "text_b")
    blocks = (texts_for(task, student, block) for block in _blocks(only_texts, count))
    vocabulary = build_vocabulary(blocks, task, student)
    make = partial(training_rows, task=task, vocabulary=vocabulary, student=student, steps=steps)
    folder = Path(tempfile.mkdtemp(prefix="pingti-rows-"))
    try:
        with RowsWriter(folder) as writer:
            for block in _blocks(frame, count):
                writer.add(make(block))
            yield Prepared(vocabulary, writer.finished())
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _with_what_the_scheme_needs(
    context: Context, round_id: str, teacher: Model, student: StudentSettings
) -> tuple[DataFrame, int]:
    """The round's rows; with hints also `cls`, on a route also `way_0` and so on; and how many of these there are.

    Of several teachers `soft` is their average.
    """
    frame = context.lake.read(tables.ROUND_SAMPLES).where(F.col("round_id") == round_id)
    extra = student.scheme == "multi_teacher"
    if extra:
        frame = averaged(context, teacher, student, frame)
    if student.hint_weight and student.scheme not in JOINT:
        scores = context.lake.read(tables.TEACHER_SCORES).where(F.col("model_id") == teacher.model_id)
        frame, extra = frame.join(scores.select("text_hash", "cls"), "text_hash", "left"), True
    steps = 0
    if student.route and student.scheme not in JOINT:
        way = on_the_way(teacher)
        if not way:
            raise DataError(
                f"student.route: {teacher.model_id} kept no states on its way; set teacher.checkpoints and "
                "train it again"
            )
        labels = context.task_of(teacher).label_names
        texts = frame.select("text_hash", "text", "text_b").withColumn("bucket", score_teacher.bucket())
        for number, earlier in enumerate(way):
            logits = queries.aligned(F.col("logits"), teacher.labels, labels).alias(f"way_{number}")
            said = score_teacher.scored_by(context, earlier, texts).select("text_hash", logits)
            frame, extra = frame.join(said, "text_hash", "left"), True
        steps = len(way)
    return (frame.localCheckpoint(eager=True) if extra else frame), steps


def on_the_way(teacher: Model) -> list[Model]:
    """A teacher as it was on its way, the earliest first; none where none were kept."""
    names = sorted(
        (name for name in teacher.digests if name.startswith(ON_THE_WAY)), key=lambda name: int(name.split("/")[1])
    )
    folder = Path(teacher.path).parent
    return [
        replace(
            teacher, path=str(folder / folder_of(teacher.model_id, name, teacher.digests[name])),
            digests={"content": teacher.digests[name]},
        )
        for name in names
    ]  # fmt: skip


def _blocks(frame: DataFrame, count: int) -> Iterator[pa.Table]:
    for first in range(1, count + 1, BLOCK):
        inside = F.col("position").between(first, first + BLOCK - 1)
        yield frame.where(inside).orderBy("position").toArrow()


def texts_for(task: TaskSettings, student: StudentSettings, rows: pa.Table) -> Texts:
    """The column that a student encodes: the texts, or pairs of them as one."""
    if task.kind != "pair":
        return rows.column("text")
    return joined(rows.column("text"), rows.column("text_b"), student.max_length)


def build_vocabulary(blocks: Iterable[Texts], task: TaskSettings, student: StudentSettings) -> AnyVocabulary:
    """The characters or words that a student knows, from all its texts."""
    kind = WordVocabulary if student.unit == "word" else Vocabulary
    return kind.build(blocks, max_size=student.vocabulary_size, pairs=task.kind == "pair")


def training_rows(
    rows: pa.Table, *, task: TaskSettings, vocabulary: AnyVocabulary, student: StudentSettings, steps: int = 0
) -> TrainingRows:
    """Rows of `round_samples` as the trainer takes them; what is null there is masked here."""
    from models.training.training_rows import TrainingRows

    labels = len(task.label_names)
    hard, soft = to_matrix(rows.column("hard"), labels), to_matrix(rows.column("soft"), labels)
    more: dict[str, Any] = {}
    if "cls" in rows.column_names:
        widths = [len(one) for one in rows.column("cls").drop_null()[:1].to_pylist()]
        more["states"] = to_matrix(rows.column("cls"), (widths or [1])[0])
    if steps:
        way = [to_matrix(rows.column(f"way_{number}"), labels) for number in range(steps)]
        more["route"] = np.nan_to_num(np.stack(way, axis=1))
    return TrainingRows(
        texts=vocabulary.encode(texts_for(task, student, rows), student.max_length),
        hard=np.nan_to_num(hard), hard_mask=~np.isnan(hard), soft=np.nan_to_num(soft), soft_mask=~np.isnan(soft),
        weight=rows.column("weight").to_numpy(), **more,
    )  # fmt: skip
