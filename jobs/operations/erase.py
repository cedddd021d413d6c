"""`pingti erase`: texts of a person leave every table, and are not loaded again.

What is written of it are digests of ids and counts. Raw texts become rejected records without a byte (`erased`), so
that loads still add up; the next night makes the days again that they were of. Past versions keep them until
`pingti maintain` ran after `maintenance.retention_days`. Killed, and run again with the same file, it goes on.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs.lake import erasing, tables
from jobs.lake.commits import Stamp
from jobs.lake.loads import ERASED, ERASED_AFTER
from jobs.lake.store import Lake
from jobs.lake.tables import Table
from jobs.runtime.context import Context
from jobs.runtime.job import Done, Job, Work
from jobs.settings import Settings
from models import digests
from models.errors import DataError, SettingsError
from udfs.set_aside import NO_TEXT

BY_TEXT = (tables.LABELS, tables.STUDENT_SCORES, tables.ANNOTATIONS, tables.ROUND_SAMPLES, tables.TEXTS)
"""Tables whose rows are of one text, in the order in which they lose them: what tells of others goes last."""
TOUCHED = (tables.ERASED, tables.TEACHER_SCORES, tables.REJECTED, tables.RAW_TEXTS, tables.LOADS, *BY_TEXT)
_ENCODINGS = ("utf-8", "gb18030", "utf-16-le", "utf-16-be")  # that a rejected record's bytes may be in
_SUFFIX = {"text_id": "--text-id", "source_id": "--source-id"}


@dataclass(frozen=True, slots=True)
class Named:
    """The ids that a file names, and of which kind they are."""

    kind: str
    ids: tuple[str, ...]


def plan(context: Context) -> Work[Named]:
    """Read the ids; which rows they have is seen when they are taken out.

    Raises:
        SettingsError: There is not one file of ids.
        DataError: A table is left to Spark, whose rows this cannot rewrite.
    """
    given = [(kind, context.request.options[kind]) for kind in _SUFFIX if context.request.options.get(kind)]
    if len(given) != 1:
        raise SettingsError("erase: expected one of --text-id FILE and --source-id FILE")
    kind, file = given[0]
    ids = _ids(Path(file), _SUFFIX[kind])
    left = {table.name: context.lake.catalog.left_to_spark(table) for table in TOUCHED}
    if refused := [f"{name} ({why})" for name, why in left.items() if why is not None]:
        raise DataError(
            f"erase: left to Spark: {', '.join(refused)}; there DELETE by text_id, REORG TABLE … APPLY (PURGE) where "
            "it has deletion vectors, and VACUUM erase it"
        )
    return Work((f"erase the texts of {len(ids)} ids from every table",), Named(kind, ids))


def _ids(file: Path, option: str) -> tuple[str, ...]:
    try:
        lines = file.read_text("utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{option}: {file} cannot be read ({type(error).__name__}); give a UTF-8 file") from None
    ids = tuple(dict.fromkeys(line.strip() for line in lines if line.strip()))
    if not ids:
        raise SettingsError(f"{option}: {file} names no id; write one a line")
    return ids


def execute(context: Context, work: Named) -> Done | None:
    """Write the tombstones, then take the texts out, table by table; None where nothing of them was left."""
    lake, stamp = context.lake, context.stamp()
    wanted = _text_ids(lake, work, _constant_sources(context.settings))
    counts: Counter[str] = Counter({"erased": _bury(lake, wanted, stamp)})
    ids = pa.array(sorted(wanted), pa.string())
    own = _own_ids(lake, ids) | set(work.ids)
    hashes = _hashes_of_no_other(lake, ids)
    counts["teacher_scores"] = erasing.remove_rows(lake, tables.TEACHER_SCORES, "text_hash", hashes, stamp)
    counts["rejected"] = _forget_bytes(lake, ids, own, stamp)
    counts["raw_texts"] = _erase_raw(lake, ids, context)
    for table in BY_TEXT:
        counts[table.name] = erasing.remove_rows(lake, table, "text_id", ids, stamp)
    for table in TOUCHED:
        erasing.close_again(lake, table)
    return Done(counts=dict(counts), headline="raw_texts") if counts.total() else None


def _constant_sources(settings: Settings) -> set[str]:
    """The sources that the settings name: they may have brought nothing yet."""
    return {str(one.constants["source"]) for one in settings.sources.values() if "source" in one.constants}


def _text_ids(lake: Lake, work: Named, known: set[str]) -> set[str]:
    """The `text_id` of all that is named: of rows that are there, and of records that may come yet."""
    if work.kind == "text_id":
        return set(work.ids)
    sources = known | _distinct(lake, tables.RAW_TEXTS, "source")
    return {digests.of_source(source, one) for source in sources for one in work.ids}


def _distinct(lake: Lake, table: Table, column: str) -> set[str]:
    found = set[str]()
    for batch in lake.catalog.arrow.dataset(table).to_batches(columns=[column]):  # never a year's rows at once
        found |= set(pc.unique(batch.column(0)).to_pylist())
    return found


def _bury(lake: Lake, wanted: Iterable[str], stamp: Stamp) -> int:
    """Write down which texts are not to come again; how many were not written down yet."""
    there = set(lake.arrow(tables.ERASED, "text_id")["text_id"].to_pylist())
    now = datetime.now(UTC)
    rows = [{"text_id": one, "erased_at": now, "run_id": stamp.run_id} for one in sorted(set(wanted) - there)]
    if rows:
        lake.append_rows(tables.ERASED, rows, stamp)
    return len(rows)


def _own_ids(lake: Lake, ids: pa.Array) -> set[str]:
    """The ids that the texts' sources know them by, which bytes of rejected records may hold."""
    found = erasing.found_rows(lake, tables.RAW_TEXTS, "text_id", ids, ["source_id"])
    return {one for one in found["source_id"].to_pylist() if one} | set(ids.to_pylist())


