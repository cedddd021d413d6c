"""Files of texts -> `raw_texts`, or `rejected` with a reason. The same files again add nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from jobs.ingestion.load_plan import NewFile, loaded, plan
from jobs.lake import tables
from jobs.lake.store import Lake
from jobs.runtime.context import Context
from jobs.runtime.executors import map_batches
from jobs.runtime.job import Done, Job
from models.errors import ConflictError, DataError, RefusedError
from udfs.readers.reading import RANGES_DDL, RECORDS, record_reader
from udfs.readers.sources import IngestSettings, SourceSettings


def execute(context: Context, files: tuple[NewFile, ...]) -> Done:
    """Read every record once; good ones to `raw_texts`, others to `rejected`; their sum must be what was counted."""
    lake, settings = context.lake, context.settings
    versions = {table: lake.log.version(table) for table in (tables.REJECTED, tables.RAW_TEXTS)}
    _check_still_new(lake, files)
    records = _read(context.spark, settings.sources, settings.ingest, files).persist(StorageLevel.MEMORY_AND_DISK)
    marked = mark_duplicates(records, lake.read(tables.RAW_TEXTS)).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        by_outcome = marked.groupBy(F.col("reason").isNotNull().alias("bad")).count().collect()
        rows = {row["bad"]: row["count"] for row in by_outcome}
        good, bad = rows.get(False, 0), rows.get(True, 0)
        _check(settings.ingest, files, good, bad)
        arrived = marked.withColumn("arrived_dt", F.current_date()).withColumn("run_id", F.lit(context.run_id))
        # Each commit tells what a run that dies right after it has added. Rejected first: a file counts as loaded by
        # all its rows, and one with nothing but rejected rows is complete already.
        known = sum(file.known for file in files)
        first = {"read": bad - known, "raw": 0, "rejected": bad - known}
        counts = first | {"read": good + bad - known, "raw": good}
        rejected = _rejected(lake, arrived)
        lake.append_after(rejected, tables.REJECTED, context.stamp(counts=first), versions[tables.REJECTED])
        lake.append_after(_raw(arrived), tables.RAW_TEXTS, context.stamp(counts=counts), versions[tables.RAW_TEXTS])
    finally:
        marked.unpersist()
        records.unpersist()
    whole = ", ".join(f"{file.survey.path} ({file.survey.refused})" for file in files if file.survey.refused)
    if not whole:
        return Done(counts=counts, headline="read")
    reason = f"set aside whole: {whole}"
    error = RefusedError(f"ingest: {reason}; all else is loaded. Mend the files, or take them away")
    return Done(counts=counts, headline="read", reason=reason, error=error)


def _check_still_new(lake: Lake, files: Sequence[NewFile]) -> None:
    """Nobody loaded of these files since they were planned; whoever does from now on takes this run's turn."""
    now = loaded(lake, [file.load_id for file in files])
    if taken := [file.survey.path for file in files if now.get(file.load_id, 0) != file.known]:
        raise ConflictError(
            f"ingest: another run loaded {', '.join(taken)} meanwhile; nothing was loaded, run it again"
        )


def _read(
    spark: SparkSession, sources: Mapping[str, SourceSettings], settings: IngestSettings, files: Sequence[NewFile]
) -> DataFrame:
    """The records of the files, read in ranges by the executors."""
    ranges = []
    for file in files:
        size, path = file.survey.size, file.survey.path
        splits = sources[file.source_name].splits(path)
        step = settings.split_bytes if splits else max(size, 1)
        if not file.survey.refused:
            firsts = range(0, max(size, 1), step)
            ranges += [(file.source_name, path, file.load_id, at, min(at + step, size)) for at in firsts]
    refused = _refused(spark, files)
    if not ranges:
        return refused
    frame = spark.createDataFrame(ranges, RANGES_DDL).repartition(len(ranges))
    return map_batches(frame, record_reader(dict(sources), settings), RECORDS).unionByName(refused)


def _refused(spark: SparkSession, files: Sequence[NewFile]) -> DataFrame:
    """One record for each file that is refused whole. Its bytes stay where they are."""
    rows = [
        {
            "file": file.survey.path, "position": 0, "load_id": file.load_id, "reason": file.survey.refused,
            "detail": file.survey.detail, "sha256": file.survey.sha256, "length": file.survey.size,
        }
        for file in files
        if file.survey.refused
    ]  # fmt: skip
    return spark.createDataFrame(rows, from_arrow_schema(RECORDS))


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


def _check(settings: IngestSettings, files: Sequence[NewFile], good: int, bad: int) -> None:
    counted = sum(file.survey.records for file in files)
    if counted != good + bad:
        raise DataError(
            f"ingest: the files hold {counted} records by their bytes, {good} good + {bad} rejected were parsed; "
            "nothing was loaded: a file changed under way"
        )
    # A file refused whole is told by its name and ends the run with its own error; it is no share of anything.
    whole = sum(1 for file in files if file.survey.refused)
    if bad - whole > settings.max_rejected_share * max(counted - whole, 1):
        raise DataError(
            f"ingest: {bad - whole} of {counted - whole} records are rejected, over ingest.max_rejected_share "
            f"{settings.max_rejected_share}; nothing was loaded: look at the files with --plan and the mapping, or "
            "raise the limit"
        )


def _raw(marked: DataFrame) -> DataFrame:
    good = marked.where("reason is null").withColumn("dt", F.to_date("event_time"))
    return good.select(*tables.RAW_TEXTS.names)


def _rejected(lake: Lake, marked: DataFrame) -> DataFrame:
    there = lake.read(tables.REJECTED).select("load_id", "file", "position")
    bad = marked.where("reason is not null").select(*tables.REJECTED.names)
    return bad.join(there, ["load_id", "file", "position"], "left_anti").select(*tables.REJECTED.names)


TABLES = (tables.REJECTED, tables.RAW_TEXTS)
JOB = Job("ingest", plan, execute, writes=TABLES, count_tables=TABLES)
