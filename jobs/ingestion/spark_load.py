"""Records of a load by Spark: read by executors, held to earlier ones in joins, appended frame by frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from jobs.ingestion import repetitions
from jobs.ingestion.arrival import Arrival
from jobs.ingestion.file_survey import task_count
from jobs.ingestion.load_plan import NewFile
from jobs.lake import erasing, tables
from jobs.lake.store import Lake
from jobs.lake.tables import Table
from jobs.runtime.context import Context
from jobs.runtime.executors import map_batches
from udfs.readers.reading import RANGES_DDL, RECORDS, record_reader, refused_records
from udfs.readers.sources import RecordLimits, SourceSettings


@dataclass(frozen=True, slots=True)
class MarkedFrame:
    """Records with their outcome, as a frame that executors hold."""

    context: Context
    rows: DataFrame

    def counts(self) -> dict[str, Counter[str]]:
        """How many records of each load have which outcome."""
        found: dict[str, Counter[str]] = {}
        for row in self.rows.groupBy("load_id", "outcome").count().collect():
            found.setdefault(row["load_id"], Counter())[row["outcome"]] = row["count"]
        return found

    def append(self, table: Table, outcomes: Sequence[str], arrival: Arrival, version: int) -> None:
        """Add the records with one of the outcomes to a table, in a commit after `version`."""
        stamped = self.rows.where(F.col("outcome").isin(*outcomes)).withColumns(
            {
                "arrived_dt": F.lit(arrival.day), "run_id": F.lit(self.context.run_id),
                "dt": F.to_date("event_time"),
            }
        )  # fmt: skip
        self.context.lake.append_after(stamped.select(*table.names), table, self.context.stamp(), version)


@contextmanager
def marked_records(context: Context, files: Sequence[NewFile], arrival: Arrival) -> Iterator[MarkedFrame]:
    """The files' records with their outcomes."""
    lake, settings = context.lake, context.settings.ingest
    limits = settings.limits(arrival.moment)
    records = _new_records(lake, context.settings.sources, settings.split_bytes, limits, files)
    records = records.persist(StorageLevel.MEMORY_AND_DISK)
    days = repetitions.days_of_ids(records)
    earlier = repetitions.earlier_texts(lake.read(tables.RAW_TEXTS), days, settings.same_id_days)
    marked = repetitions.mark(records, earlier, erasing.erased_texts(lake)).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        yield MarkedFrame(context, marked)
    finally:
        marked.unpersist()
        records.unpersist()


def _new_records(
    lake: Lake, sources: Mapping[str, SourceSettings], split_bytes: int, limits: RecordLimits, files: Sequence[NewFile]
) -> DataFrame:
    """The records of the files, but for those that a run that was killed has set aside: they stay as they are."""
    records = read_files(lake.spark, sources, split_bytes, limits, files)
    again = [file.load_id for file in files if file.rejected]
    if not again:
        return records
    there = lake.read(tables.REJECTED).where(F.col("load_id").isin(again))
    return records.join(there.select("load_id", "file", "position"), ["load_id", "file", "position"], "left_anti")


def read_files(
    spark: SparkSession, sources: Mapping[str, SourceSettings], split_bytes: int, limits: RecordLimits,
    files: Sequence[NewFile],
) -> DataFrame:  # fmt: skip
    """The records of the files, read in ranges by the executors."""
    ranges = []
    for file in files:
        name, survey = file.listed.source_name, file.survey
        end = max(survey.size, 1)
        step = split_bytes if sources[name].splits(survey.path) else end
        if not survey.refused:
            firsts = range(survey.first, end, step)
            ranges += [(name, survey.path, file.load_id, at, min(at + step, end), survey.size) for at in firsts]
    refused = _refused(spark, files)
    if not ranges:
        return refused
    tasks = task_count(len(ranges), sum(last - at for *_, at, last, _ in ranges), split_bytes)
    frame = spark.createDataFrame(ranges, RANGES_DDL).repartition(tasks)
    return map_batches(frame, record_reader(dict(sources), limits), RECORDS).unionByName(refused)


def _refused(spark: SparkSession, files: Sequence[NewFile]) -> DataFrame:
    rows = refused_records((file.load_id, file.survey) for file in files)
    return spark.createDataFrame(rows.to_pylist(), from_arrow_schema(RECORDS))
