"""Hostile files through Spark and into the tables: refused whole, rejected by record, killed between commits."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import functions as F

from jobs.ingestion import ingest, load_plan
from jobs.ingestion.file_survey import ListedFile
from jobs.lake import loads, stop_points, tables
from jobs.lake.store import Lake
from jobs.runtime.context import Context
from jobs.runtime.job import run
from models.errors import DataError, RefusedError
from tests.support import context_of, do, rows_of, versions

pytestmark = [pytest.mark.spark, pytest.mark.usefixtures("either_hand")]

COLUMNS = {"source_id": "id", "text": "content", "event_time": "at"}
BOTH = (tables.RAW_TEXTS, tables.REJECTED)
THREE = (*BOTH, tables.LOADS)
AT = "2026-03-01T08:00:00Z"


def lines(*pairs: tuple[str, str]) -> bytes:
    return "\n".join(
        json.dumps({"id": own, "content": text, "at": AT}, ensure_ascii=False) for own, text in pairs
    ).encode()


def context_for(lake: Lake, folder: Path, kind: str = "jsonl", **changes: Any) -> Context:
    source = {"path": str(folder), "format": kind, "columns": COLUMNS, "constants": {"source": "app", "scene": "chat"}}
    return context_of(lake, "ingest", sources={"app": source | changes}, ingest={"max_rejected_share": 1.0})


def told(lake: Lake) -> dict[str, int]:
    """What all runs together say they read, and where it went."""
    sums = [F.sum(F.col("row_counts")[name]).alias(name) for name in ("read", "raw", "rejected")]
    found: dict[str, int] = lake.read(tables.RUNS).where("outcome = 'done'").agg(*sums).collect()[0].asDict()
    return found


def held(lake: Lake) -> dict[str, int]:
    raw, rejected = (lake.read(table).count() for table in BOTH)
    assert loads.totals(lake) == {"records": raw + rejected, "raw": raw, "rejected": rejected, "repeated": 0}
    return {"read": raw + rejected, "raw": raw, "rejected": rejected}


def test_refused_files_are_set_aside_by_name_and_counted_while_the_others_are_loaded(
    lake: Callable[..., Lake], tmp_path: Path
) -> None:
    own = lake(*THREE, tables.RUNS)
    packed = gzip.compress(lines(("1", "老师好"), ("2", "好")) * 50)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(lines(("1", "老师好"), ("2", "好的"))))
    (tmp_path / "b.jsonl.gz").write_bytes(packed[:-12])
    (tmp_path / "c.jsonl.gz").write_bytes(b"")
    (tmp_path / "d.jsonl.gz").write_bytes(b"")
    (tmp_path / "e.jsonl.gz").write_bytes(lines(("3", "not packed")))
    plan = load_plan.plan(context_for(own, tmp_path))
    assert [step.split(": ")[-1].split(",")[0] for step in plan.steps] == [
        f"load 2 records of {tmp_path}/a.jsonl.gz", "file_truncated", "file_empty", "file_empty", "file_not_gzip",
    ]  # fmt: skip
    with pytest.raises(RefusedError, match=r"set aside whole: .*b\.jsonl\.gz \(file_truncated: ") as refused:
        run(ingest.JOB, context_for(own, tmp_path))
    assert refused.value.exit_code == 4
    assert "d.jsonl.gz (file_empty: 0 bytes)" in str(refused.value)
    assert rows_of(own.read(tables.RAW_TEXTS), "source_id", "text") == [("1", "老师好"), ("2", "好的")]
    rejected = own.read(tables.REJECTED)
    assert rows_of(rejected.withColumn("file", F.substring_index("file", "/", -1)), "file", "reason", "length") == [
        ("b.jsonl.gz", "file_truncated", len(packed) - 12), ("c.jsonl.gz", "file_empty", 0),
        ("d.jsonl.gz", "file_empty", 0), ("e.jsonl.gz", "file_not_gzip", len(lines(("3", "not packed")))),
    ]  # fmt: skip
    assert told(own) == held(own) == {"read": 6, "raw": 2, "rejected": 4}
    assert run(ingest.JOB, context_for(own, tmp_path)) is None
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(lines(("4", "mended"))))
    done = run(ingest.JOB, context_for(own, tmp_path))
    assert done is not None
    assert done.counts == {"read": 1, "raw": 1, "rejected": 0, "repeated": 0}


def test_a_load_of_refused_files_alone_loads_nothing_and_says_so(lake: Callable[..., Lake], tmp_path: Path) -> None:
    own = lake(*THREE, tables.RUNS)
    (tmp_path / "a.csv").write_bytes(b"id,at\n1,2026-03-01\n")
    with pytest.raises(RefusedError, match="file_header"):
        run(ingest.JOB, context_for(own, tmp_path, "csv"))
    assert told(own) == held(own) == {"read": 1, "raw": 0, "rejected": 1}


def test_a_file_that_cannot_be_opened_ends_the_run_and_is_not_forgotten(
    lake: Callable[..., Lake], tmp_path: Path
) -> None:
    own = lake(*THREE)
    listed = [ListedFile("app", str(tmp_path / "gone.jsonl"), 1)]
    before = versions(own, *BOTH)
    settings = context_for(own, tmp_path).settings
    with pytest.raises(DataError, match=r"nothing was loaded; .*gone.jsonl: cannot be opened"):
        load_plan.plan_files(own, settings.sources, settings.ingest, listed)
    assert versions(own, *BOTH) == before


def test_a_gbk_file_is_rejected_undeclared_and_loaded_once_declared(lake: Callable[..., Lake], tmp_path: Path) -> None:
    own = lake(*THREE)
    content = lines(("1", "老师好"), ("2", "上课")).decode().encode("gbk")
    (tmp_path / "a.jsonl").write_bytes(content)
    undeclared = do(ingest.JOB, context_for(own, tmp_path))
    assert undeclared is not None
    assert undeclared.counts == {"read": 2, "raw": 0, "rejected": 2, "repeated": 0}
    assert rows_of(own.read(tables.REJECTED).select("reason").distinct()) == [("not_utf8",)]
    do(ingest.JOB, context_for(own, tmp_path, encoding="gbk"))
    assert rows_of(own.read(tables.RAW_TEXTS), "source_id", "text") == [("1", "老师好"), ("2", "上课")]


@pytest.mark.faults
def test_a_json_value_past_20_million_characters_is_one_rejected_row_with_its_length(
    lake: Callable[..., Lake], tmp_path: Path
) -> None:
    own = lake(*THREE)
    long = lines(("2", "x" * 20_500_000))
    (tmp_path / "a.jsonl").write_bytes(b"\n".join([lines(("1", "a")), long, lines(("3", "b"))]))
    done = do(ingest.JOB, context_for(own, tmp_path))
    assert done is not None
    assert done.counts == {"read": 3, "raw": 2, "rejected": 1, "repeated": 0}
    rejected = own.read(tables.REJECTED).withColumn("kept", F.length("raw"))
    assert rows_of(rejected, "reason", "position", "length", "kept") == [
        ("too_long", len(lines(("1", "a"))) + 1, len(long), 64 << 10)
    ]


class Killed(BaseException):
    """Stands for SIGKILL in a process that has to live on."""


@pytest.fixture
def killed_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes the next run die at a stop point, as `PINGTI_STOP_AT` would."""

    def arm(place: str) -> None:
        def reach(name: str) -> None:
            if name == place:
                monkeypatch.setattr(stop_points, "reach", lambda _: None)
                raise Killed(name)

        monkeypatch.setattr(stop_points, "reach", reach)

    return arm


