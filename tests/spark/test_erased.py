"""What was erased does not come back: not by another delivery, not by the next night, not by a file of annotations."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest

from jobs.ingestion import clean, import_annotations, ingest
from jobs.lake import loads, tables
from jobs.lake.store import Lake
from jobs.operations import erase, maintain
from models import digests
from tests.support import context_of, day, do, rows_of

pytestmark = pytest.mark.spark

SOURCE = {
    "format": "jsonl", "columns": {"source_id": "id", "text": "say", "event_time": "at"},
    "constants": {"scene": "live_chat", "source": "chat"},
}  # fmt: skip
TASKS = {"praise": {"scenes": ["live_chat"], "labels": {"asks": {}}}}


def deliver(folder: Path, name: str, *ids: str) -> None:
    rows = [{"id": one, "say": f"says {one}", "at": f"{day(len(one))}T08:00:00"} for one in ids]
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_what_was_erased_does_not_come_back(lake: Callable[..., Lake], tmp_path: Path) -> None:
    warehouse, landing = lake(*tables.ALL), tmp_path / "landing"
    given: dict[str, Any] = {"sources": {"chat": SOURCE | {"path": str(landing / "*.jsonl")}}, "tasks": TASKS}
    deliver(landing, "1.jsonl", "a", "b", "cc", "dd")
    do(ingest.JOB, context_of(warehouse, "ingest", **given))
    times = {row["source_id"]: row["event_time"] for row in warehouse.rows(tables.RAW_TEXTS)}
    do(clean.JOB, context_of(warehouse, "clean", **given))
    (tmp_path / "ids").write_text("a\n")
    do(erase.JOB, context_of(warehouse, "erase", options={"source_id": tmp_path / "ids"}, **given))
    steps = clean.JOB.plan(context_of(warehouse, "clean", **given)).steps
    assert [step.partition(":")[0] for step in steps] == [f"clean the texts of {day(1)}"]
    do(clean.JOB, context_of(warehouse, "clean", **given))

    # One of two is erased: rejected, but no reason to refuse the file.
    deliver(landing, "2.jsonl", "a", "eee")
    done = do(ingest.JOB, context_of(warehouse, "ingest", ingest={"max_rejected_share": 0.1}, **given))
    assert done is not None
    assert dict(done.counts) == {"read": 2, "raw": 1, "rejected": 1, "repeated": 0}
    do(clean.JOB, context_of(warehouse, "clean", **given))
    for table in (tables.RAW_TEXTS, tables.TEXTS):
        assert {row["source_id"] for row in warehouse.rows(table)} == {"b", "cc", "dd", "eee"}
    seen = warehouse.read(tables.RAW_TEXTS).collect()
    assert {row["source_id"]: row["event_time"].astimezone(UTC) for row in seen if row["source_id"] in times} == {
        one: time for one, time in times.items() if one != "a"
    }
    kept = [row for row in warehouse.rows(tables.REJECTED) if row["reason"] == "erased"]
    assert [(row["raw"], row["sha256"], row["length"]) for row in kept] == [(None, "", 0)] * 2
    assert "says a" not in str(warehouse.rows(tables.REJECTED))
    assert loads.unrecorded(warehouse) == []
    assert ingest.JOB.plan(context_of(warehouse, "ingest", **given)).steps == ()

    labels = {
        "task": "praise",
        "label": "asks",
        "value": True,
        "annotator": "x",
        "text_id": digests.of_source("chat", "a"),
    }
    (tmp_path / "labels.jsonl").write_text(json.dumps(labels) + "\n")
    context = context_of(warehouse, "annotate import", options={"file": str(tmp_path / "labels.jsonl")}, **given)
    do(import_annotations.JOB, context)
    assert [row["raw"] for row in warehouse.rows(tables.REJECTED) if row["reason"] == "annotation_unmatched"] == [None]


def test_what_was_compacted_is_read_by_spark_as_before(lake: Callable[..., Lake], tmp_path: Path) -> None:
    warehouse, landing = lake(*tables.ALL), tmp_path / "landing"
    given: dict[str, Any] = {"sources": {"chat": SOURCE | {"path": str(landing / "*.jsonl")}}, "tasks": TASKS}
    for number in range(3):
        deliver(landing, f"{number}.jsonl", f"{number}")
        do(ingest.JOB, context_of(warehouse, "ingest", **given))
    do(clean.JOB, context_of(warehouse, "clean", **given))
    before = rows_of(warehouse.read(tables.RAW_TEXTS))
    do(maintain.JOB, context_of(warehouse, "maintain", maintenance={"small_files": 2}, **given))
    assert len(warehouse.catalog.arrow.files(tables.RAW_TEXTS)) == 1
    assert rows_of(warehouse.read(tables.RAW_TEXTS)) == before
    assert clean.JOB.plan(context_of(warehouse, "clean", **given)).steps == ()
