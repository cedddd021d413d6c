"""The table `loads`: what became of every file, and which rows of texts it does not account for yet.

A load is known by its `load_id`, and its rows in `loads` add up: what a run committed before it was killed is recorded
by the next one. The tables' logs say how many rows each day of arrival has, so that only days which the records do not
account for are ever looked into.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as F

from jobs.lake import tables
from jobs.lake.store import Lake
from jobs.lake.tables import Table
from udfs.set_aside import NO_TEXT

LOADED, KNOWN, REFUSED = "loaded", "known", "refused"
ERASED = "erased"
"""Why a record of an erased text is in `rejected`, and the state of rows that tell of raw texts that became such."""
ERASED_AFTER = "its text was erased after it had been loaded"
"""The detail of records that had been raw texts: `pingti erase` accounts for them, and nobody else."""
COUNTS = ("records", "raw", "rejected", "repeated")


@dataclass(frozen=True, slots=True, order=True)
class Held:
    """Rows of a load that arrived on a day, are in the tables, and are not recorded in `loads`."""

    load_id: str
    file: str
    arrived_dt: date
    raw: int = 0
    rejected: int = 0


def recorded(lake: Lake, load_ids: Sequence[str]) -> dict[str, Counter[str]]:
    """The counts of those of the loads that are recorded, added up."""
    found: dict[str, Counter[str]] = {}
    columns = ("load_id", *COUNTS)
    for row in lake.rows(tables.LOADS, *columns, where=pc.field("load_id").isin(pa.array(load_ids, pa.string()))):
        found.setdefault(row.pop("load_id"), Counter()).update(row)
    return found


def totals(lake: Lake) -> dict[str, int]:
    """`records`, `raw`, `rejected` and `repeated` of all loads, recorded or not."""
    held = unrecorded(lake)
    counted = lake.arrow(tables.LOADS, *COUNTS)
    found = {name: int(pc.sum(counted[name]).as_py() or 0) for name in COUNTS}
    raw, rejected = sum(one.raw for one in held), sum(one.rejected for one in held)
    found["records"] += raw + rejected
    return found | {"raw": found["raw"] + raw, "rejected": found["rejected"] + rejected}


def unrecorded(lake: Lake) -> list[Held]:
    """What loads committed and did not come to record: an earlier version's, and those that were killed.

    What an erasure that was killed left to account for is none of it: erase does so when it is run again.
    """
    told = lake.arrow(tables.LOADS, "arrived_dt", "raw", "rejected").group_by("arrived_dt")
    by_day = {row["arrived_dt"]: row for row in told.aggregate([("raw", "sum"), ("rejected", "sum")]).to_pylist()}
    rows: dict[tuple[str, str, date], Counter[str]] = {}
    for table, name in ((tables.RAW_TEXTS, "raw"), (tables.REJECTED, "rejected")):
        days = [
            day
            for day, count in lake.days(table, "arrived_dt").items()
            if count is None or count != by_day.get(day, {}).get(f"{name}_sum", 0)
        ]
        for key, count in _counted(lake, table, days) if days else ():
            rows.setdefault(key, Counter())[name] += count
    return _without_recorded(lake, rows)


def _without_recorded(lake: Lake, rows: dict[tuple[str, str, date], Counter[str]]) -> list[Held]:
    columns = ("load_id", "arrived_dt", "state", "raw", "rejected")
    ids = pa.array(sorted({load_id for load_id, _, _ in rows}), pa.string())
    told: dict[tuple[str, date], Counter[str]] = {}
    for row in lake.rows(tables.LOADS, *columns, where=pc.field("load_id").isin(ids)) if rows else ():
        if row.pop("state") == ERASED:
            row["rejected"] = 0  # of these `rows` has none; the raw texts that they were are missing there
        told.setdefault((row.pop("load_id"), row.pop("arrived_dt")), Counter()).update(row)
    held = []
    for (load_id, file, day), count in sorted(rows.items()):
        left = count - told.get((load_id, day), Counter())  # rows that were erased since leave none
        if left:
            held.append(Held(load_id, file, day, left["raw"], left["rejected"]))
    return held


def _counted(lake: Lake, table: Table, days: Sequence[date]) -> Iterator[tuple[tuple[str, str, date], int]]:
    """Rows of texts by load, file and day, in parts that have to be added up."""
    columns = ["load_id", "file", "arrived_dt"]
    of_texts = table is tables.REJECTED
    if lake.catalog.left_to_spark(table) is not None:
        frame = lake.read(table).where(F.col("arrived_dt").isin(list(days)))
        if of_texts:
            after = F.coalesce((F.col("reason") == ERASED) & (F.col("detail") == ERASED_AFTER), F.lit(False))
            frame = frame.where(~F.rlike("reason", F.lit(NO_TEXT)) & ~after)
        for row in frame.groupBy(*columns).count().collect():
            yield (row["load_id"], row["file"], row["arrived_dt"]), row["count"]
        return
    where = pc.field("arrived_dt").isin(pa.array(days, pa.date32()))
    if of_texts:
        where &= ~pc.match_substring_regex(pc.field("reason"), NO_TEXT)
        detail = pc.field("detail")
        where &= (pc.field("reason") != ERASED) | detail.is_null() | (detail != ERASED_AFTER)
    # Never a day's rows at once.
    for batch in lake.catalog.arrow.dataset(table).to_batches(columns=columns, filter=where):
        for part in pa.Table.from_batches([batch]).group_by(columns).aggregate([([], "count_all")]).to_pylist():
            yield (part["load_id"], part["file"], part["arrived_dt"]), part["count_all"]
