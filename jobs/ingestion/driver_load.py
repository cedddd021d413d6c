"""Records of a load by the driver alone, without a session: for loads that are small beside the start of one.

The rules are those of `spark_load`; both give equal rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from jobs.ingestion import repetitions
from jobs.ingestion.arrival import Arrival
from jobs.ingestion.file_survey import are_few
from jobs.ingestion.load_plan import NewFile
from jobs.lake import erasing, tables
from jobs.lake.driver_share import DRIVER_BYTES, DRIVER_ROWS
from jobs.lake.store import Lake
from jobs.lake.tables import Table
from jobs.runtime.context import Context
from udfs.readers.files import is_gzip
from udfs.readers.reading import RECORDS, read_range, refused_records
from udfs.readers.sources import SourceSettings


def fits(context: Context, files: Sequence[NewFile]) -> bool:
    """Whether the driver reads and commits these files by itself."""
    settings = context.settings
    if any(context.lake.catalog.left_to_spark(table) is not None for table in (tables.RAW_TEXTS, tables.REJECTED)):
        return False
    if not are_few([file.listed for file in files]) or sum(file.survey.records for file in files) > DRIVER_ROWS:
        return False
    sizes = (_expanded(settings.sources[file.listed.source_name], file) for file in files)
    return sum(sizes) <= settings.ingest.driver_bytes


def _expanded(source: SourceSettings, file: NewFile) -> int:
    """Bytes of a file's records, about: what is compressed takes some times its size."""
    compressed = source.format == "parquet" or is_gzip(file.survey.path)
    return (file.survey.size - file.survey.first) * (8 if compressed else 1)


@dataclass(frozen=True, slots=True)
class MarkedRows:
    """Records with their outcome, as the driver holds them."""

    context: Context
    rows: pa.Table

    def counts(self) -> dict[str, Counter[str]]:
        """How many records of each load have which outcome."""
        found: dict[str, Counter[str]] = {}
        for row in self.rows.group_by(["load_id", "outcome"]).aggregate([([], "count_all")]).to_pylist():
            found.setdefault(row["load_id"], Counter())[row["outcome"]] = row["count_all"]
        return found

    def append(self, table: Table, outcomes: Sequence[str], arrival: Arrival, version: int) -> None:
        """Add the records with one of the outcomes to a table, in a commit after `version`."""
        kept = self.rows.filter(pc.is_in(self.rows["outcome"], pa.array(outcomes, pa.string())))
        made = {
            "arrived_dt": pa.repeat(pa.scalar(arrival.day, pa.date32()), kept.num_rows),
            "run_id": pa.repeat(pa.scalar(self.context.run_id), kept.num_rows),
            "dt": repetitions.local_days(kept["event_time"], arrival.zone),
        }
        columns = [made[name] if name in made else kept[name] for name in table.names]
        rows = pa.table(columns, names=list(table.names)).cast(table.columns)
        self.context.lake.append_rows_after(table, rows, self.context.stamp(), version)


@contextmanager
def marked_records(context: Context, files: Sequence[NewFile], arrival: Arrival) -> Iterator[MarkedRows]:
    """The files' records with their outcomes."""
    lake, settings = context.lake, context.settings.ingest
    records = _without_known(lake, _records(context, files, arrival), files)
    good = records.filter(pc.and_(pc.is_null(records["reason"]), pc.is_valid(records["source_id"])))
    days: list[date] = repetitions.local_days(good["event_time"], arrival.zone).unique().to_pylist()
    earlier = _earlier(lake, repetitions.days_near(days, settings.same_id_days), good["text_id"])
    yield MarkedRows(context, repetitions.mark_rows(records, earlier, erasing.erased_ids(lake)))


def _records(context: Context, files: Sequence[NewFile], arrival: Arrival) -> pa.Table:
    limits = context.settings.ingest.limits(arrival.moment)
    batches = refused_records((file.load_id, file.survey) for file in files).to_batches()
    for file in files:
        survey, source = file.survey, context.settings.sources[file.listed.source_name]
        if not survey.refused:
            last = max(survey.size, 1)
            batches += read_range(survey.path, survey.first, last, file.load_id, source, limits, survey.size)
    return pa.Table.from_batches(batches, RECORDS)


def _without_known(lake: Lake, records: pa.Table, files: Sequence[NewFile]) -> pa.Table:
    """The records, but for those that a run that was killed has set aside: they stay as they are."""
    again = [file.load_id for file in files if file.rejected]
    if not again:
        return records
    key = ["load_id", "file", "position"]
    there = lake.arrow(tables.REJECTED, *key, where=pc.field("load_id").isin(pa.array(again, pa.string())))
    # Joins of Arrow take no column of bytes: the rows are told by their numbers.
    keys = records.select(key).append_column("nth", pa.array(range(records.num_rows), pa.int64()))
    return records.take(keys.join(there, key, join_type="left anti").sort_by("nth")["nth"])


def _earlier(lake: Lake, near: Sequence[date], ids: pa.ChunkedArray) -> pa.Table | None:
    """The raw texts of these days that have one of the ids; None where none can.

    By the driver, where their files are few enough, else by Spark.
    """
    if not near:
        return None
    since = repetitions.arrivals_from(near)
    files = lake.catalog.arrow.files(tables.RAW_TEXTS)
    size = sum(file.size for file in files if (file.partition["arrived_dt"] or "") >= since.isoformat())
    columns = ("text_id", *repetitions.CONTENT)
    wanted = ids.unique()
    if size > DRIVER_BYTES:
        frame = lake.spark.createDataFrame(pa.table({"text_id": wanted}))
        there = repetitions.texts_of_days(lake.read(tables.RAW_TEXTS), near)
        return there.join(frame, "text_id", "left_semi").select(*columns).toArrow()
    where = (pc.field("arrived_dt") >= pa.scalar(since)) & pc.field("dt").isin(pa.array(near, pa.date32()))
    # Ids first: most loads bring none that was there, and texts are most of what there is to read.
    known = lake.arrow(tables.RAW_TEXTS, "text_id", where=where)["text_id"]
    found = pc.unique(known.filter(pc.is_in(known, wanted)))
    return lake.arrow(tables.RAW_TEXTS, *columns, where=where & pc.field("text_id").isin(found)) if len(found) else None
