"""`texts` + bundles -> `student_scores`: every text that no rule settled, by every student that serves, in one pass."""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import functions as F

from jobs.lake import registry, tables, text_queries
from jobs.lake.commits import Scope
from jobs.lake.registry import RegisteredModel
from jobs.lake.store import Lake
from jobs.runtime.context import Context, Days
from jobs.runtime.job import Done, Job, Work
from jobs.scoring import file_scoring
from jobs.scoring.inference import student_scores
from models.errors import DataError
from udfs.file_scoring import ScoreBatch
from udfs.student_scoring import score_batch


@dataclass(frozen=True, slots=True)
class Scoring:
    """The days and the students of a scoring run."""

    days: Days
    students: tuple[RegisteredModel, ...]
    fingerprint: str

    @property
    def scope(self) -> Scope:
        """What the run's one commit replaces."""
        return Scope(self.days.first, self.days.last, "model_id", tuple(student.model_id for student in self.students))


def plan(context: Context) -> Work[Scoring]:
    """The newest student of each task, and the one in force where that is another, over the days asked for."""
    days = context.days(tables.TEXTS)
    students = serving(context.lake, context.tasks())
    for student in students:
        if student.clean_version != context.settings.cleaning.version:
            context.reporter.say(f"  {student.model_id} learnt from texts of other cleaning rules; distil again soon")
    fingerprint = context.fingerprint(
        **context.versions(tables.TEXTS),
        models={student.model_id: dict(student.digests) for student in students},
        scenes={student.task: context.settings.task(student.task).scenes for student in students},
    )
    scoring = Scoring(days, students, fingerprint)
    if context.unchanged(tables.STUDENT_SCORES, scoring.scope, fingerprint):
        return Work()
    return Work(tuple(f"score {days.first} to {days.last} with {student.model_id}" for student in students), scoring)


def serving(lake: Lake, tasks: tuple[str, ...]) -> tuple[RegisteredModel, ...]:
    """The students that score: each task's newest, and the promoted one."""
    students: dict[str, RegisteredModel] = {}
    live = registry.live(lake)
    for name in tasks:
        newest = registry.newest_student(lake, name)
        students[newest.model_id] = newest
        if name in live and live[name].model_id not in students:
            students[live[name].model_id] = registry.model(lake, live[name].model_id)
    return tuple(students[model_id] for model_id in sorted(students))


def execute(context: Context, work: Scoring) -> Done:
    """Score in one commit: from file to file where the tables allow it, else by Spark's frames."""
    why = file_scoring.left_to_spark(context.lake, Scope(work.days.first, work.days.last))
    if why is not None:
        context.reporter.say(f"  by Spark's frames: {why}")
        return by_frames(context, work, f"by Spark's frames: {why}")
    return by_files(context, work)


def by_files(context: Context, work: Scoring, score: ScoreBatch = score_batch) -> Done:
    """Score from file to file; the tasks count as they go. `score` is what scores a batch."""
    lake, settings = context.lake, context.settings
    since = lake.catalog.arrow.snapshot(tables.STUDENT_SCORES, work.scope)
    scored = file_scoring.score_files(
        lake, work.days.first, work.days.last, work.students, settings.tasks, settings.scoring.engine, score
    )
    stamp = context.stamp(work.fingerprint, expected=sum(scored.scored.values()))
    commit = lake.replace_files(tables.STUDENT_SCORES, scored.files, stamp, work.scope, since)
    counts = {"scores": commit.rows, "scores_null": scored.errors, "files": len(scored.files)}
    counts |= {f"{student.task}_scores": scored.scored[student.model_id] for student in work.students}
    return Done(counts=counts, headline="scores", reason="by files")


def by_frames(context: Context, work: Scoring, reason: str | None = None) -> Done:
    """Score through Spark's rows, and check that every text that was to be scored has its row."""
    settings = context.settings
    texts = context.lake.read(tables.TEXTS).where(F.col("dt").between(work.days.first, work.days.last))
    wanted = {
        student.model_id: text_queries.wanted(student.task, settings.task(student.task)) for student in work.students
    }
    counted = texts.agg(*[F.count_if(column).alias(name) for name, column in wanted.items()]).collect()[0].asDict()
    scores = student_scores(context.lake, texts, work.students, wanted, settings.scoring.engine)
    expected = sum(counted.values())
    stamp = context.stamp(work.fingerprint, expected=expected)
    # A file of texts is of one day, so its scores are too: a shuffle would gather what is together.
    commit = context.lake.replace(scores, tables.STUDENT_SCORES, stamp, work.scope, gathered=False)
    if not commit.whole:
        raise DataError(f"score: {expected} texts were to be scored, {commit.rows} have a row; run again")
    counts = {"scores": commit.rows} | {
        f"{student.task}_scores": counted[student.model_id] for student in work.students
    }
    return Done(counts=counts, headline="scores", reason=reason)


JOB = Job(
    "score", plan, execute, reads=(tables.TEXTS, tables.MODELS, tables.PROMOTIONS), writes=(tables.STUDENT_SCORES,)
)
