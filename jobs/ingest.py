"""Files of texts -> `raw_texts`, or `rejected` with a reason. The same files again add nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
from pyspark import StorageLevel
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs.lake import tables
from jobs.runtime.job import Context, Done, Job, Work
from models import digests
from models.errors import DataError, SettingsError
from udfs.reading import RANGES_DDL, RECORD_DDL, record_reader
from udfs.sources import Survey, list_files, survey

_SURVEY_DDL = "source_name string, path string, sha256 string, size bigint, records bigint"


@dataclass(frozen=True, slots=True)
class NewFile:
    """A surveyed file that was not loaded before; `load_id` names its bytes and how they are read."""

    source_name: str
    survey: Survey
    load_id: str


def plan(context: Context) -> Work:
    """Survey the sources' files and leave out those whose every record is in the tables already."""
    sources = context.settings.sources
    if not sources:
        raise SettingsError("sources: the settings name none; add one under sources:, as docs/settings.md shows")
    listed = [(name, path) for name, source in sources.items() for path in list_files(source.path)]
    if not listed:
        paths = ", ".join(source.path for source in sources.values())
        raise DataError(f"sources: no file at {paths}; mend sources.*.path, or bring the files")
    kinds = {name: source.format for name, source in sources.items()}

    def survey_files(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            for row in batch.to_pylist():
                found = survey(row["path"], kinds[row["source_name"]])
                values = {"source_name": row["source_name"], "path": found.path, "sha256": found.sha256}
                yield pa.RecordBatch.from_pylist([values | {"size": found.size, "records": found.records}])

    files = context.spark.createDataFrame(listed, "source_name string, path string").repartition(len(listed))
    rows = files.mapInArrow(survey_files, _SURVEY_DDL).orderBy("source_name", "path").collect()
    names = [digests.of_json([row["sha256"], sources[row["source_name"]].digest], chars=32) for row in rows]
    loaded = _loaded(context, names)
    new = []
    for row, load_id in zip(rows, names, strict=True):
        if loaded.get(load_id, 0) < row["records"]:
            new.append(
                NewFile(
                    row["source_name"],
                    Survey(row["path"], row["sha256"], row["size"], row["records"]),
                    load_id,
                )
            )
            loaded[load_id] = row["records"]  # the same bytes under a second name are the same load
    return Work(tuple(f"load {file.survey.records:,} records of {file.survey.path}" for file in new), tuple(new))


def _loaded(context: Context, load_ids: list[str]) -> dict[str, int]:
    """How many records of these loads the tables hold. Delta's statistics spare it the files of all other loads."""
    own = F.col("load_id").isin(load_ids)
    both = [
        context.lake.read(table).where(own).groupBy("load_id").count() for table in (tables.RAW_TEXTS, tables.REJECTED)
    ]
    counted = both[0].unionByName(both[1]).groupBy("load_id").agg(F.sum("count").alias("rows"))
    return {row["load_id"]: row["rows"] for row in counted.collect()}


def execute(context: Context, work: Work) -> Done:
    """Read every record once; good ones to `raw_texts`, others to `rejected`; their sum must be what was counted."""
    files: tuple[NewFile, ...] = work.payload
    records = _read(context, files).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        judged = mark_duplicates(records, context.lake.read(tables.RAW_TEXTS))
        judged = judged.persist(StorageLevel.MEMORY_AND_DISK)
        judged_counts = {
            row["bad"]: row["count"]
            for row in judged.groupBy(F.col("reason").isNotNull().alias("bad")).count().collect()
        }
        counted = sum(file.survey.records for file in files)
        good, bad = judged_counts.get(False, 0), judged_counts.get(True, 0)
        _check(context, counted, good, bad)
        load = digests.of_json(sorted(file.load_id for file in files), chars=32)
        arrived = judged.withColumn("arrived_dt", F.current_date()).withColumn("run_id", F.lit(context.run_id))
        # Rejected first: a load counts as done by its raw texts; a restart between the two finds the rejected there.
        kept = context.lake.append(
            _rejected(context, arrived), tables.REJECTED, context.stamp(), once=f"{load}/rejected"
        )
        counts = {"read": counted, "raw": good, "rejected": bad}
        stamp = context.stamp(counts=counts)
        written = context.lake.append(_raw(arrived), tables.RAW_TEXTS, stamp, once=f"{load}/raw")
        judged.unpersist()
    finally:
        records.unpersist()
    return Done(
        counts=counts,
        outputs={"raw_texts": written.version, "rejected": kept.version},
        headline="read",
    )


def _read(context: Context, files: tuple[NewFile, ...]) -> DataFrame:
    settings = context.settings
    ranges = []
    for file in files:
        whole = settings.sources[file.source_name].format != "jsonl"
        step = max(file.survey.size, 1) if whole else settings.ingest.split_bytes
        for first in range(0, max(file.survey.size, 1), step):
            last = min(first + step, file.survey.size)
            ranges.append((file.source_name, file.survey.path, file.load_id, first, last))
    frame = context.spark.createDataFrame(ranges, RANGES_DDL).repartition(len(ranges))
    return frame.mapInArrow(record_reader(dict(settings.sources), settings.ingest), RECORD_DDL)


def mark_duplicates(records: DataFrame, raw_texts: DataFrame) -> DataFrame:
    """Records with the reason `duplicate_id` where their id came earlier: in this load, or in another one."""
    order = Window.partitionBy("text_id").orderBy("file", "position")
    good = records.where("reason is null").withColumn("nth", F.row_number().over(order))
    loads = F.broadcast(records.select(F.col("load_id").alias("this_load")).distinct())
    # Rows of this very load may be there from a run that was killed after its commit; they are not earlier ones.
    before = raw_texts.join(loads, raw_texts["load_id"] == loads["this_load"], "left_anti").select("text_id")
    known = good.join(before.withColumn("known", F.lit(True)), "text_id", "left")
    again = (F.col("nth") > 1) | F.col("known").isNotNull()
    marked = known.withColumns(
        {
            "reason": F.when(again, F.lit("duplicate_id")),
            "detail": F.when(again, F.lit("a record with this id came earlier")),
            "raw": F.when(again, F.col("text").cast("binary")),
        }
    )
    return marked.select(*records.columns).unionByName(records.where("reason is not null"))


def _check(context: Context, counted: int, good: int, bad: int) -> None:
    if counted != good + bad:
        raise DataError(
            f"ingest: the files hold {counted} records by their bytes, {good} good + {bad} rejected were parsed; "
            "nothing was loaded: a file changed under way, or its quotes are not balanced"
        )
    limit = context.settings.ingest.max_rejected_share
    if bad > limit * max(counted, 1):
        raise DataError(
            f"ingest: {bad} of {counted} records are rejected, over ingest.max_rejected_share {limit}; nothing was "
            "loaded: look at the files with --plan and the mapping, or raise the limit"
        )


def _raw(judged: DataFrame) -> DataFrame:
    good = judged.where("reason is null").withColumn("dt", F.to_date("event_time"))
    return good.withColumn("text_b", F.lit(None).cast("string")).select(*tables.RAW_TEXTS.names)


def _rejected(context: Context, judged: DataFrame) -> DataFrame:
    there = context.lake.read(tables.REJECTED).select("load_id", "file", "position")
    bad = judged.where("reason is not null").select(*tables.REJECTED.names)
    return bad.join(there, ["load_id", "file", "position"], "left_anti").select(*tables.REJECTED.names)


JOB = Job("ingest", plan, execute, witness=tables.RAW_TEXTS)