@pytest.mark.faults
@pytest.mark.parametrize(
    ("place", "recorded"),
    [
        ("ingest:rejected:before_commit", 0),
        ("ingest:rejected:after_commit", 0),
        ("ingest:raw_texts:before_commit", 0),
        ("ingest:raw_texts:after_commit", 0),
        ("ingest:loads:before_commit", 0),
        ("ingest:loads:after_commit", 1),
    ],
)
def test_a_run_killed_around_its_commits_loses_no_count(
    lake: Callable[..., Lake], tmp_path: Path, killed_at: Callable[[str], None], place: str, recorded: int
) -> None:
    own = lake(*THREE, tables.RUNS)
    (tmp_path / "all-bad.jsonl").write_bytes(b"{\n[\n")
    (tmp_path / "mixed.jsonl").write_bytes(lines(("1", "a"), ("2", ""), ("3", "c"), ("3", "c"), ("3", "other")))
    (tmp_path / "repeated.jsonl").write_bytes(lines(("1", "a"), ("3", "c")))
    killed_at(place)
    with pytest.raises(Killed):
        run(ingest.JOB, context_for(own, tmp_path))
    for _ in range(2):
        run(ingest.JOB, context_for(own, tmp_path))
    assert loads.totals(own) == {"records": 9, "raw": 2, "rejected": 4, "repeated": 3}
    assert told(own) == {"read": 9, "raw": 2, "rejected": 4}
    assert rows_of(own.read(tables.RAW_TEXTS), "source_id", "text") == [("1", "a"), ("3", "c")]
    reasons = ["duplicate_id", "malformed", "malformed", "no_text"]
    assert [row[0] for row in rows_of(own.read(tables.REJECTED), "reason")] == reasons
    assert own.read(tables.RUNS).where("reason LIKE 'killed after a commit%'").count() == recorded
