"""`annotations` -> a fine-tuned teacher, its first thresholds, and the base rows that round 1 learns from.

It ends with what annotators say of the teacher beside the student that learns from the same rows without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from jobs.lake import registry, tables, text_queries, threshold_queries
from jobs.lake.commits import Scope
from jobs.lake.registry import CONTENT, RegisteredModel
from jobs.lake.store import Lake
from jobs.runtime.context import Context
from jobs.runtime.job import Done, Job, Work
from jobs.teachers import held_out
from jobs.teachers.annotated_texts import AnnotatedTexts, annotated_texts, annotations_signature
from jobs.teachers.base_making import Pretraining, all_scenes, make_base
from jobs.teachers.base_model import Base, given_base, known_base
from jobs.teachers.fine_tuning import fine_tuned
from jobs.teachers.held_out import TeacherVerdict
from jobs.teachers.held_out_texts import HeldOutTest
from models import digests
from models.evaluation.predictions import first_threshold
from models.rounds.date_layout import DateLayout
from models.tasks import SMALL_BERT_STEPS, TaskSettings

if TYPE_CHECKING:
    from models.teachers.teacher import Teacher


FEW_POSITIVES = 200
"""With fewer texts for which a label holds, the user is told that a teacher learns little of it."""


@dataclass(frozen=True, slots=True)
class TeacherPlan:
    """A task whose annotations, base or settings changed since its last teacher was trained or looked at.

    Attributes:
        task: Its name.
        layout: The days.
        decides: What decides the teacher and its comparison, as it was when it was planned, without the base.
    """

    task: str
    layout: DateLayout
    decides: Mapping[str, Any]

    def fingerprint(self, base: Base) -> str:
        """A digest of all that decides."""
        return digests.of_json({**self.decides, "base": base.identity}, chars=32)


def plan(context: Context) -> Work[tuple[TeacherPlan, ...]]:
    """A teacher for each task whose annotations, base or settings changed since its last one.

    Where its student's settings changed, the teacher stays, and is compared with that student.
    """
    settings, again = context.settings, bool(context.request.options.get("again"))
    layout = text_queries.date_layout(context.lake, settings.rounds)
    plans, steps = [], []
    for name in context.tasks():
        if not again and (outside := _from_outside(context, name)) is not None:
            context.reporter.say(f"  {name}: left out, the scores of {outside} come from outside; --again trains one")
            continue
        base = known_base(context.lake, settings.task(name).teacher, settings.rounds.seed)
        one = TeacherPlan(name, layout, _decides(context, name))
        if base is None:
            steps.append(f"pretrain what the teacher of {name} begins as")
        if again or base is None or not _looked_at(context, one, base):
            steps.append(f"train a teacher of {name}, if its rows are new, and compare it with its student")
            plans.append(one)
    return Work(tuple(steps), tuple(plans))


def _from_outside(context: Context, name: str) -> str | None:
    """The task's newest teacher, where its scores come from outside: only a person puts a trained one in its place."""
    newest = registry.newest_model(context.lake, name, "teacher")
    return newest.model_id if newest is not None and newest.is_external else None


def _decides(context: Context, name: str) -> dict[str, Any]:
    """What decides a teacher: neither days nor code, for new texts alone make none, hence no student and no labels."""
    settings, task = context.settings, context.settings.task(name)
    return {
        "annotations": annotations_signature(context.lake, name), "seed": settings.rounds.seed,
        "teacher": _teacher_settings(task), "labels": task.label_names, "kind": task.kind, "scenes": task.scenes,
        "cleaning": settings.cleaning.version, "student": held_out.without_scheme(task.student),
        "targets": {label: one.target.model_dump() for label, one in task.labels.items()},
        "positives": [settings.thresholds.min_positives, settings.thresholds.min_positives_all_scenes],
    }  # fmt: skip


def _teacher_settings(task: TaskSettings) -> dict[str, Any]:
    """The teacher's settings without where its base lies and how it learnt: the base names its content."""
    of_base = {"source", "pretrain_objective", "pretrain_masking", "pretrain_masked"}
    settings = task.teacher.model_dump(mode="json", exclude=of_base)
    if settings["pretrain_steps"] is None:
        settings["pretrain_steps"] = SMALL_BERT_STEPS  # as it was always there: teachers of before keep their names
    return settings


def _looked_at(context: Context, one: TeacherPlan, base: Base) -> bool:
    """Whether the task's newest teacher was trained, or found to be of these rows, and compared, by the very same."""
    teacher = registry.newest_model(context.lake, one.task, "teacher")
    if teacher is None:
        return False
    return context.unchanged(tables.EVALUATIONS, held_out.scope_of(teacher.model_id), one.fingerprint(base))


