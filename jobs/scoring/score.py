"""`texts` + bundles -> `student_scores`: every text that no rule settled, by every student that serves, in one pass."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.labels.promote import live
from jobs.lake import queries, tables
from jobs.lake.commits import Scope
from jobs.lake.queries import Model
from jobs.runtime.job import Context, Days, Done, Job, Work
from models.errors import DataError
from models.serving.engine import EngineKind
from udfs.build import same_build
from udfs.student_scoring import SCORES_DDL, Served, student_scorer


@dataclass(frozen=True, slots=True)
class Scoring:
    """The days and the students of a scoring run."""

    days: Days
    students: tuple[Model, ...]
    texts_version: int
    fingerprint: str

    @property
    def scope(self) -> Scope:
        """What the run's one commit replaces."""
        return Scope(self.days.first, self.days.last, "model_id", tuple(student.model_id for student in self.students))


def plan(context: Context) -> Work:
    """The newest student of each task, and the one in force where that is another, over the days asked for."""
    days = context.days(tables.TEXTS)
    students = serving(context)
    version = context.lake.version(tables.TEXTS)
    for student in students:
        if student.clean_version != context.settings.cleaning.version:
            context.reporter.say(f"  {student.model_id} learnt from texts of other cleaning rules; distil again soon")
    scenes = {student.task: context.settings.task(student.task).scenes for student in students}
    models = [student.model_id for student in students]
    fingerprint = context.fingerprint(texts=version, models=models, scenes=scenes)
    scoring = Scoring(days, students, version, fingerprint)
    if context.unchanged(tables.STUDENT_SCORES, scoring.scope, fingerprint):
        return Work(())
    return Work(tuple(f"score {days.first} to {days.last} with {student.model_id}" for student in students), scoring)


def serving(context: Context) -> tuple[Model, ...]:
    """The students that score: each task's newest, and the promoted one."""
    found: dict[str, Model] = {}
    current = live(context)
    for name in context.tasks():
        newest = queries.require_model(context.lake, name, "student", "run `pingti distil` first")
        found[newest.model_id] = newest
        if name in current and current[name].model_id not in found:
            found[current[name].model_id] = queries.model(context.lake, current[name].model_id)
    return tuple(found[model_id] for model_id in sorted(found))


def execute(context: Context, work: Work) -> Done:
    """Score in one commit, and check that every text that was to be scored has its row."""
    scoring: Scoring = work.payload
    texts = context.lake.read(tables.TEXTS).where(F.col("dt").between(scoring.days.first, scoring.days.last))
    wanted = {student.model_id: _wanted(context, student) for student in scoring.students}
    counted = texts.agg(*[F.count_if(column).alias(name) for name, column in wanted.items()]).collect()[0].asDict()
    scores = score(texts, scoring.students, wanted, context.settings.scoring.engine)
    expected = sum(counted.values())
    stamp = context.stamp(scoring.fingerprint, expected=expected)
    # A file of texts is of one day, so its scores are too: a shuffle would gather what is together.
    commit = context.lake.replace(scores, tables.STUDENT_SCORES, stamp, scoring.scope, gathered=False)
    if not commit.whole:
        raise DataError(f"score: {expected} texts were to be scored, {commit.rows} have a row; run again")
    counts = {"scores": commit.rows} | {
        f"{student.task}_scores": counted[student.model_id] for student in scoring.students
    }
    return Done(
        counts=counts,
        inputs={"texts": scoring.texts_version},
        outputs={"student_scores": commit.version},
        headline="scores",
    )


def _wanted(context: Context, student: Model) -> Column:
    task = context.settings.task(student.task)
    return F.col("scene").isin(*task.scenes) & ~queries.settled_for(student.task)


def score(
    texts: DataFrame, students: tuple[Model, ...], wanted: dict[str, Column], engine: EngineKind = "auto"
) -> DataFrame:
    """Scores of the texts, a row a text and student that wants it; one read of the texts for all students."""
    served = [Served(student.model_id, student.path, f"wanted_{i}") for i, student in enumerate(students)]
    flags = {one.wanted: wanted[one.model_id] for one in served}
    columns = ["text_id", "dt", "scene", "text", "text_b", "clean_version", *flags]
    flagged = texts.withColumns(flags).select(*columns).where(reduce(Column.__or__, [F.col(name) for name in flags]))
    return flagged.mapInArrow(same_build(student_scorer(served, engine)), SCORES_DDL)


JOB = Job("score", plan, execute)