def _hashes_of_no_other(lake: Lake, ids: pa.Array) -> pa.Array:
    """The hashes of the texts that no other text has, among clean texts and what rounds keep."""
    holding = (tables.TEXTS, tables.ROUND_SAMPLES, tables.ANNOTATIONS)
    own = {
        one
        for table in holding
        for one in erasing.found_rows(lake, table, "text_id", ids, ["text_hash"])["text_hash"].to_pylist()
    }
    hashes = pa.array(sorted(own), pa.string())
    for table in holding[:2]:
        found = erasing.found_rows(lake, table, "text_hash", hashes, ["text_hash", "text_id"])
        others = found.filter(pc.invert(pc.is_in(found["text_id"], ids)))
        own -= set(others["text_hash"].to_pylist())
    return pa.array(sorted(own), pa.string())


def _forget_bytes(lake: Lake, ids: pa.Array, own: set[str], stamp: Stamp) -> int:
    """Empty the rejected records that are of the texts, or name one of their ids; how many."""
    named = _naming(own)
    emptied = 0

    def theirs(rows: pa.Table) -> pa.Array:
        by_id = pc.fill_null(pc.is_in(rows["text_id"], ids), False) if "text_id" in rows.column_names else None
        by_bytes = [raw is not None and named.search(raw) is not None for raw in rows["raw"].to_pylist()]
        has_bytes = pc.is_valid(rows["raw"])
        return pc.and_(has_bytes, pc.or_(by_id, pa.array(by_bytes))) if by_id is not None else pa.array(by_bytes)

    def emptied_of(rows: pa.Table) -> pa.Table:
        nonlocal emptied
        mask = theirs(rows)
        emptied += pc.sum(mask).as_py() or 0
        for name in ("raw", "text_id", "detail"):
            rows = _with(rows, name, mask, None)
        # By its digest an annotation, or a score, is known when its file comes again.
        return _with(rows, "sha256", pc.and_not(mask, pc.match_substring_regex(rows["reason"], NO_TEXT)), "")

    files = [file for file, rows in erasing.each_file(lake, tables.REJECTED) if pc.any(theirs(rows)).as_py()]
    erasing.rewrite(lake, tables.REJECTED, files, emptied_of, stamp)
    return emptied


def _with(rows: pa.Table, name: str, mask: pa.Array, value: str | None) -> pa.Table:
    """The rows with another value in a column, where they have it, and the mask holds."""
    if name not in rows.column_names:
        return rows
    at, field = rows.column_names.index(name), rows.schema.field(name)
    return rows.set_column(at, field, pc.if_else(mask, pa.scalar(value, field.type), rows[name]))


def _naming(own: Iterable[str]) -> re.Pattern[bytes]:
    """What finds an id in bytes, whole: no letter or digit goes on beside it."""
    words = {re.escape(one.encode(encoding)) for one in own for encoding in _ENCODINGS}
    return re.compile(rb"(?<![0-9A-Za-z_])(?:" + b"|".join(sorted(words)) + rb")(?![0-9A-Za-z_])")


def _erase_raw(lake: Lake, ids: pa.Array, context: Context) -> int:
    """Make the raw texts rejected records without bytes, and let `loads` say so; how many."""
    columns = ["text_id", "file", "position", "arrived_dt", "load_id"]
    rows = erasing.found_rows(lake, tables.RAW_TEXTS, "text_id", ids, columns).to_pylist()
    there = {_place(row) for row in lake.rows(tables.REJECTED, *columns[1:], where=pc.field("reason") == ERASED)}
    told = {"reason": ERASED, "detail": ERASED_AFTER, "length": 0, "sha256": "", "run_id": context.run_id}
    new = [{name: row[name] for name in columns[1:]} | told for row in rows if _place(row) not in there]
    if new:
        lake.append_rows(tables.REJECTED, new, context.stamp())
    erasing.remove_rows(lake, tables.RAW_TEXTS, "text_id", ids, context.stamp())
    _account(lake, context)
    return len(rows)


def _place(row: dict[str, Any]) -> tuple[str, str, int]:
    return row["load_id"], row["file"], row["position"]


def _account(lake: Lake, context: Context) -> None:
    """Let `loads` tell of each load how many of its raw texts became erased records."""
    where = (pc.field("reason") == ERASED) & (pc.field("detail") == ERASED_AFTER)
    key = ("load_id", "file", "arrived_dt")

    def keyed(row: dict[str, Any]) -> tuple[str, str, date]:
        return row["load_id"], row["file"], row["arrived_dt"]

    left: Counter[tuple[str, str, date]] = Counter(keyed(row) for row in lake.rows(tables.REJECTED, *key, where=where))
    for row in lake.rows(tables.LOADS, *key, "rejected", where=pc.field("state") == ERASED):
        left[keyed(row)] -= row["rejected"]
    rows = [
        dict(zip(key, one, strict=True))
        | {"state": ERASED, "first": 0, "records": 0, "raw": -count, "rejected": count, "repeated": 0}
        | {"run_id": context.run_id}
        for one, count in sorted(left.items())
        if count
    ]
    if rows:
        lake.append_rows(tables.LOADS, rows, context.stamp())


JOB = Job("erase", plan, execute, writes=TOUCHED, needs_session=False)