def execute(context: Context, work: tuple[TeacherPlan, ...]) -> Done | None:
    """Train each teacher and seal it; its row in `models` says that all else is there. Then compare it.

    None where each teacher is of these rows already, and was compared with this student on these texts.
    """
    counts: dict[str, int] = {}
    told: list[TeacherVerdict] = []
    trained = compared = 0
    # Every task's rows before the first is trained: a task without annotations ends the run now, not hours later.
    annotated = [annotated_texts(context.lake, one.task, context.settings.task(one.task), one.layout) for one in work]
    for one, rows in zip(work, annotated, strict=True):
        task = context.settings.task(one.task)
        base, is_made = _base(context, one, task)
        model_id, is_new = _name(context, one, task, rows, base)
        if is_new:
            _train(context, one, task, rows, model_id, base)
            counts[f"{one.task}_texts"] = len(rows.hashes)
        verdict, is_compared = _compare(context, one, task, model_id, base)
        told.append(verdict)
        trained, compared = trained + (is_new or is_made), compared + is_compared
    for verdict in told:
        for line in verdict.lines:
            context.reporter.say(line)
    if not trained and not compared:
        return None
    counts["texts"] = sum(counts.values())
    return Done(counts=counts, headline="texts", reason="; ".join(one.sentence for one in told))


def _base(context: Context, one: TeacherPlan, task: TaskSettings) -> tuple[Base, bool]:
    """What the task's teacher begins as, pretrained where there is none yet; and whether it was."""
    lake, settings = context.lake, context.settings
    known = known_base(lake, task.teacher, settings.rounds.seed)
    if known is not None:
        return known, False
    given = given_base(task.teacher)
    wanted = Pretraining(task.teacher, all_scenes(settings.tasks), one.layout, settings.rounds.seed, given)
    made, _ = make_base(lake, wanted, settings.cleaning.version, context.stamp(), context.training_progress)
    return Base(made.path, made.model_id), True


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
    from models.teachers.huggingface import with_revision

    lake, settings = context.lake, context.settings
    if few := rows.few(FEW_POSITIVES):
        told = ", ".join(f"{label} ({count})" for label, count in few.items())
        context.reporter.say(
            f"  [yellow]warning[/yellow] {one.task}: fewer than {FEW_POSITIVES} annotated texts hold for {told}: a "
            "teacher learns little of so few; annotate more of them"
        )
    seal = _Sealing(lake, model_id)
    tuned = fine_tuned(
        lake, model_id, base, rows.fine_tuning_rows(task), task.teacher, seed=settings.rounds.seed,
        progress=context.training_progress, keep=seal.intermediate,
    )  # fmt: skip
    context.reporter.say(f"  {one.task}: {tuned.sentence}")
    path = seal.folder(tuned.teacher, CONTENT)
    scope = Scope(column="round_id", values=(model_id,))
    samples = lake.frame(tables.ROUND_SAMPLES, rows.round_samples(model_id))
    lake.replace(samples, tables.ROUND_SAMPLES, context.stamp(), scope)
    stamp = context.stamp()
    thresholds = threshold_queries.first_rows(model_id, rows.labels, first_threshold(task.kind, len(rows.labels)))
    lake.append_rows(
        tables.THRESHOLDS, threshold_queries.signed(thresholds, stamp), stamp, once=f"{model_id}/thresholds/1"
    )
    model = RegisteredModel(
        model_id, one.task, "bert", "teacher", rows.labels, None, None, path, settings.cleaning.version,
        seal.contents, with_revision(base.place, tuned.teacher.model),
    )  # fmt: skip
    registry.register(lake, model, settings=task.teacher.model_dump_json(), stamp=stamp)


def _compare(
    context: Context, one: TeacherPlan, task: TaskSettings, model_id: str, base: Base
) -> tuple[TeacherVerdict, bool]:
    """The teacher beside its student, on annotated texts that neither has seen; and whether that took a training."""
    lake, settings = context.lake, context.settings
    model = registry.model(lake, model_id)

    def teacher() -> Teacher:
        from models.teachers.teacher import Teacher

        return Teacher.open(registry.files(lake, model).local())

    test = HeldOutTest(model, task, one.layout, settings.rounds.seed, settings.thresholds)
    return held_out.verdict(
        lake, test, teacher, context.stamp(one.fingerprint(base)),
        context.training_progress,
    )  # fmt: skip


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


JOB = Job(
    "train-teacher", plan, execute, reads=(tables.ANNOTATIONS, tables.TEXTS),
    writes=(tables.ROUND_SAMPLES, tables.THRESHOLDS, tables.MODELS, tables.EVALUATIONS, tables.LABEL_TRUST),
)  # fmt: skip
