"""`annotations` -> a fine-tuned teacher, its first thresholds, and the base rows that round 1 learns from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import functions as F

from jobs.lake import registry, tables, text_queries, threshold_queries
from jobs.lake.commits import Scope
from jobs.lake.registry import CONTENT, RegisteredModel
from jobs.lake.store import Lake
from jobs.runtime.context import Context
from jobs.runtime.job import Done, Job, Work
from jobs.teachers.base_model import Base, Pretraining, all_scenes, known_base, make_base, opened
from models import digests
from models.errors import DataError
from models.evaluation.predictions import complete_class_labels, first_threshold
from models.rounds.date_layout import DateLayout
from models.tasks import EVERY_SCENE, TaskSettings

if TYPE_CHECKING:
    from models.teachers.fine_tuning_rows import FineTuningRows
    from models.teachers.teacher import Teacher


@dataclass(frozen=True, slots=True)
class AnnotatedTexts:
    """A teacher's fine-tuning rows, ordered by hash: one a distinct text, with the annotators' majority on each label.

    Attributes:
        text_ids: The texts' ids, each the smallest of its distinct text.
        hashes: Their hashes.
        texts: The texts.
        second: Of pairs the second texts.
        targets: (rows, labels); NaN where the annotators say nothing, or disagree evenly.
        labels: Those of the task that any annotator answered.
    """

    text_ids: list[str]
    hashes: list[str]
    texts: list[str]
    second: list[str | None]
    targets: NDArray[np.float32]
    labels: tuple[str, ...]

    def round_samples(self, model_id: str) -> list[dict[str, Any]]:
        """The rows as round samples, under the teacher's own name."""
        columns = zip(self.text_ids, self.hashes, self.texts, self.second, self.targets, strict=True)
        return [
            {
                "round_id": model_id, "text_id": text_id, "text_hash": text_hash, "text": text, "text_b": second,
                "position": position, "split": "train", "reasons": ["annotated"], "weight": 1.0,
                "hard": [None if np.isnan(value) else float(value) for value in targets],
            }
            for position, (text_id, text_hash, text, second, targets) in enumerate(columns)
        ]  # fmt: skip

    def fine_tuning_rows(self, task: TaskSettings) -> FineTuningRows:
        """The rows as the trainer takes them: what is not known is masked."""
        from models.teachers.fine_tuning_rows import FineTuningRows

        second = [text or "" for text in self.second] if task.kind == "pair" else None
        known = ~np.isnan(self.targets)
        return FineTuningRows(self.texts, np.nan_to_num(self.targets), known, self.labels, task.kind, second)


@dataclass(frozen=True, slots=True)
class TeacherPlan:
    """A task whose annotations, base or settings changed since its last teacher.

    Attributes:
        task: Its name.
        layout: The days.
        decides: What decides the teacher, as it was when it was planned, without the base.
    """

    task: str
    layout: DateLayout
    decides: Mapping[str, Any]

    def fingerprint(self, base: Base) -> str:
        """A digest of all that decides."""
        return digests.of_json({**self.decides, "base": base.identity}, chars=32)


def plan(context: Context) -> Work[tuple[TeacherPlan, ...]]:
    """A teacher for each task whose annotations, base or settings changed since its last one."""
    settings, again = context.settings, bool(context.request.options.get("again"))
    layout = text_queries.date_layout(context.lake, settings.rounds)
    plans, steps = [], []
    for name in context.tasks():
        base = known_base(context.lake, settings.task(name).teacher, settings.rounds.seed)
        one, scope = TeacherPlan(name, layout, _decides(context, name)), registry.scope_of_teachers(name)
        if base is None:
            steps.append(f"pretrain what the teacher of {name} begins as")
        if again or base is None or not context.unchanged(tables.MODELS, scope, one.fingerprint(base)):
            steps.append(f"train a teacher of {name}, if its rows are new")
            plans.append(one)
    return Work(tuple(steps), tuple(plans))


