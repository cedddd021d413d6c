"""`raw_texts` by the day of its rows: it is partitioned by arrival, and a night's file may hold rows of many days."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from functools import partial
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs as pafs
import pyarrow.parquet as pq

from jobs.days.live_files import Told
from jobs.days.signatures import Cell, of_item, together, written
from jobs.lake import tables
from jobs.lake.commits import Stamp
from jobs.lake.store import Lake

_READERS = 8  # of files at once
_COLUMNS = ("dt", "load_id")


class RawDays:
    """What `raw_texts` holds of each day: how many rows of which load.

    Each file is read once in its life, two columns of it, and remembered in `raw_file_days` (`remember`). A signature
    is made of the rows, so that compaction, which moves rows to other files, does not change it.
    """

    table = tables.RAW_TEXTS

    def __init__(self, lake: Lake) -> None:
        self._lake = lake
        self._unknown: list[dict[str, Any]] = []

    def signatures(self) -> Mapping[Cell, str]:
        """By day."""
        return self._lake.log.while_unchanged(self.table, "raw days", self._signatures)

    def rearranged(self, told: Iterable[Told]) -> set[Told]:
        """None: other signatures are other rows."""
        return set()

    def remember(self, stamp: Stamp) -> None:
        """Write down what was read of files that were new."""
        if self._unknown:
            rows, self._unknown = self._unknown, []
            self._lake.append_rows(tables.RAW_FILE_DAYS, rows, stamp)

    def arrivals(self, days: Collection[date]) -> frozenset[date] | None:
        """The days of arrival under which all rows of some days lie; None where they may lie under any.

        By what `raw_file_days` tells of the live files: rows of the driver's have no bounds in the log.
        """
        if self._lake.catalog.left_to_spark(self.table) is not None:
            return None
        live = {file.path: file.partition["arrived_dt"] for file in self._lake.catalog.arrow.files(self.table)}
        told = self._lake.arrow(tables.RAW_FILE_DAYS, "path", "dt")
        if live.keys() - set(told["path"].to_pylist()):
            return None
        of_days = told.filter(pc.is_in(told["dt"], pa.array(days, pa.date32())))["path"].to_pylist()
        return frozenset(date.fromisoformat(live[path] or "") for path in of_days if path in live)

    def _signatures(self) -> Mapping[Cell, str]:
        if self._lake.catalog.left_to_spark(self.table) is not None:
            counted = self._lake.read(self.table).groupBy(*_COLUMNS).count().toArrow()
            return _by_day(_summary("", counted.rename_columns([*_COLUMNS, "rows"])))
        live = [file.path for file in self._lake.catalog.arrow.files(self.table)]
        known: dict[str, dict[date, dict[str, Any]]] = defaultdict(dict)  # two runs at once may both have told a file
        for row in self._lake.rows(tables.RAW_FILE_DAYS, "path", "dt", "rows", "signature"):
            known[row["path"]][row["dt"]] = row
        new = [path for path in live if path not in known]
        self._unknown = _read(self._lake.catalog.arrow.folder(self.table), new)
        return _by_day([row for path in live for row in known[path].values()] + self._unknown)


def _read(folder: pafs.FileSystem, paths: Sequence[str]) -> list[dict[str, Any]]:
    with ThreadPoolExecutor(_READERS) as pool:
        return [row for rows in pool.map(partial(_days_of, folder), paths) for row in rows]


def _days_of(folder: pafs.FileSystem, path: str) -> list[dict[str, Any]]:
    with pq.ParquetFile(folder.open_input_file(unquote(path))) as file:
        rows = file.read(columns=list(_COLUMNS), use_threads=False)
    counted = rows.group_by(list(_COLUMNS)).aggregate([([], "count_all")])
    summary = _summary(path, counted.rename_columns([*_COLUMNS, "rows"]))
    # A file without rows is told too, or it would be read each night.
    return summary or [{"path": path, "dt": date.min, "rows": 0, "signature": ""}]


def _summary(path: str, counted: pa.Table) -> list[dict[str, Any]]:
    """A row a day of a file, from one a day and load (dt, load_id, rows)."""
    rows: dict[date, int] = defaultdict(int)
    signatures: dict[date, list[int]] = defaultdict(list)
    for row in counted.to_pylist():
        rows[row["dt"]] += row["rows"]
        signatures[row["dt"]].append(row["rows"] * of_item(row["load_id"]))
    return [
        {"path": path, "dt": day, "rows": rows[day], "signature": written(together(signatures[day]))} for day in rows
    ]


def _by_day(files: Iterable[Mapping[str, Any]]) -> dict[Cell, str]:
    days: dict[date, list[int]] = defaultdict(list)
    for row in files:
        if row["rows"]:
            days[row["dt"]].append(int(row["signature"], 16))
    return {Cell(day): written(together(signatures)) for day, signatures in days.items()}
