"""Records of days kept small and true: superseded rows dropped, and what was only rearranged written down anew.

After it the log is not needed any more to tell that a compaction was none of the news.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs.days.live_files import LiveFiles, Told
from jobs.days.signatures import Cell
from jobs.lake import tables
from jobs.lake.commits import Scope, Stamp
from jobs.lake.store import Lake
from jobs.lake.tables import Table
from models.errors import ConflictError

Row = dict[str, Any]
_TRIES = 5


def superseded(lake: Lake) -> int:
    """How many rows of `made_days` a newer one of their cell stands in for."""
    rows = lake.arrow(tables.MADE_DAYS, "table_name", "dt", "part")
    return int(rows.num_rows - rows.group_by(["table_name", "dt", "part"]).aggregate([]).num_rows)


def files_gone(lake: Lake) -> int:
    """How many rows of `raw_file_days` are of files that `raw_texts` has no more."""
    if lake.catalog.left_to_spark(tables.RAW_TEXTS) is not None:
        return 0
    rows = lake.arrow(tables.RAW_FILE_DAYS, "path")
    return int(rows.num_rows - pc.sum(pc.is_in(rows["path"], _live_paths(lake))).as_py()) if rows.num_rows else 0


def tidy_made_days(lake: Lake, stamp: Stamp) -> int:
    """Keep the newest row of each cell, true of the files as they are now; how many rows were dropped."""

    def kept(rows: list[Row]) -> list[Row]:
        return _renewed(lake, _newest(rows))

    return _rewrite(lake, tables.MADE_DAYS, kept, stamp)


def tidy_raw_file_days(lake: Lake, stamp: Stamp) -> int:
    """Keep the rows of live files, each once; how many were dropped."""
    if lake.catalog.left_to_spark(tables.RAW_TEXTS) is not None:
        return 0

    def kept(rows: list[Row]) -> list[Row]:
        live = set(_live_paths(lake).to_pylist())
        return list({(row["path"], row["dt"]): row for row in rows if row["path"] in live}.values())

    return _rewrite(lake, tables.RAW_FILE_DAYS, kept, stamp)


def _rewrite(lake: Lake, table: Table, keep: Callable[[list[Row]], list[Row]], stamp: Stamp) -> int:
    """Put what is kept in place of all rows; rows that another run adds meanwhile are looked at again."""
    if lake.catalog.left_to_spark(table) is not None:
        return 0
    for left in reversed(range(_TRIES)):
        since = lake.catalog.arrow.snapshot(table, Scope())
        rows = lake.rows(table)
        kept = keep(rows)
        if _in_order(kept, table) == _in_order(rows, table):
            return 0
        try:
            lake.replace_rows(table, kept, stamp, Scope(), since)
        except ConflictError:
            if not left:
                raise
            continue
        return len(rows) - len(kept)
    return 0


def _in_order(rows: list[Row], table: Table) -> list[Row]:
    return sorted(rows, key=lambda row: tuple(str(row[name]) for name in table.key))


def _newest(rows: list[Row]) -> list[Row]:
    """The newest row of each cell, as the table's own reader takes them."""
    by_cell: dict[tuple[str, date, str], Row] = {}
    for row in sorted(rows, key=lambda row: row["made_at"]):
        by_cell[row["table_name"], row["dt"], row["part"]] = row
    return list(by_cell.values())


def _renewed(lake: Lake, rows: list[Row]) -> list[Row]:
    """The rows with the signatures of now, where files were only rearranged since the recorded ones."""
    told: dict[str, set[Told]] = defaultdict(set)
    for row in rows:
        for name, one in _told(row):
            told[name].add(one)
    now: dict[tuple[str, Told], str] = {}
    for name, ones in told.items():
        table = tables.BY_NAME.get(name)
        if table is None or "dt" not in table.partition or not lake.catalog.exists(table):
            continue  # raw_texts is signed by its rows: no compaction changes that
        files = LiveFiles(lake, table)
        signatures = files.signatures()
        doubtful = {one for one in ones if signatures.get(one[0], "") != one[1]}
        now |= {(name, one): signatures.get(one[0], "") for one in files.rearranged(doubtful)}
    return [_with(row, now) for row in rows]


def _told(row: Row) -> Iterator[tuple[str, Told]]:
    """The signatures that a row keeps: of what was made, and of what it was made from."""
    yield row["table_name"], (Cell(row["dt"], row["part"]), row["outputs"])
    for name, signature in row["inputs"].items():
        table, _, part = name.partition("/")
        yield table, (Cell(row["dt"], part), signature)


def _with(row: Row, now: dict[tuple[str, Told], str]) -> Row:
    outputs = now.get((row["table_name"], (Cell(row["dt"], row["part"]), row["outputs"])), row["outputs"])
    inputs = {}
    for name, signature in row["inputs"].items():
        table, _, part = name.partition("/")
        inputs[name] = now.get((table, (Cell(row["dt"], part), signature)), signature)
    return row | {"outputs": outputs, "inputs": inputs}


def _live_paths(lake: Lake) -> pa.Array:
    return pa.array([file.path for file in lake.catalog.arrow.files(tables.RAW_TEXTS)], pa.string())
