"""`texts` -> `teacher_scores`: a bounded sample of distinct texts, each scored once, in whole buckets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake import registry, tables, teacher_scores, text_queries
from jobs.lake.commits import Scope
from jobs.lake.registry import RegisteredModel
from jobs.lake.store import Lake
from jobs.runtime import task_models
from jobs.runtime.context import Context
from jobs.runtime.job import Done, Job, Work
from jobs.scoring import inference, teacher_compute
from jobs.scoring.inference import bucket
from jobs.settings import TeacherScoringSettings
from models import digests
from models.rounds.date_layout import PARTS, DateLayout, Part
from models.tasks import TaskSettings
from udfs.data_files import files_of
from udfs.teacher_scoring import Compute

SAMPLING_VERSION = "1"
"""Raised where other texts are drawn of the same days by the same settings."""
_DAYS: Mapping[Part, str] = {"train": "training", "threshold": "threshold", "test": "test", "gate": "gate"}


@dataclass(frozen=True, slots=True)
class Sampling:
    """A teacher whose sample may hold texts that it has not scored yet."""

    teacher: RegisteredModel
    layout: DateLayout
    fingerprint: str

    @property
    def scope(self) -> Scope:
        """What the commits of its scores are about."""
        return Scope(column="model_id", values=(self.teacher.model_id,))


def plan(context: Context) -> Work[tuple[Sampling, ...]]:
    """Each task's newest teacher, and those of its students that serve, unless the very same sample was scored.

    The thresholds and the gate of a student go by its own teacher, though a newer one may be there already.
    """
    settings = context.settings
    layout = text_queries.date_layout(context.lake, settings.rounds)
    versions = context.versions(tables.TEXTS)
    samplings = []
    for teacher in (one for name in task_models.newest_teachers(context) for one in teachers(context.lake, name)):
        decides = {
            "sampling": SAMPLING_VERSION, **versions, "teacher": teacher.model_id, "layout": layout,
            "seed": settings.rounds.seed, "settings": settings.teacher_scoring.model_dump(mode="json"),
        }  # fmt: skip
        fingerprint = digests.of_json(decides, chars=32)
        sampling = Sampling(teacher, layout, fingerprint)
        if not context.unchanged(tables.TEACHER_SCORES, sampling.scope, fingerprint):
            samplings.append(sampling)
    steps = tuple(
        f"{'count' if one.teacher.is_external else 'score'} what {one.teacher.model_id} has not scored of its sample"
        for one in samplings
    )
    return Work(steps, tuple(samplings))


def teachers(lake: Lake, name: str) -> list[RegisteredModel]:
    """A task's newest teacher, and those of its newest student and of the one in force, where they are others."""
    found = [registry.newest_teacher(lake, name)]
    live = registry.live(lake).get(name)
    students = [registry.newest_model(lake, name, "student"), registry.model(lake, live.model_id) if live else None]
    for student in students:
        if student is not None and student.teacher_id not in (None, *(one.model_id for one in found)):
            found.append(registry.model(lake, student.teacher_id or ""))
    return found


def execute(context: Context, work: tuple[Sampling, ...]) -> Done | None:
    """Score group of buckets by group, a commit each; a restart finds the committed groups done.

    Of a teacher whose scores come from outside it tells how many are to be asked for.
    """
    counts: dict[str, int] = {}
    to_ask: dict[str, int] = {}
    told = []
    for sampling in work:
        teacher = sampling.teacher
        before = {} if teacher.is_external else teacher_scores.errors(context.lake, teacher.model_id)
        count = _score_pending(context, sampling)
        if not count:
            continue
        if teacher.is_external:
            name = f"{teacher.task}_to_ask"
            to_ask[name] = to_ask.get(name, 0) + count
            told.append(f"{teacher.model_id} has not scored {count:,} texts of its sample: {teacher.how_to_score}")
            context.reporter.say(f"  {told[-1]}")
            continue
        failed = teacher_scores.errors(context.lake, teacher.model_id)
        for name, many in (("texts", count), ("unscorable", sum(failed.values()) - sum(before.values()))):
            for key in (name, f"{teacher.task}_{name}"):
                counts[key] = counts.get(key, 0) + many
        for reason, many in failed.items():
            context.reporter.say(f"  {teacher.task}: {many:,} texts have no score: {reason}")
    if not counts and not to_ask:
        return None
    return Done(counts={"texts": 0} | counts | to_ask, headline="texts", reason="; ".join(told) or None)


