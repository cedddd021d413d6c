"""A source that cannot be loaded holds up no other. No session."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.ingestion import ingest
from jobs.lake import loads, tables
from jobs.lake.store import Lake
from jobs.runtime.context import Context
from jobs.runtime.job import run
from models.errors import DataError, RefusedError
from tests.support import context_of, versions

TABLES = (tables.RAW_TEXTS, tables.REJECTED, tables.LOADS, tables.RUNS, tables.ERASED)
COLUMNS = {"source_id": "id", "text": "content", "event_time": "at"}


def context_for(lake: Lake, folder: Path, **names: str) -> Context:
    """Sources, each of a folder of its name, that call themselves as the value says."""
    sources = {
        name: {
            "path": str(folder / name), "format": "jsonl", "columns": COLUMNS,
            "constants": {"scene": "chat", "source": source},
        }
        for name, source in names.items()
    }  # fmt: skip
    return context_of(lake, "ingest", sources=sources)


def deliver(folder: Path, source: str, *records: dict[str, Any]) -> None:
    (folder / source).mkdir(exist_ok=True)
    lines = [json.dumps({"at": "2026-03-01T08:00:00Z", **record}, ensure_ascii=False) for record in records]
    (folder / source / "a.jsonl").write_text("\n".join(lines), "utf-8")


def sources_of(lake: Lake) -> list[tuple[str, str]]:
    return sorted((row["source"], row["source_id"]) for row in lake.rows(tables.RAW_TEXTS))


def test_a_source_with_too_many_rejected_records_is_left_out_until_it_is_mended(
    bare_lake: Callable[..., Lake], tmp_path: Path
) -> None:
    lake = bare_lake(*TABLES)
    context = context_for(lake, tmp_path, bad="bad", good="good")
    deliver(tmp_path, "good", {"id": "1", "content": "好"}, {"id": "2", "content": "不好"})
    deliver(tmp_path, "bad", {"id": "1", "content": 5}, {"id": "2", "content": "好"})
    told = r"sources\.bad: 1 of 2 records are rejected, over .*none of these was loaded.*All else is loaded"
    with pytest.raises(DataError, match=told):
        run(ingest.JOB, context)
    assert sources_of(lake) == [("good", "1"), ("good", "2")]
    assert lake.rows(tables.REJECTED) == []
    assert loads.totals(lake) == {"records": 2, "raw": 2, "rejected": 0, "repeated": 0}
    before = versions(lake, *TABLES[:3])
    with pytest.raises(DataError, match=r"sources\.bad: 1 of 2"):  # the next night too
        run(ingest.JOB, context_for(lake, tmp_path, bad="bad", good="good"))
    assert versions(lake, *TABLES[:3]) == before
    deliver(tmp_path, "bad", {"id": "1", "content": "短"}, {"id": "2", "content": "好"})
    run(ingest.JOB, context_for(lake, tmp_path, bad="bad", good="good"))
    assert sources_of(lake) == [("bad", "1"), ("bad", "2"), ("good", "1"), ("good", "2")]


def test_what_repeats_a_record_of_a_source_that_was_left_out_is_loaded(
    bare_lake: Callable[..., Lake], tmp_path: Path
) -> None:
    lake = bare_lake(*TABLES)
    deliver(tmp_path, "a", {"id": "1", "content": "好"}, {"id": "2", "content": 5})
    deliver(tmp_path, "b", {"id": "1", "content": "好"})
    with pytest.raises(DataError, match=r"sources\.a: 1 of 2"):
        run(ingest.JOB, context_for(lake, tmp_path, a="app", b="app"))
    assert sources_of(lake) == [("app", "1")]


def test_texts_without_ids_are_not_loaded_again_because_their_source_is_read_otherwise(
    bare_lake: Callable[..., Lake], tmp_path: Path
) -> None:
    lake = bare_lake(*TABLES)
    deliver(tmp_path, "noid", {"content": "好"}, {"content": "不好"})

    def context(zone: str, **options: Any) -> Context:
        columns = {name: theirs for name, theirs in COLUMNS.items() if name != "source_id"}
        source = {
            "path": str(tmp_path / "noid"), "format": "jsonl", "columns": columns, "timezone": zone,
            "constants": {"scene": "chat", "source": "noid"},
        }  # fmt: skip
        return context_of(lake, "ingest", sources={"noid": source}, options=options)

    run(ingest.JOB, context("Asia/Shanghai"))
    with pytest.raises(RefusedError, match=r"a\.jsonl \(file_changed: its texts have no ids and were loaded by other"):
        run(ingest.JOB, context("UTC"))
    assert len(lake.rows(tables.RAW_TEXTS)) == 2
    assert run(ingest.JOB, context("UTC")) is None  # told once
    assert run(ingest.JOB, context("Asia/Shanghai")) is None
    run(ingest.JOB, context("UTC", replace_file=[str(tmp_path / "noid" / "a.jsonl")]))
    assert len(lake.rows(tables.RAW_TEXTS)) == 4


def test_a_refused_file_of_a_source_that_was_left_out_is_told_when_the_source_is_mended(
    bare_lake: Callable[..., Lake], tmp_path: Path
) -> None:
    lake = bare_lake(*TABLES)
    deliver(tmp_path, "good", {"id": "1", "content": "好"})
    deliver(tmp_path, "bad", {"id": "1", "content": 5})
    (tmp_path / "bad" / "b.jsonl.gz").write_bytes(b"")
    with pytest.raises(DataError, match=r"sources\.bad: 1 of 1 records") as told:
        run(ingest.JOB, context_for(lake, tmp_path, bad="bad", good="good"))
    assert not isinstance(told.value, RefusedError)
    assert "b.jsonl.gz" not in str(told.value)
    deliver(tmp_path, "bad", {"id": "1", "content": "短"})
    with pytest.raises(RefusedError, match=r"b\.jsonl\.gz"):
        run(ingest.JOB, context_for(lake, tmp_path, bad="bad", good="good"))
    assert sources_of(lake) == [("bad", "1"), ("good", "1")]
