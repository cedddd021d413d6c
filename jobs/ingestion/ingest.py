"""Files of texts -> `raw_texts`, or `rejected` with a reason. The same files again add nothing."""

from __future__ import annotations

from collections.abc import Sequence

from pyspark import StorageLevel
from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from jobs.ingestion.load_plan import NewFile, loaded, plan
from jobs.lake import tables
from jobs.runtime.job import Context, Done, Job, Work
from models.errors import ConflictError, DataError, RefusedError
from udfs.build import same_build
from udfs.readers.reading import RANGES_DDL, RECORD_DDL, record_reader


def execute(context: Context, work: Work) -> Done:
    """Read every record once; good ones to `raw_texts`, others to `rejected`; their sum must be what was counted."""
    files: tuple[NewFile, ...] = work.payload
    turns = {table: context.lake.version(table) for table in (tables.REJECTED, tables.RAW_TEXTS)}
    _check_still_new(context, files)
    records = _read(context, files).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        judged = mark_duplicates(records, context.lake.read(tables.RAW_TEXTS))
        judged = judged.persist(StorageLevel.MEMORY_AND_DISK)
        judged_counts = {
            row["bad"]: row["count"]
            for row in judged.groupBy(F.col("reason").isNotNull().alias("bad")).count().collect()
        }
        good, bad = judged_counts.get(False, 0), judged_counts.get(True, 0)
        _check(context, files, good, bad)
        arrived = judged.withColumn("arrived_dt", F.current_date()).withColumn("run_id", F.lit(context.run_id))
        # Each commit tells what a run that dies right after it has added. Rejected first: a file counts as loaded by
        # all its rows, and one with nothing but rejected rows is complete already.
        known = sum(file.known for file in files)
        first = {"read": bad - known, "raw": 0, "rejected": bad - known}
        kept = context.lake.append_after(
            _rejected(context, arrived), tables.REJECTED, context.stamp(counts=first), turns[tables.REJECTED]
        )
        counts = first | {"read": good + bad - known, "raw": good}
        written = context.lake.append_after(
            _raw(arrived), tables.RAW_TEXTS, context.stamp(counts=counts), turns[tables.RAW_TEXTS]
        )
        judged.unpersist()
    finally:
        records.unpersist()
    whole = ", ".join(f"{file.survey.path} ({file.survey.refused})" for file in files if file.survey.refused)
    reason = f"set aside whole: {whole}" if whole else None
    return Done(
        counts=counts,
        outputs={"raw_texts": written.version, "rejected": kept.version},
        headline="read",
        reason=reason,
        error=RefusedError(f"ingest: {reason}; all else is loaded. Mend the files, or take them away")
        if reason
        else None,
    )


def _check_still_new(context: Context, files: Sequence[NewFile]) -> None:
    """Nobody loaded of these files since they were planned; whoever does from now on takes this run's turn."""
    now = loaded(context, [file.load_id for file in files])
    if taken := [file.survey.path for file in files if now.get(file.load_id, 0) != file.known]:
        raise ConflictError(
            f"ingest: another run loaded {', '.join(taken)} meanwhile; nothing was loaded, run it again"
        )


def _read(context: Context, files: Sequence[NewFile]) -> DataFrame:
    settings = context.settings
    ranges = []
    for file in files:
        size, path = file.survey.size, file.survey.path
        splits = settings.sources[file.source_name].splits(path)
        step = settings.ingest.split_bytes if splits else max(size, 1)
        if not file.survey.refused:
            firsts = range(0, max(size, 1), step)
            ranges += [(file.source_name, path, file.load_id, at, min(at + step, size)) for at in firsts]
    refused = _refused(context, files)
    if not ranges:
        return refused
    frame = context.spark.createDataFrame(ranges, RANGES_DDL).repartition(len(ranges))
    reader = same_build(record_reader(dict(settings.sources), settings.ingest))
    return frame.mapInArrow(reader, RECORD_DDL).unionByName(refused)


def _refused(context: Context, files: Sequence[NewFile]) -> DataFrame:
    """One record for each file that is refused whole. Its bytes stay where they are."""
    rows = []
    for file in files:
        one = file.survey
        if one.refused:
            told = {"reason": one.refused, "detail": one.detail, "sha256": one.sha256, "length": one.size}
            rows.append({"file": one.path, "position": 0, "load_id": file.load_id, **told})
    return context.spark.createDataFrame(rows, RECORD_DDL)


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


def _check(context: Context, files: Sequence[NewFile], good: int, bad: int) -> None:
    counted = sum(file.survey.records for file in files)
    if counted != good + bad:
        raise DataError(
            f"ingest: the files hold {counted} records by their bytes, {good} good + {bad} rejected were parsed; "
            "nothing was loaded: a file changed under way"
        )
    # A file refused whole is told by its name and ends the run with its own error; it is no share of anything.
    whole = sum(1 for file in files if file.survey.refused)
    limit = context.settings.ingest.max_rejected_share
    if bad - whole > limit * max(counted - whole, 1):
        raise DataError(
            f"ingest: {bad - whole} of {counted - whole} records are rejected, over ingest.max_rejected_share {limit}; "
            "nothing was loaded: look at the files with --plan and the mapping, or raise the limit"
        )


def _raw(judged: DataFrame) -> DataFrame:
    good = judged.where("reason is null").withColumn("dt", F.to_date("event_time"))
    return good.select(*tables.RAW_TEXTS.names)


def _rejected(context: Context, judged: DataFrame) -> DataFrame:
    there = context.lake.read(tables.REJECTED).select("load_id", "file", "position")
    bad = judged.where("reason is not null").select(*tables.REJECTED.names)
    return bad.join(there, ["load_id", "file", "position"], "left_anti").select(*tables.REJECTED.names)


JOB = Job("ingest", plan, execute, witnesses=(tables.REJECTED, tables.RAW_TEXTS))
