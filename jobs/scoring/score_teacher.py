"""`texts` -> `teacher_scores`: a bounded sample of distinct texts, each scored once, in whole buckets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.lake import queries, tables
from jobs.lake.commits import Scope
from jobs.lake.queries import Model
from jobs.runtime.job import Context, Done, Job, Work
from models.rounds.date_layout import PARTS, DateLayout, Part
from udfs.build import same_build
from udfs.teacher_scoring import TEACHER_SCORES_DDL, teacher_scorer


@dataclass(frozen=True, slots=True)
class Pending:
    """What one teacher still has to score."""

    teacher: Model
    texts: DataFrame  # text_hash, text, text_b, bucket
    count: int
    version: int  # of the scores that were there
    fingerprint: str


def plan(context: Context) -> Work:
    """Each task's newest teacher on its sample, less what it scored before."""
    layout = queries.date_layout(context.lake, context.settings.rounds)
    version = context.lake.version(tables.TEXTS)
    settings = context.settings.teacher_scoring.model_dump(mode="json")
    pending = []
    for name in context.tasks():
        teacher = queries.require_model(context.lake, name, "teacher", "run `pingti train-teacher` first")
        fingerprint = context.fingerprint(
            texts=version, teacher=teacher.model_id, layout=layout, settings=settings, seed=context.settings.rounds.seed
        )
        if context.unchanged(tables.TEACHER_SCORES, scope_of(teacher), fingerprint):
            continue
        found = _pending(context, name, teacher, layout, fingerprint)
        if found.count:
            pending.append(found)
    steps = tuple(f"score {one.count:,} distinct texts with {one.teacher.model_id}" for one in pending)
    return Work(steps, tuple(pending))


def scope_of(teacher: Model) -> Scope:
    """What a commit of a teacher's scores is about."""
    return Scope(column="model_id", values=(teacher.model_id,))


def execute(context: Context, work: Work) -> Done:
    """Score group of buckets by group, a commit each; a restart finds the committed groups done."""
    counts = {}
    for pending in work.payload:
        commits = context.settings.teacher_scoring.commits
        version = pending.version
        for group in range(commits):
            version = _score_group(context, pending, group, commits, version)
        counts[f"{pending.teacher.task}_texts"] = pending.count
    counts["texts"] = sum(counts.values())
    version = context.lake.version(tables.TEACHER_SCORES)
    return Done(counts=counts, outputs={"teacher_scores": version}, headline="texts")


def sample(context: Context, name: str, teacher: Model, layout: DateLayout) -> DataFrame:
    """The distinct texts that a task's teacher is to score: the round's base rows, and a hash draw of each part."""
    settings, task = context.settings, context.settings.task(name)
    base = context.lake.read(tables.ROUND_SAMPLES).where(F.col("round_id") == teacher.model_id)
    parts = [base.select("text_hash", "text", "text_b")]
    for part in PARTS:
        pool = queries.distinct_texts(context.lake, name, task, layout, part)
        drawn = pool.orderBy(queries.drawn_by_hash("text_hash", settings.rounds.seed), "text_hash")
        parts.append(drawn.limit(_quota(context, part)).select("text_hash", "text", "text_b"))
    first = [F.first(name).alias(name) for name in ("text", "text_b")]
    return reduce(DataFrame.unionByName, parts).groupBy("text_hash").agg(*first)


def _quota(context: Context, part: Part) -> int:
    quotas = context.settings.teacher_scoring
    return {
        "train": quotas.train_texts, "threshold": quotas.threshold_texts, "test": quotas.test_texts,
        "gate": quotas.gate_texts,
    }[part]  # fmt: skip


def _pending(context: Context, name: str, teacher: Model, layout: DateLayout, fingerprint: str) -> Pending:
    version = context.lake.version(tables.TEACHER_SCORES)
    scored = context.lake.read(tables.TEACHER_SCORES).where(F.col("model_id") == teacher.model_id).select("text_hash")
    wanted = sample(context, name, teacher, layout).join(scored, "text_hash", "left_anti")
    texts = wanted.withColumn("bucket", bucket()).localCheckpoint(eager=True)
    return Pending(teacher, texts, texts.count(), version, fingerprint)


def bucket() -> Column:
    """The bucket of a text: its hash modulo their number."""
    return F.pmod(F.xxhash64("text_hash"), F.lit(tables.EVERY_BUCKET)).cast("int")


def _score_group(context: Context, pending: Pending, group: int, commits: int, version: int) -> int:
    """Score a group and commit it, unless another run of the teacher has since this version; returns the next one."""
    teacher = pending.teacher
    mine = pending.texts.where(F.pmod("bucket", F.lit(commits)) == group)
    if mine.isEmpty():
        return version  # committed before the restart
    scores = scored_by(context, teacher, mine)
    # Only the last group's commit says that all were scored; without it the next run looks for what is left.
    stamp = context.stamp(pending.fingerprint if group == commits - 1 else None)
    turn = f"{teacher.model_id}/"
    return context.lake.append_after(scores, tables.TEACHER_SCORES, stamp, version, scope_of(teacher), turn).version


def scored_by(context: Context, teacher: Model, texts: DataFrame) -> DataFrame:
    """A teacher's scores of distinct texts (text_hash, text, text_b, bucket), whole buckets in fixed batches."""
    task = context.settings.task(teacher.task)
    pairs = task.kind == "pair"
    scorer = teacher_scorer(
        teacher.path, teacher.model_id, teacher.digests["content"], batch=context.settings.teacher_scoring.batch,
        projection=task.teacher.projection, pairs=pairs,
    )  # fmt: skip
    columns = ["text_hash", "bucket", "text", *(["text_b"] if pairs else [])]
    tasks = context.spark.sparkContext.defaultParallelism
    whole = texts.repartition(tasks, "bucket").sortWithinPartitions("bucket", F.length("text"), "text_hash")
    return whole.select(*columns).mapInArrow(same_build(scorer), TEACHER_SCORES_DDL)


JOB = Job("score_teacher", plan, execute)
