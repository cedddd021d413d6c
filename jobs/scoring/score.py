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
from jobs.scoring.inference import student_scores
from models.errors import DataError


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
        models=[student.model_id for student in students],
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
    """Score in one commit, and check that every text that was to be scored has its row."""
    settings = context.settings
    texts = context.lake.read(tables.TEXTS).where(F.col("dt").between(work.days.first, work.days.last))
    wanted = {
        student.model_id: text_queries.wanted(student.task, settings.task(student.task)) for student in work.students
    }
    counted = texts.agg(*[F.count_if(column).alias(name) for name, column in wanted.items()]).collect()[0].asDict()
    scores = student_scores(texts, work.students, wanted, settings.scoring.engine)
    expected = sum(counted.values())
    stamp = context.stamp(work.fingerprint, expected=expected)
    # A file of texts is of one day, so its scores are too: a shuffle would gather what is together.
    commit = context.lake.replace(scores, tables.STUDENT_SCORES, stamp, work.scope, gathered=False)
    if not commit.whole:
        raise DataError(f"score: {expected} texts were to be scored, {commit.rows} have a row; run again")
    counts = {"scores": commit.rows} | {
        f"{student.task}_scores": counted[student.model_id] for student in work.students
    }
    return Done(counts=counts, headline="scores")


JOB = Job(
    "score", plan, execute, reads=(tables.TEXTS, tables.MODELS, tables.PROMOTIONS), writes=(tables.STUDENT_SCORES,)
)