def _decides(context: Context, name: str) -> dict[str, Any]:
    """What decides a teacher: neither days nor code, for new texts alone make none, hence no student and no labels."""
    settings, task = context.settings, context.settings.task(name)
    return {
        "annotations": annotations_signature(context.lake, name), "seed": settings.rounds.seed,
        "teacher": _teacher_settings(task), "labels": task.label_names, "kind": task.kind, "scenes": task.scenes,
        "cleaning": settings.cleaning.version,
    }  # fmt: skip


def _teacher_settings(task: TaskSettings) -> dict[str, Any]:
    """The teacher's settings without where its base lies: the base names its content."""
    return task.teacher.model_dump(mode="json", exclude={"source"})


def execute(context: Context, work: tuple[TeacherPlan, ...]) -> Done | None:
    """Train each teacher and seal it; its row in `models` comes last and says that all else is there."""
    counts = {}
    # Every task's rows before the first is trained: a task without annotations ends the run now, not hours later.
    annotated = [annotated_texts(context.lake, one.task, context.settings.task(one.task), one.layout) for one in work]
    for one, rows in zip(work, annotated, strict=True):
        task = context.settings.task(one.task)
        base = _base(context, one, task)
        model_id, is_new = _name(context, one, task, rows, base)
        if is_new:
            _train(context, one, task, rows, model_id, base)
            counts[f"{one.task}_texts"] = len(rows.hashes)
    if not counts:
        return None
    counts["texts"] = sum(counts.values())
    return Done(counts=counts, headline="texts")


def _base(context: Context, one: TeacherPlan, task: TaskSettings) -> Base:
    """What the task's teacher begins as, pretrained where there is none yet."""
    lake, settings = context.lake, context.settings
    known = known_base(lake, task.teacher, settings.rounds.seed)
    if known is not None:
        return known
    wanted = Pretraining(task.teacher, all_scenes(settings.tasks), one.layout, settings.rounds.seed)
    made, _ = make_base(lake, wanted, settings.cleaning.version, context.stamp(), context.training_progress)
    return Base(made.path, made.model_id)


def annotations_signature(lake: Lake, name: str) -> str:
    """What annotators said of a task, as one name, whatever the files that hold it."""
    columns = ("label", "text_id", "annotator", "value")
    rows = lake.arrow(tables.ANNOTATIONS, *columns, where=pc.field("task") == name).to_pydict()
    answers = sorted(zip(*(rows[column] for column in columns), strict=True))
    return digests.of_json(answers, chars=32)


def annotated_texts(lake: Lake, name: str, task: TaskSettings, layout: DateLayout) -> AnnotatedTexts:
    """The annotated texts of the training days, one row a distinct text, by majority of the annotators.

    A label without a single answer (of classes: that holds nowhere) is left out: nobody could teach it yet.

    Raises:
        DataError: No label has an answer, or of classes only one holds anywhere.
    """
    labels = task.label_names
    votes = text_queries.majority(lake, name, labels, layout.train)
    answers = votes.groupBy("text_hash").pivot("label", list(labels)).agg(F.first(F.col("positive").cast("float")))
    texts = text_queries.texts_for(lake.read(tables.TEXTS), name, task).where(text_queries.within(layout.train))
    texts = texts.groupBy("text_hash").agg(
        F.min("text_id").alias("text_id"), F.first("text").alias("text"), F.first("text_b").alias("text_b")
    )
    table = answers.join(texts, "text_hash").orderBy("text_hash").toArrow()
    by_label = [table.column(label).to_numpy(zero_copy_only=False) for label in labels]
    values = np.stack(by_label, axis=1).astype(np.float32)
    answered: NDArray[np.bool_] = np.any(values == 1 if task.kind == "multi_class" else ~np.isnan(values), axis=0)
    own = tuple(label for label, there in zip(labels, answered.tolist(), strict=True) if there)
    if not own:
        raise DataError(
            f"annotations: none for task {name} on {layout.train.first} to {layout.train.last}; import some"
        )
    if task.kind == "multi_class" and len(own) == 1:
        raise DataError(f"annotations: of the classes of task {name} only {own[0]} holds for any text; import more")
    targets = complete_class_labels(values[:, answered], task.kind)
    columns = {key: table.column(key).to_pylist() for key in ("text_id", "text_hash", "text", "text_b")}
    return AnnotatedTexts(columns["text_id"], columns["text_hash"], columns["text"], columns["text_b"], targets, own)


