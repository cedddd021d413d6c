"""New files as a stream: each is taken once, late or killed, in batches that leave their rows in `runs`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.ingestion import ingest_stream, load_plan
from jobs.lake import loads, tables
from jobs.lake.store import Lake
from jobs.runtime.context import Context
from models.errors import DataError, RefusedError
from tests.support import context_of, rows_of, versions

pytestmark = [pytest.mark.spark, pytest.mark.faults, pytest.mark.usefixtures("either_hand")]

COLUMNS = {"source_id": "id", "text": "content", "event_time": "at"}
TABLES = (tables.RAW_TEXTS, tables.REJECTED, tables.LOADS, tables.RUNS)
ROOT = Path(__file__).parents[2]


def put(folder: Path, name: str, *ids: str, seconds: float | None = None) -> None:
    """Move a file into place whole, as a landing zone should."""
    lines = [json.dumps({"id": own, "content": f"text {own}", "at": "2026-03-01T08:00:00Z"}) for own in ids]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f".{name}").write_text("\n".join(lines))
    if seconds is not None:
        os.utime(folder / f".{name}", (seconds, seconds))
    (folder / f".{name}").rename(folder / name)


def settings_for(folder: Path, **ingest: Any) -> dict[str, Any]:
    source = {"path": str(folder), "format": "jsonl", "columns": COLUMNS}
    return {"sources": {"app": source | {"constants": {"source": "app", "scene": "chat"}}}, "ingest": ingest}


def context_for(lake: Lake, folder: Path, **ingest: Any) -> Context:
    return context_of(lake, "ingest", **settings_for(folder, **ingest))


def ids(lake: Lake) -> list[str]:
    return [row[0] for row in rows_of(lake.read(tables.RAW_TEXTS), "source_id")]


def counts_told(lake: Lake) -> list[tuple[str, int]]:
    """Outcome and `read` of every row in `runs`."""
    return rows_of(lake.read(tables.RUNS).selectExpr("outcome", "row_counts['read']"))


def pingti(folder: Path, lake: Lake, *arguments: str, stop_at: str | None = None) -> subprocess.Popen[str]:
    """`pingti ingest` over the lake, in a process of its own."""
    place = {"schema_name": lake.catalog.schema_name, "location": str(lake.catalog.root), "bundles": lake.bundles.place}
    session = {"master": "local[1,4]", "driver_memory": "1g", "shuffle_partitions": 1}
    given = settings_for(folder / "in", follow_seconds=0.2) | {"lake": place, "session": session}
    (folder / "settings.yaml").write_text(yaml.safe_dump(given))
    environment = {key: value for key, value in os.environ.items() if key != "PINGTI_STOP_AT"}
    environment |= {"PYTHONPATH": str(ROOT)} | ({"PINGTI_STOP_AT": stop_at} if stop_at else {})
    command = [sys.executable, "-m", "jobs.cli", "ingest", *arguments, "--settings", str(folder / "settings.yaml")]
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_files_are_taken_once_however_late_and_old_they_are(lake: Callable[..., Lake], tmp_path: Path) -> None:
    own = lake(*TABLES)
    put(tmp_path, "a 1.jsonl", "1", "2")
    put(tmp_path, "b.jsonl", "3")
    context = context_for(own, tmp_path, follow_files=1)
    ingest_stream.ingest_stream(context, until_stopped=False)
    assert ids(own) == ["1", "2", "3"]
    assert counts_told(own) == [("done", 1), ("done", 2)]  # a row a batch
    before = versions(own, *TABLES)
    ingest_stream.ingest_stream(context, until_stopped=False)
    assert versions(own, *TABLES) == before
    put(tmp_path, "late.jsonl", "4", seconds=86_400)  # written in 1970, arrived now
    put(tmp_path / "inside", "c.jsonl", "5")  # a folder's own files only, as the batch job takes them
    put(tmp_path, "_marker", "6")
    ingest_stream.ingest_stream(context, until_stopped=False)
    assert ids(own) == ["1", "2", "3", "4"]
    files = {row[0] for row in rows_of(own.read(tables.RAW_TEXTS), "file")}
    assert files == {str(tmp_path / name) for name in ("a 1.jsonl", "b.jsonl", "late.jsonl")}


def test_stream_and_batch_know_of_each_other(lake: Callable[..., Lake], tmp_path: Path) -> None:
    own = lake(*TABLES)
    put(tmp_path, "a.jsonl", "1")
    context = context_for(own, tmp_path)
    assert len(load_plan.plan(context).steps) == 1
    ingest_stream.ingest_stream(context, until_stopped=False)
    assert load_plan.plan(context).steps == ()
    put(tmp_path, "a.jsonl", "1", "2")  # it has grown
    ingest_stream.ingest_stream(context, until_stopped=False)
    assert counts_told(own) == [("done", 1), ("done", 1)]
    assert ids(own) == ["1", "2"]


def test_a_refused_file_ends_the_pass_with_code_4_after_all_else_is_loaded(
    lake: Callable[..., Lake], tmp_path: Path
) -> None:
    own = lake(*TABLES)
    put(tmp_path, "a.jsonl", "1")
    (tmp_path / "b.jsonl.gz").write_bytes(b"")
    with pytest.raises(RefusedError, match=r"b\.jsonl\.gz \(file_empty: 0 bytes\)"):
        ingest_stream.ingest_stream(context_for(own, tmp_path), until_stopped=False)
    assert ids(own) == ["1"]
    ingest_stream.ingest_stream(context_for(own, tmp_path), until_stopped=False)
    assert own.read(tables.REJECTED).count() == 1


def test_a_batch_that_fails_is_taken_again(lake: Callable[..., Lake], tmp_path: Path) -> None:
    own = lake(*TABLES)
    tmp_path.joinpath("a.jsonl").write_text('{"id": "1"}\n{"id": "2", "content": "b", "at": 1772382600}')
    with pytest.raises(DataError, match="max_rejected_share"):
        ingest_stream.ingest_stream(context_for(own, tmp_path), until_stopped=False)
    assert ids(own) == []
    ingest_stream.ingest_stream(context_for(own, tmp_path, max_rejected_share=0.5), until_stopped=False)
    assert ids(own) == ["2"]


def test_a_folder_without_files_is_told_once_and_leaves_nothing(
    lake: Callable[..., Lake], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = lake(*TABLES)
    context = context_for(own, tmp_path / "none")
    said: list[str] = []
    monkeypatch.setattr(context.reporter, "say", said.append)
    with pytest.raises(DataError, match=r"sources.app: no file at .*/none; mend the path"):
        ingest_stream.ingest_stream(context, until_stopped=False)
    assert said == [f"  sources.app: no file at {tmp_path / 'none'}"]
    assert counts_told(own) == []


def test_a_stream_killed_between_its_commits_loads_each_file_once(lake: Callable[..., Lake], tmp_path: Path) -> None:
    own = lake(*TABLES)
    put(tmp_path / "in", "a.jsonl", "1", "2")
    killed = pingti(tmp_path, own, "--new", stop_at="ingest:raw_texts:after_commit")
    told, _ = killed.communicate(timeout=400)
    assert killed.returncode == -signal.SIGKILL, told[-2000:]
    assert ids(own) == ["1", "2"]
    assert own.read(tables.LOADS).count() == 0
    put(tmp_path / "in", "b.jsonl", "3")
    ingest_stream.ingest_stream(context_for(own, tmp_path / "in"), until_stopped=False)
    assert ids(own) == ["1", "2", "3"]
    assert loads.totals(own) == {"records": 3, "raw": 3, "rejected": 0, "repeated": 0}
    assert sum(read for _, read in counts_told(own)) == 3  # those of the killed run, too


def test_a_followed_folder_is_loaded_until_the_process_is_told_to_end(
    lake: Callable[..., Lake], tmp_path: Path
) -> None:
    own = lake(*TABLES)
    put(tmp_path / "in", "a.jsonl", "1")
    running = pingti(tmp_path, own, "--follow")
    try:
        _wait(running, own, ["1"])
        put(tmp_path / "in", "b.jsonl", "2")
        _wait(running, own, ["1", "2"])
        running.send_signal(signal.SIGTERM)
        told, _ = running.communicate(timeout=200)
    finally:
        running.kill()
    assert running.returncode == 0, told[-2000:]
    assert counts_told(own) == [("done", 1), ("done", 1)]


def _wait(running: subprocess.Popen[str], lake: Lake, wanted: list[str]) -> None:
    for _ in range(600):
        if ids(lake) == wanted:
            return
        assert running.poll() is None, running.communicate()[0][-2000:]
        time.sleep(0.5)
    pytest.fail(f"{wanted} did not arrive")
