"""`annotations` -> a fine-tuned teacher, its first thresholds, and the base rows that round 1 learns from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake import queries, tables
from jobs.lake.commits import Scope
from jobs.runtime.job import Context, Done, Job, Work
from models import digests
from models.errors import DataError
from models.evaluation.predictions import complete_class_labels, first_threshold
from models.rounds.date_layout import DateLayout
from models.tasks import (
    EVERY_SCENE,
    TaskKind,
    TaskSettings,
)

if TYPE_CHECKING:
    from models.teachers.fine_tuning_rows import (
        FineTuningRows,
    )

CONTENT, ON_THE_WAY = "content", "way/"  # what the digests in `models` are of: the teacher, and its states on the way


@dataclass(frozen=True, slots=True)
class Rows:
    """A teacher's fine-tuning rows, ordered by hash: one a distinct text, with the annotators' word on each label."""

    text_ids: list[str]
    hashes: list[str]
    texts: list[str]
    others: list[str | None]  # of pairs the second texts
    targets: NDArray[np.float32]  # (rows, labels); NaN where the annotators say nothing, or disagree evenly
    labels: tuple[str, ...]  # those of the task that the annotators told anything of


@dataclass(frozen=True, slots=True)
class Lesson:
    """One teacher to train."""

    task: str
    model_id: str
    rows: Rows
    layout: DateLayout
    fingerprint: str


def plan(context: Context) -> Work:
    """A teacher for each task whose annotations or settings changed since its last one."""
    layout = queries.date_layout(context.lake, context.settings.rounds)
    lessons = []
    versions = [context.lake.version(table) for table in (tables.ANNOTATIONS, tables.TEXTS)]
    for name in context.tasks():
        fingerprint = context.fingerprint(
            versions=versions, task=context.settings.task(name).model_dump(mode="json", exclude={"student"}),
            layout=layout,
            seed=context.settings.rounds.seed, scenes=sorted(_all_scenes(context)),
        )  # fmt: skip
        if context.unchanged(tables.MODELS, queries.scope_of_models(name, "teacher"), fingerprint):
            continue
        rows = fine_tuning_rows(context, name, layout)
        if not rows.labels:
            raise DataError(
                f"annotations: none for task {name} on {layout.train.first} to {layout.train.last}; import some"
            )
        task = context.settings.task(name)
        decides = {
            "teacher": task.teacher.model_dump(mode="json"), "labels": rows.labels, "rows": rows.hashes,
            "targets": np.nan_to_num(rows.targets, nan=-1).round(4).tolist(), "seed": context.settings.rounds.seed,
            "cleaning": context.settings.cleaning.version, "layout": layout,
        }  # fmt: skip
        made_from = f"{name}/teacher/{digests.of_json(decides, chars=12)}"
        model_id, new = queries.model_name(context.lake, name, "teacher", made_from)
        if new:
            lessons.append(Lesson(name, model_id, rows, layout, fingerprint))
    return Work(tuple(f"train {one.model_id} on {len(one.rows.hashes):,} texts" for one in lessons), tuple(lessons))


def execute(context: Context, work: Work) -> Done:
    """Train each teacher and seal it; its row in `models` comes last and says that all else is there."""
    counts = {}
    for lesson in work.payload:
        _train(context, lesson)
        counts[f"{lesson.task}_texts"] = len(lesson.rows.hashes)
    counts["texts"] = sum(counts.values())
    return Done(counts=counts, outputs={"models": context.lake.version(tables.MODELS)}, headline="texts")


def fine_tuning_rows(context: Context, name: str, layout: DateLayout) -> Rows:
    """The annotated texts of the training days, one row a distinct text, by majority of the annotators.

    A label without a single answer (of classes: that holds nowhere) is left out: nobody could teach it yet.
    """
    task = context.settings.task(name)
    labels = task.label_names
    votes = queries.majority(context.lake, name, labels, layout.train)
    answers = votes.groupBy("text_hash").pivot("label", list(labels)).agg(F.first(F.col("positive").cast("float")))
    texts = queries.texts_of(context.lake.read(tables.TEXTS), name, task).where(queries.within(layout.train))
    texts = texts.groupBy("text_hash").agg(
        F.min("text_id").alias("text_id"), F.first("text").alias("text"), F.first("text_b").alias("text_b")
    )
    table = answers.join(texts, "text_hash").orderBy("text_hash").toArrow()
    answered = [table.column(label).to_numpy(zero_copy_only=False) for label in labels]
    said = np.stack(answered, axis=1).astype(np.float32)
    known: NDArray[np.bool_] = np.any(said == 1 if task.kind == "multi_class" else ~np.isnan(said), axis=0)
    targets = complete_class_labels(said[:, known], task.kind)
    own = tuple(label for label, there in zip(labels, known.tolist(), strict=True) if there)
    if task.kind == "multi_class" and len(own) == 1:
        raise DataError(f"annotations: of the classes of task {name} only {own[0]} is told of any text; import more")
    columns = {key: table.column(key).to_pylist() for key in ("text_id", "text_hash", "text", "text_b")}
    return Rows(columns["text_id"], columns["text_hash"], columns["text"], columns["text_b"], targets, own)


def _train(context: Context, lesson: Lesson) -> None:
    from models.teachers.fine_tuning import (
        fine_tune,
    )
    from models.teachers.teacher import (
        Teacher,
    )

    task = context.settings.task(lesson.task)
    folders: dict[str, Path] = {}
    contents: dict[str, str] = {}

    def keep(teacher: Teacher, name: str) -> None:
        """Seal the teacher, as it is now or at the end; the folder's name has a part of the digest."""
        contents[name] = teacher.digest
        place = folder_of(lesson.model_id, name, contents[name])
        folders[name] = teacher.save(context.lake.bundles / "teachers" / place)

    lesson_of_rows = lesson_for(task, lesson.rows)
    teacher = fine_tune(
        base_of(context, lesson.task, lesson.layout), lesson_of_rows, task.teacher, seed=context.settings.rounds.seed,
        progress=context.teller(f"{lesson.task}: fine-tuning"),
        keep=lambda now: keep(now, f"{ON_THE_WAY}{len(contents) + 1}"),
    )  # fmt: skip
    keep(teacher, CONTENT)
    context.lake.replace(
        base_rows(context, lesson),
        tables.ROUND_SAMPLES,
        context.stamp(),
        Scope(column="round_id", values=(lesson.model_id,)),
    )
    now = datetime.now(UTC)
    _write_first_thresholds(context, lesson, task.kind, now)
    row = (
        lesson.model_id, lesson.task, "bert", "teacher", list(lesson.rows.labels), None, None,
        str(folders[CONTENT]), contents, context.settings.cleaning.version, task.teacher.model_dump_json(), now,
        context.run_id,
    )  # fmt: skip
    frame = context.spark.createDataFrame([row], tables.MODELS.schema)
    scope = queries.scope_of_models(lesson.task, "teacher")
    context.lake.append(frame, tables.MODELS, context.stamp(lesson.fingerprint), once=lesson.model_id, scope=scope)