def _name(context: Context, one: TeacherPlan, task: TaskSettings, rows: AnnotatedTexts, base: Base) -> tuple[str, bool]:
    """What a teacher of these rows is called, and whether it is yet to be trained."""
    decides = {
        "teacher": _teacher_settings(task), "base": base.identity, "labels": rows.labels, "rows": rows.hashes,
        "targets": np.nan_to_num(rows.targets, nan=-1).round(4).tolist(), "seed": context.settings.rounds.seed,
        "cleaning": context.settings.cleaning.version,
    }  # fmt: skip
    content_name = f"{one.task}/teacher/{digests.of_json(decides, chars=12)}"
    return registry.free_name(context.lake, one.task, "teacher", content_name)


def _train(
    context: Context, one: TeacherPlan, task: TaskSettings, rows: AnnotatedTexts, model_id: str, base: Base
) -> None:
    from models.teachers.fine_tuning import fine_tune
    from models.teachers.huggingface import with_revision

    lake, settings = context.lake, context.settings
    seal = _Sealing(lake, model_id)
    teacher = fine_tune(
        opened(lake, base), rows.fine_tuning_rows(task), task.teacher, seed=settings.rounds.seed,
        progress=context.training_progress(f"{one.task}: fine-tuning"), keep=seal.intermediate,
    )  # fmt: skip
    path = seal.folder(teacher, CONTENT)
    scope = Scope(column="round_id", values=(model_id,))
    samples = lake.frame(tables.ROUND_SAMPLES, rows.round_samples(model_id))
    lake.replace(samples, tables.ROUND_SAMPLES, context.stamp(), scope)
    stamp = context.stamp(one.fingerprint(base))
    thresholds = first_thresholds(model_id, rows.labels, first_threshold(task.kind, len(rows.labels)))
    lake.append_rows(
        tables.THRESHOLDS, threshold_queries.signed(thresholds, stamp), stamp, once=f"{model_id}/thresholds/1"
    )
    model = RegisteredModel(
        model_id, one.task, "bert", "teacher", rows.labels, None, None, path, settings.cleaning.version,
        seal.contents, with_revision(base.place, teacher.model),
    )  # fmt: skip
    registry.register(lake, model, settings=task.teacher.model_dump_json(), stamp=stamp)


class _Sealing:
    """Seals a teacher and its intermediate checkpoints; a folder's name has a part of its content's digest."""

    def __init__(self, lake: Lake, model_id: str) -> None:
        self._store = lake.bundles
        self._model_id = model_id
        self.contents: dict[str, str] = {}  # digests by `CONTENT` or the checkpoint's name

    def folder(self, teacher: Teacher, name: str) -> str:
        """Write the teacher as it is now; where it is found."""
        digest = teacher.digest
        self.contents[name] = digest
        folder = self._store.folder / "teachers" / registry.teacher_folder(self._model_id, name, digest)
        return self._store.published(teacher.save(folder))

    def intermediate(self, teacher: Teacher) -> None:
        """Write the next intermediate checkpoint."""
        self.folder(teacher, registry.checkpoint_name(len(self.contents) + 1))


def first_thresholds(model_id: str, labels: tuple[str, ...], value: float) -> list[dict[str, Any]]:
    """A teacher's first thresholds, which nothing was searched for."""
    return [
        {
            "model_id": model_id, "label": label, "scene": EVERY_SCENE, "version": 1, "value": value,
            "method": "default", "gold": "none",
        }
        for label in labels
    ]  # fmt: skip


JOB = Job(
    "train-teacher", plan, execute, reads=(tables.ANNOTATIONS, tables.TEXTS),
    writes=(tables.ROUND_SAMPLES, tables.THRESHOLDS, tables.MODELS),
)  # fmt: skip
