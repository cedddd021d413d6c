"""`texts` + bundles -> `student_scores`: every text that no rule settled, by every student that serves, in one pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from pyspark.sql import functions as F

from jobs.days.live_files import LiveFiles
from jobs.lake import registry, tables, text_queries
from jobs.lake.registry import RegisteredModel
from jobs.lake.store import Lake
from jobs.runtime import daily, task_models
from jobs.runtime.context import Context
from jobs.runtime.daily import DailyWork, PartRecipe
from jobs.runtime.job import Done, Job, Work
from jobs.scoring import file_scoring
from jobs.scoring.inference import student_scores
from models import digests
from models.errors import DataError
from models.serving.engine import SCORING_VERSION, EngineKind
from models.tasks import TaskSettings
from udfs.file_scoring import ScoreBatch
from udfs.student_scoring import score_batch


@dataclass(frozen=True, slots=True)
class Scoring:
    """The days of a scoring run, and the students that have any of them."""

    cells: DailyWork
    students: tuple[RegisteredModel, ...]


def plan(context: Context) -> Work[Scoring]:
    """The newest student of each task, and the one in force where that is another, over the days that have news.

    A task without a student yet is told and left out. With the option `in_force` the students in force alone.
    """
    settings, lake = context.settings, context.lake
    serve = in_force if context.request.options.get("in_force") else serving
    students = {one.model_id: one for one in serve(lake, tuple(task_models.newest_students(context)))}
    for student in students.values():
        if student.clean_version != settings.cleaning.version:
            context.reporter.say(f"  {student.model_id} learnt from texts of other cleaning rules; distil again soon")
    texts = LiveFiles(lake, tables.TEXTS)
    recipes = {
        name: PartRecipe(_decides(student, settings.task(student.task), settings.scoring.engine), ((texts, ""),))
        for name, student in students.items()
    }
    work = daily.plan(context, tables.STUDENT_SCORES, recipes, lambda days, name: f"score {days} with {name}")
    if work.payload is None:
        return Work(remember=work.remember)
    scoring = Scoring(work.payload, tuple(students[part] for part in work.payload.parts))
    return Work(work.steps, scoring, work.remember)


def _decides(student: RegisteredModel, task: TaskSettings, engine: EngineKind) -> str:
    """Names what decides a student's scores of a text: its files, how they are run, and which texts are its own."""
    return digests.of_json(
        {
            "model": student.model_id, "files": dict(student.digests), "scenes": sorted(task.scenes), "kind": task.kind,
            "engine": engine, "scoring": SCORING_VERSION,
        },
        chars=32,
    )  # fmt: skip


def serving(lake: Lake, tasks: tuple[str, ...]) -> tuple[RegisteredModel, ...]:
    """The students that score: each task's newest, and the promoted one."""
    newest = (registry.newest_student(lake, name) for name in tasks)
    students = {one.model_id: one for one in (*newest, *in_force(lake, tasks))}
    return tuple(students[model_id] for model_id in sorted(students))


def in_force(lake: Lake, tasks: tuple[str, ...]) -> tuple[RegisteredModel, ...]:
    """The students in force of those of the tasks that have one."""
    live = registry.live(lake)
    return tuple(registry.model(lake, live[name].model_id) for name in tasks if name in live)


def execute(context: Context, work: Scoring) -> Done | None:
    """Score in one commit: from file to file where the tables allow it, else by Spark's frames."""
    if daily.already_committed(context, work.cells):
        return None
    why = file_scoring.left_to_spark(context.lake, work.cells)
    if why is not None:
        context.reporter.say(f"  by Spark's frames: {why}")
        return by_frames(context, work, f"by Spark's frames: {why}")
    return by_files(context, work)


def by_files(context: Context, work: Scoring, score: ScoreBatch = score_batch) -> Done:
    """Score from file to file; the tasks count as they go. `score` is what scores a batch."""
    lake, settings = context.lake, context.settings
    since = lake.catalog.arrow.snapshot(tables.STUDENT_SCORES, work.cells.scope)
    scored = file_scoring.score_files(lake, work.cells, work.students, settings.tasks, settings.scoring.engine, score)
    stamp = context.stamp(work.cells.fingerprint, expected=sum(scored.scored.values()))
    commit = lake.replace_files(tables.STUDENT_SCORES, scored.files, stamp, work.cells.scope, since)
    daily.record(context, work.cells, commit.version)
    counts = {"scores": commit.rows, "scores_null": scored.errors, "files": len(scored.files)}
    return Done(counts=counts | _counts(work, scored.scored), headline="scores", reason="by files")


def _counts(work: Scoring, scored: Mapping[str, int]) -> dict[str, int]:
    """Days, and scores by task: a task may have two students."""
    by_task: Counter[str] = Counter()
    for student in work.students:
        by_task[f"{student.task}_scores"] += scored[student.model_id]
    return {"days": len(work.cells.days), **by_task}


def by_frames(context: Context, work: Scoring, reason: str | None = None) -> Done:
    """Score through Spark's rows, and check that every text that was to be scored has its row."""
    settings = context.settings
    texts = context.lake.read(tables.TEXTS).where(daily.on_days(work.cells.days))
    wanted = {
        student.model_id: text_queries.wanted(student.task, settings.task(student.task))
        & daily.on_days(work.cells.days_of(student.model_id))
        for student in work.students
    }
    counted = texts.agg(*[F.count_if(column).alias(name) for name, column in wanted.items()]).collect()[0].asDict()
    scores = student_scores(context.lake, texts, work.students, wanted, settings.scoring.engine)
    expected = sum(counted.values())
    stamp = context.stamp(work.cells.fingerprint, expected=expected)
    # A file of texts is of one day, so its scores are too: a shuffle would gather what is together.
    commit = context.lake.replace(scores, tables.STUDENT_SCORES, stamp, work.cells.scope, gathered=False)
    if not commit.whole:
        raise DataError(f"score: {expected} texts were to be scored, {commit.rows} have a row; run again")
    daily.record(context, work.cells, commit.version)
    return Done(counts={"scores": commit.rows} | _counts(work, counted), headline="scores", reason=reason)


JOB = Job(
    "score", plan, execute, reads=(tables.TEXTS, tables.MODELS, tables.PROMOTIONS), writes=(tables.STUDENT_SCORES,)
)
