"""Students' and teachers' scores of a frame of texts, by the executors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce

import pyarrow as pa
from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.lake import registry, tables
from jobs.lake.registry import CONTENT, RegisteredModel
from jobs.lake.store import Lake
from jobs.runtime.executors import gpus_of_the_task, map_batches
from jobs.scoring.teacher_compute import Prepared
from models.serving.engine import EngineKind
from models.tasks import TaskSettings
from udfs.data_files import FILES, to_files
from udfs.storage import Storage
from udfs.student_scoring import STORED, Served, scores_schema, student_scorer
from udfs.teacher_scoring import TEACHER_SCORES, teacher_scorer


def student_scores(
    lake: Lake, texts: DataFrame, students: Sequence[RegisteredModel], wanted: Mapping[str, Column],
    engine: EngineKind, keep: pa.Schema = STORED,
) -> DataFrame:  # fmt: skip
    """Scores of the texts, a row a text and student that wants it; one read of the texts for all students.

    Args:
        lake: Where the students lie.
        texts: With text, text_b and the columns of `keep`.
        students: Who scores.
        wanted: By model id, which rows are a student's own.
        engine: Which engine.
        keep: The columns of the texts to keep.
    """
    served = [
        Served(student.model_id, registry.files(lake, student), f"wanted_{i}") for i, student in enumerate(students)
    ]
    flags = {one.wanted: wanted[one.model_id] for one in served}
    columns = dict.fromkeys([*keep.names, "text", "text_b", *flags])
    flagged = texts.withColumns(flags).select(*columns).where(reduce(Column.__or__, [F.col(name) for name in flags]))
    return map_batches(flagged, student_scorer(served, engine, keep), scores_schema(keep))


def teacher_scores(
    lake: Lake, teacher: RegisteredModel, task: TaskSettings, texts: DataFrame, prepared: Prepared, *,
    storage: Storage | None = None,
) -> DataFrame:  # fmt: skip
    """A teacher's scores of distinct texts (text_hash, text, text_b, bucket), whole buckets in batches of like length.

    Args:
        lake: Its session runs the tasks.
        teacher: Who scores.
        task: Its task's settings.
        texts: The texts.
        prepared: By what it scores, and where.
        storage: Where the tasks write the scores to files, a bucket each; the frame tells of these (`FILES`) then.
    """
    pairs = task.kind == "pair"
    place = prepared.place
    scorer = teacher_scorer(
        prepared.files, teacher.model_id, teacher.digests[CONTENT], prepared.compute,
        projection=task.teacher.projection, pairs=pairs, gpus=gpus_of_the_task, threads=place.threads,
    )  # fmt: skip
    columns = ["text_hash", "bucket", "text", *(["text_b"] if pairs else [])]
    whole = texts.repartition(place.tasks or lake.spark.sparkContext.defaultParallelism, "bucket").sortWithinPartitions(
        "bucket", F.length("text"), "text_hash"
    )
    if storage is None:
        return map_batches(whole.select(*columns), scorer, TEACHER_SCORES, place.request)
    distinct = ("text_hash", "logits.list.element", "cls.list.element")
    return map_batches(
        whole.select(*columns), to_files(scorer, storage, ("model_id", "bucket"), distinct), FILES, place.request
    )


def bucket() -> Column:
    """The bucket of a text: its hash modulo their number."""
    return F.pmod(F.xxhash64("text_hash"), F.lit(tables.BUCKETS)).cast("int")
