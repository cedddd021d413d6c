"""Files of texts -> `raw_texts`, or `rejected` with a reason; `loads` keeps what became of each file.

The same files again add nothing, and a record that was delivered before is counted and not kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import from_arrow_schema

from jobs.ingestion import load_checks, repetitions
from jobs.ingestion.file_survey import task_count
from jobs.ingestion.load_plan import COMMITTED, Batch, LoadPlan, NewFile, plan, plan_batch
from jobs.ingestion.load_rows import batch_rows
from jobs.lake import erasing, loads, tables
from jobs.lake.store import Lake
from jobs.runtime.context import Context
from jobs.runtime.executors import map_batches
from jobs.runtime.job import Done, Job
from models.errors import PingtiError, RefusedError
from udfs.readers.reading import RANGES_DDL, RECORDS, record_reader
from udfs.readers.sources import RecordLimits, SourceSettings

COUNTS = ("read", "raw", "rejected", "repeated")


@dataclass(frozen=True, slots=True)
class Arrival:
    """When a run's records arrive: the moment, and its day in the session's zone."""

    moment: datetime
    zone: str

    @property
    def day(self) -> date:
        """The `arrived_dt` of its rows."""
        return self.moment.astimezone(ZoneInfo(self.zone)).date()


def execute(context: Context, work: LoadPlan) -> Done | None:
    """Load batch by batch: of each, every record becomes a raw text, a rejected one, or is counted as repeated."""
    counts: Counter[str] = Counter()
    refused: list[str] = []
    did = 0
    for batch in _batches(context, work):
        if batch.files or batch.done or batch.gone:
            try:
                counts += load(context, batch)
            except PingtiError as failure:
                if not did:
                    raise
                raise type(failure)(f"{failure}. That is of this batch: {did} before it are loaded") from None
            did += 1
        refused += [f"{file.survey.path} ({file.survey.refused})" for file in batch.files if file.survey.refused]
    told = {name: counts[name] for name in COUNTS}
    if not refused:
        return Done(counts=told, headline="read") if did else None
    reason = f"set aside whole: {', '.join(refused)}"
    error = RefusedError(
        f"ingest: {reason}; all else is loaded. Mend the files, or take them away; what is file_changed on purpose is "
        "taken by --replace-file NAME"
    )
    return Done(counts=told, headline="read", reason=reason, error=error)


def _batches(context: Context, work: LoadPlan) -> Iterator[Batch]:
    """The batch that was planned, or batches that are surveyed when their turn comes."""
    if work.batch is not None:
        yield work.batch
    settings = context.settings
    expected, step = {file.path for file in work.names}, settings.ingest.batch_files
    for at in range(0, len(work.names), step):
        yield plan_batch(context.lake, settings.sources, work.names[at : at + step], expected)


def load(context: Context, batch: Batch) -> Counter[str]:
    """Load a batch, in a commit of each table; what was read, and what became of it."""
    arrival = Arrival(datetime.now(UTC), context.settings.session.timezone)
    outcomes: list[tuple[NewFile, Counter[str]]] = []
    if batch.files:
        context.start_session()
        load_checks.still_new(context.lake, batch.files)
        outcomes = _load_records(context, batch, arrival)
    rows = batch_rows(batch, outcomes, context.run_id, arrival.day)
    counts = Counter({name: sum(row[name] for row in rows) for name in loads.COUNTS})
    counts["read"] = counts.pop("records")
    stamp = context.stamp(counts={name: counts[name] for name in COUNTS})
    context.lake.append_rows_after(tables.LOADS, rows, stamp, batch.versions[tables.LOADS.name])
    return counts


def _load_records(context: Context, batch: Batch, arrival: Arrival) -> list[tuple[NewFile, Counter[str]]]:
    """Read and commit the records of a batch's files; what became of each file's.

    Rejected ones first: a load whose raw texts are there has all its rows.
    """
    lake, settings = context.lake, context.settings
    limits = settings.ingest.limits(arrival.moment)
    records = _new_records(lake, settings.sources, settings.ingest.split_bytes, limits, batch.files)
    records = records.persist(StorageLevel.MEMORY_AND_DISK)
    days = repetitions.days_of_ids(records)
    earlier = repetitions.earlier_texts(lake.read(tables.RAW_TEXTS), days, settings.ingest.same_id_days)
    marked = repetitions.mark(records, earlier, erasing.erased_texts(lake)).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        counts: dict[str, Counter[str]] = {}
        for row in marked.groupBy("load_id", "outcome").count().collect():
            counts.setdefault(row["load_id"], Counter())[row["outcome"]] = row["count"]
        outcomes = [(file, counts.get(file.load_id, Counter())) for file in batch.files]
        load_checks.all_read(outcomes)
        load_checks.few_rejected(outcomes, settings.ingest.max_rejected_share)
        load_checks.unchanged(lake, settings.sources, batch.files)
        stamped = marked.withColumns({"arrived_dt": F.lit(arrival.day), "run_id": F.lit(context.run_id)})
        for table, outcomes_of in (
            (tables.REJECTED, (repetitions.REJECTED, repetitions.ERASED)),
            (tables.RAW_TEXTS, (repetitions.RAW,)),
        ):
            rows = stamped.where(F.col("outcome").isin(*outcomes_of)).withColumn("dt", F.to_date("event_time"))
            lake.append_after(rows.select(*table.names), table, context.stamp(), batch.versions[table.name])
    finally:
        marked.unpersist()
        records.unpersist()
    for _, count in outcomes:
        count[repetitions.REJECTED] += count.pop(repetitions.ERASED, 0)
    return outcomes


def _new_records(
    lake: Lake, sources: Mapping[str, SourceSettings], split_bytes: int, limits: RecordLimits, files: Sequence[NewFile]
) -> DataFrame:
    """The records of the files, but for those that a run that was killed has set aside: they stay as they are."""
    records = _read(lake.spark, sources, split_bytes, limits, files)
    again = [file.load_id for file in files if file.rejected]
    if not again:
        return records
    there = lake.read(tables.REJECTED).where(F.col("load_id").isin(again))
    return records.join(there.select("load_id", "file", "position"), ["load_id", "file", "position"], "left_anti")


def _read(
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


JOB = Job("ingest", plan, execute, writes=COMMITTED, count_tables=(tables.LOADS,), needs_session=False)
