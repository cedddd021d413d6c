"""Rows of `loads`: what became of a file's records, a row a day of arrival."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

from jobs.ingestion.load_plan import Batch, NewFile
from jobs.lake import loads
from jobs.lake.loads import Held

Row = dict[str, Any]


def batch_rows(batch: Batch, outcomes: Iterable[tuple[NewFile, Counter[str]]], run_id: str, today: date) -> list[Row]:
    """All rows of a batch; `outcomes` says what became, in this run, of the files that were to be read."""
    rows = [row for file, counts in outcomes for row in file_rows(file, counts, run_id, today)]
    for file in batch.done:
        rows += file_rows(file, Counter(repeated=max(file.left, 0)), run_id, today)
    return rows + gone_rows(batch.gone, run_id)


def file_rows(file: NewFile, counts: Counter[str], run_id: str, today: date) -> list[Row]:
    """Rows of a file: of what earlier runs committed without recording it, and of this run's `counts`."""
    by_day = {today: Counter(counts)}
    for one in file.held:
        by_day.setdefault(one.arrived_dt, Counter()).update(raw=one.raw, rejected=one.rejected)
    told = {
        "load_id": file.load_id, "file": file.survey.path, "source_name": file.listed.source_name,
        "layout": file.layout, "size": file.survey.size, "modified": file.listed.modified,
        "sha256": file.survey.sha256, "first": file.survey.first, "state": _state(file, counts), "run_id": run_id,
    }  # fmt: skip
    return [told | _counts(count) | {"arrived_dt": day} for day, count in sorted(by_day.items())]


def gone_rows(held: Sequence[Held], run_id: str) -> list[Row]:
    """Rows of loads whose files cannot be looked at any more: what the tables have is all that is known."""
    rows = []
    for one in held:
        counts = _counts(Counter(raw=one.raw, rejected=one.rejected))
        told = {"load_id": one.load_id, "file": one.file, "arrived_dt": one.arrived_dt, "run_id": run_id}
        rows.append(told | counts | {"first": 0, "state": loads.LOADED})
    return rows


def _counts(count: Counter[str]) -> Row:
    named = {name: count[name] for name in ("raw", "rejected", "repeated")}
    return named | {"records": sum(named.values())}


def _state(file: NewFile, counts: Counter[str]) -> str:
    if file.survey.refused:
        return loads.REFUSED
    earlier = file.recorded["raw"] + file.recorded["repeated"] > 0
    return loads.KNOWN if earlier and not file.held and not sum(counts.values()) else loads.LOADED