def folder_of(model_id: str, name: str, digest: str) -> str:
    """What the folder of a teacher is called, or of one of its states on the way; it says what it holds."""
    beside = "" if name == CONTENT else f"-{name.replace('/', '-')}"
    return f"{model_id.replace('/', '-')}{beside}-{digest[:8]}"


def lesson_for(task: TaskSettings, rows: Rows) -> FineTuningRows:
    """The rows as a teacher takes them: what is not known is masked."""
    from models.teachers.fine_tuning_rows import (
        FineTuningRows,
    )

    second = [one or "" for one in rows.others] if task.kind == "pair" else None
    known = ~np.isnan(rows.targets)
    return FineTuningRows(rows.texts, np.nan_to_num(rows.targets), known, rows.labels, task.kind, second)


def base_of(context: Context, name: str, layout: DateLayout) -> str:
    """What a task's teacher begins as: the model that the settings name, or the small BERT of this house."""
    task = context.settings.task(name)
    return task.teacher.source or str(_pretrained(context, task, layout))


def _pretrained(context: Context, task: TaskSettings, layout: DateLayout) -> Path:
    """The small BERT of this house, pretrained on the platform's own texts; shared by tasks with equal settings."""
    from models.teachers.pretraining import pretrain

    settings = task.teacher
    everyone = TaskSettings(scenes=tuple(sorted(_all_scenes(context))), labels=task.labels)
    pool = queries.distinct_texts(context.lake, "*", everyone, layout, "train")
    drawn = pool.orderBy(queries.drawn_by_hash("text_hash", context.settings.rounds.seed), "text_hash")
    both = F.concat_ws(" ", "text", "text_b").alias("text")  # of pairs; null is left out
    texts = drawn.limit(settings.pretrain_texts).select("text_hash", both).toArrow()
    sizes = settings.model_dump(mode="json", include={"layers", "hidden", "heads", "max_tokens", "vocabulary_size"})
    schedule = settings.model_dump(mode="json", include={"pretrain_steps", "pretrain_seconds"})
    decides = {"sizes": sizes, "schedule": schedule, "texts": texts.column("text_hash").to_pylist(), "reads": "both"}
    folder = context.lake.bundles / "encoders" / digests.of_json(decides, chars=12)
    if not folder.is_dir():
        pretrain(
            texts.column("text").to_pylist(), settings, seed=context.settings.rounds.seed, folder=folder,
            progress=context.teller("pretraining"),
        )  # fmt: skip
    return folder


def _all_scenes(context: Context) -> set[str]:
    return {scene for task in context.settings.tasks.values() for scene in task.scenes}


def base_rows(context: Context, lesson: Lesson) -> DataFrame:
    """The fine-tuning rows as round samples, under the teacher's own name."""
    rows = lesson.rows
    columns = zip(rows.text_ids, rows.hashes, rows.texts, rows.others, rows.targets, strict=True)
    values = [
        (
            lesson.model_id,
            text_id,
            text_hash,
            text,
            other,
            position,
            "train",
            ["annotated"],
            1.0,
            _nullable(targets),
            None,
        )
        for position, (text_id, text_hash, text, other, targets) in enumerate(columns)
    ]
    return context.spark.createDataFrame(values, tables.ROUND_SAMPLES.schema)


def _nullable(targets: NDArray[np.float32]) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in targets]


def _write_first_thresholds(context: Context, lesson: Lesson, kind: TaskKind, now: datetime) -> None:
    nothing = [None] * 11
    model_id, labels = lesson.model_id, lesson.rows.labels
    first = first_threshold(kind, len(labels))
    rows = [
        (model_id, label, EVERY_SCENE, 1, first, "default", "none", *nothing, now, context.run_id) for label in labels
    ]
    frame = context.spark.createDataFrame(rows, tables.THRESHOLDS.schema)
    context.lake.append(frame, tables.THRESHOLDS, context.stamp(), once=f"{model_id}/thresholds/1")


JOB = Job("train_teacher", plan, execute)