def _score_pending(context: Context, sampling: Sampling) -> int:
    """Score what is left of a teacher's sample, where it can be asked here; how many texts that were."""
    lake, settings, teacher = context.lake, context.settings, sampling.teacher
    task, groups = settings.task(teacher.task), settings.teacher_scoring.commits
    version = lake.log.version(tables.TEACHER_SCORES)
    drawn_of = settings.teacher_scoring, settings.rounds.seed
    pending = unscored(lake, teacher, sample(lake, teacher, task, sampling.layout, *drawn_of)).localCheckpoint(
        eager=True
    )
    count = pending.count()
    if not count:
        _keep_looked_at(context, sampling, version)
    if not count or teacher.is_external:
        return count
    for line in left_out(pools(lake, teacher, task, sampling.layout), settings.teacher_scoring):
        context.reporter.say(f"  {teacher.task}: {line}")
    prepared = teacher_compute.prepare(lake, teacher, task, settings.teacher_scoring, context.reporter.say)
    for group in range(groups):
        own = pending.where(F.pmod("bucket", F.lit(groups)) == group)
        if own.isEmpty():
            continue  # committed before a restart
        # Only the last group's commit says that all were scored; without it the next run looks for what is left.
        stamp = context.stamp(sampling.fingerprint if group == groups - 1 else None)
        scores = partial(inference.teacher_scores, lake, teacher, task, own, prepared)
        turn = (tables.TEACHER_SCORES, stamp, version, sampling.scope, f"{teacher.model_id}/")
        if lake.catalog.left_to_spark(tables.TEACHER_SCORES) is None:
            told = scores(storage=lake.catalog.arrow.storage(tables.TEACHER_SCORES)).toArrow()
            version = lake.append_files_after(files_of(told), *turn).version
        else:
            version = lake.append_after(scores(), *turn).version
    smaller = halved(teacher_scores.computed_by(lake, teacher.model_id), prepared.compute)
    if smaller:
        asked = prepared.compute.tokens
        context.reporter.say(
            f"  {teacher.task}: batches of {asked:,} tokens did not fit the memory, of {smaller:,} did; the last bits "
            "may differ in another run: set teacher_scoring.batch_tokens"
        )
    return count


def halved(computed_by: Sequence[str], compute: Compute) -> int | None:
    """To how many tokens batches were halved by tasks that computed as asked for; None where none were."""
    asked = compute.named(compute.tokens).rpartition(" ")[0]
    found = (name.rpartition(" ") for name in computed_by)
    tokens = [int(many) for how, _, many in found if how == asked and int(many) < compute.tokens]
    return min(tokens, default=None)


def _keep_looked_at(context: Context, sampling: Sampling, version: int) -> None:
    """Keep that nothing of a sample is left to score, so that the next plan need not draw it again."""
    lake, name = context.lake, f"{sampling.teacher.model_id}/"
    if lake.catalog.left_to_spark(tables.TEACHER_SCORES) is None:
        stamp = context.stamp(sampling.fingerprint)
        lake.append_files_after([], tables.TEACHER_SCORES, stamp, version, sampling.scope, name)


def sample(
    lake: Lake, teacher: RegisteredModel, task: TaskSettings, layout: DateLayout, settings: TeacherScoringSettings,
    seed: int,
) -> DataFrame:  # fmt: skip
    """The distinct texts that a teacher is to score: its fine-tuning rows, and a hash draw of each part."""
    base = lake.read(tables.ROUND_SAMPLES).where(F.col("round_id") == teacher.model_id)
    parts = [base.select("text_hash", "text", "text_b")]
    for part in PARTS:
        pool = text_queries.distinct_texts(lake, teacher.task, task, layout, part)
        drawn = pool.orderBy(text_queries.drawn_by_hash("text_hash", seed), "text_hash")
        parts.append(drawn.limit(settings.texts(part)).select("text_hash", "text", "text_b"))
    first = [F.first(name).alias(name) for name in ("text", "text_b")]
    return reduce(DataFrame.unionByName, parts).groupBy("text_hash").agg(*first)


def pools(lake: Lake, teacher: RegisteredModel, task: TaskSettings, layout: DateLayout) -> dict[Part, int]:
    """Of how many distinct texts each part is drawn."""
    return {part: text_queries.distinct_texts(lake, teacher.task, task, layout, part).count() for part in PARTS}


def left_out(pools: Mapping[Part, int], settings: TeacherScoringSettings) -> list[str]:
    """In words, of which parts the draw is not the whole, and the setting that says so."""
    return [
        f"{settings.texts(part):,} of {count:,} distinct texts of the {_DAYS[part]} days are drawn "
        f"(teacher_scoring.{part}_texts)"
        for part, count in pools.items()
        if count > settings.texts(part)
    ]


def unscored(lake: Lake, teacher: RegisteredModel, texts: DataFrame) -> DataFrame:
    """Those of the texts that the teacher has not scored, with their bucket."""
    scored = lake.read(tables.TEACHER_SCORES).where(F.col("model_id") == teacher.model_id).select("text_hash")
    return texts.join(scored, "text_hash", "left_anti").withColumn("bucket", bucket())


JOB = Job(
    "score-teacher", plan, execute, reads=(tables.TEXTS, tables.MODELS, tables.PROMOTIONS, tables.ROUND_SAMPLES),
    writes=(tables.TEACHER_SCORES,),
)  # fmt: skip
