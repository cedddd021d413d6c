"""Every record of every file is in one of two tables, once, whatever the format, the cut and the repetition."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F

from jobs.ingestion import ingest, load_plan
from jobs.lake import tables
from jobs.lake.store import Lake
from jobs.runtime.context import Context
from jobs.runtime.job import Done, Work
from models import digests
from models.errors import ConflictError, DataError
from tests.support import context_of, do, rows_of, versions

pytestmark = pytest.mark.spark

COLUMNS = {"source_id": "id", "text": "content", "event_time": "at", "scene": "scene"}
EVENING, LATER = "2026-03-01T16:30:00Z", "2026-03-01T15:59:59.999999Z"  # either side of midnight in Shanghai
BOTH = (tables.RAW_TEXTS, tables.REJECTED)


def json_line(own: Any, content: Any, at: Any = EVENING, scene: Any = "live_chat") -> bytes:
    return json.dumps({"id": own, "content": content, "at": at, "scene": scene}, ensure_ascii=False).encode()


LINES = [
    b"\xef\xbb\xbf" + json_line("1", "老师好"),
    json_line("2", "好", LATER),
    json_line(None, "好"),
    b"",
    json_line(3, "三\n行\u2028", 1772382600),
    b'{"id": "4", "content": "cut off',
    json_line("5", ""),
    json_line("6", 6),
    json_line("7", "a", "yesterday"),
    json_line("8", "b").replace(b'"b"', b'"\xff"'),
    json_line("9", "c").replace(b'"c"', b'"\\ud83d"'),
    json_line("1", "again"),
    b"[1, 2]",
    json_line("10", "x" * 41),
]
REASONS = {  # by line
    5: "malformed", 6: "no_text", 7: "wrong_type", 8: "wrong_type", 9: "not_utf8", 10: "lone_surrogate",
    11: "duplicate_id", 12: "malformed", 13: "too_long",
}  # fmt: skip


def write_files(folder: Path) -> None:
    for name in ("chat", "asr", "ocr"):
        (folder / name).mkdir(parents=True)
    (folder / "chat" / "a.jsonl").write_bytes(b"\n".join(LINES))
    with (folder / "asr" / "b.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "content", "at", "scene"])
        writer.writerow(["1", '他说"好",\n然后\r\n走了', "2026-03-02 08:00:00", "teacher_speech"])
        writer.writerow(["2", "短", "2026-03-02 08:00:00", "teacher_speech", "surplus"])
        writer.writerow(["3", "完", "2026-03-02 08:00:00", "teacher_speech"])
    rows = {
        "id": ["1", None],
        "content": ["作业一", None],
        "at": [datetime(2026, 3, 2, 4), None],
        "scene": ["photo"] * 2,
    }
    pq.write_table(pa.table(rows), folder / "ocr" / "c.parquet")


def context_for(lake: Lake, folder: Path, **limits: Any) -> Context:
    formats = {"chat": "jsonl", "asr": "csv", "ocr": "parquet"}
    sources = {
        name: {"path": str(folder / name), "format": kind, "columns": COLUMNS, "constants": {"source": name}}
        for name, kind in formats.items()
        if (folder / name).exists()
    }
    limits = {"max_rejected_share": 0.9, "max_text_chars": 40} | limits
    return context_of(lake, "ingest", sources=sources, ingest=limits)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = tmp_path_factory.mktemp("files") / "in"
    write_files(made)
    return made


@pytest.fixture(scope="module")
def loaded(shared_lake: Callable[..., Lake], folder: Path) -> tuple[Lake, Done]:
    """A lake into which the files were loaded once."""
    lake = shared_lake(*BOTH)
    done = do(ingest.JOB, context_for(lake, folder))
    assert done is not None
    return lake, done


def offset(line: int) -> int:
    return sum(len(one) + 1 for one in LINES[:line])


def test_what_was_read_is_raw_or_rejected(loaded: tuple[Lake, Done]) -> None:
    lake, done = loaded
    assert done.counts == {"read": 18, "raw": 7, "rejected": 11}
    assert lake.read(tables.RAW_TEXTS).count() == 7
    assert lake.read(tables.REJECTED).count() == 11


def test_files_are_planned_alike_by_the_driver_and_by_executors(
    lake: Callable[..., Lake], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = context_for(lake(*BOTH), folder)
    by_driver = ingest.plan(context)
    monkeypatch.setattr(load_plan, "FEW_FILES", 0)
    assert ingest.plan(context) == by_driver
    assert len(by_driver.steps) == 3


def test_each_rejected_record_has_its_reason_offset_and_bytes(loaded: tuple[Lake, Done]) -> None:
    rejected = loaded[0].read(tables.REJECTED).where("file like '%a.jsonl'")
    found = {row["position"]: row for row in rejected.collect()}
    assert {position: row["reason"] for position, row in found.items()} == {
        offset(line): reason for line, reason in REASONS.items()
    }
    for line in REASONS.keys() - {11}:
        row = found[offset(line)]
        assert (bytes(row["raw"]), row["length"]) == (LINES[line], len(LINES[line]))
        assert row["sha256"] == digests.of_bytes(LINES[line])
    assert bytes(found[offset(11)]["raw"]).decode() == "again"
    others = loaded[0].read(tables.REJECTED).where("file not like '%a.jsonl'")
    assert rows_of(others, "reason", "detail") == [
        ("malformed", "5 fields, the header has 4"),
        ("no_text", "the text is missing, null or empty"),
    ]


def test_texts_arrive_untouched_with_the_id_of_their_source(loaded: tuple[Lake, Done]) -> None:
    raw = loaded[0].read(tables.RAW_TEXTS)
    found = {(row["source"], row["source_id"]): row for row in raw.collect()}
    assert found["chat", "1"]["text"] == "老师好"
    assert found["chat", "3"]["text"] == "三\n行\u2028"
    assert found["asr", "1"]["text"] == '他说"好",\n然后\r\n走了'
    assert found["ocr", "1"]["text"] == "作业一"
    assert found["asr", "3"]["text_id"] == digests.of_source("asr", "3")
    assert found["chat", "1"]["position"] == len(b"\xef\xbb\xbf")
    assert found["chat", "2"]["position"] == offset(1)
    assert len({row["text_id"] for row in found.values()}) == 7
    assert ("chat", None) in found


def test_days_are_cut_in_the_sessions_zone(loaded: tuple[Lake, Done]) -> None:
    chat = loaded[0].read(tables.RAW_TEXTS).where("source = 'chat' and source_id is not null")
    seconds = F.col("event_time").cast("double").alias("at")
    found = {row["source_id"]: (row["dt"], row["at"]) for row in chat.select("source_id", "dt", seconds).collect()}
    evening = datetime(2026, 3, 1, 16, 30, tzinfo=UTC).timestamp()
    assert found["1"] == (date(2026, 3, 2), evening)
    assert found["2"] == (date(2026, 3, 1), pytest.approx(evening - 1800.000001, abs=1e-5))
    assert found["3"] == (date(2026, 3, 2), evening)
    asr = loaded[0].read(tables.RAW_TEXTS).where("source <> 'chat'").select("source", seconds)
    assert {row["source"]: row["at"] for row in asr.collect()} == {
        "asr": datetime(2026, 3, 2, tzinfo=UTC).timestamp(), "ocr": datetime(2026, 3, 1, 20, tzinfo=UTC).timestamp(),
    }  # fmt: skip


def test_the_same_files_again_leave_nothing_to_do(loaded: tuple[Lake, Done], folder: Path, tmp_path: Path) -> None:
    lake, _ = loaded
    assert ingest.plan(context_for(lake, folder)).steps == ()
    moved = shutil.copytree(folder, tmp_path / "moved")
    assert ingest.plan(context_for(lake, moved)).steps == ()


def unloaded(context: Context) -> Work:
    """The plan as it was before the load."""
    held = context.lake.arrow
    context.lake.arrow = lambda table, *columns, **only: held(table, *columns, **only).slice(0, 0)  # type: ignore
    try:
        return ingest.plan(context)
    finally:
        context.lake.arrow = held  # type: ignore[method-assign]


def test_a_load_planned_before_another_run_made_it_adds_nothing(loaded: tuple[Lake, Done], folder: Path) -> None:
    lake, _ = loaded
    before = versions(lake, *BOTH)
    context = context_for(lake, folder)
    work = unloaded(context)
    assert len(work.steps) == 3
    with pytest.raises(ConflictError, match=r"another run loaded .*b.csv, .*a.jsonl, .*c.parquet meanwhile"):
        ingest.execute(context, work.required())
    assert versions(lake, *BOTH) == before


def test_too_many_rejected_records_stop_the_load_whole(loaded: tuple[Lake, Done], tmp_path: Path) -> None:
    lake, _ = loaded
    before = versions(lake, *BOTH)
    (tmp_path / "chat").mkdir()
    (tmp_path / "chat" / "bad.jsonl").write_bytes(b"\n".join([json_line("90", "good"), b"bad", b"worse"]))
    with pytest.raises(DataError, match=r"2 of 3 records are rejected, over ingest.max_rejected_share 0.5"):
        do(ingest.JOB, context_for(lake, tmp_path, max_rejected_share=0.5))
    assert versions(lake, *BOTH) == before


def test_a_source_without_files_is_told(loaded: tuple[Lake, Done], tmp_path: Path) -> None:
    (tmp_path / "chat").mkdir()
    with pytest.raises(DataError, match="no file at"):
        ingest.plan(context_for(loaded[0], tmp_path))


def test_the_cut_into_ranges_does_not_show(loaded: tuple[Lake, Done], folder: Path) -> None:
    whole, cut = (context_for(loaded[0], folder, **limits) for limits in ({}, {"split_bytes": 61}))
    files = unloaded(whole).required()

    def read(context: Context) -> list[tuple[Any, ...]]:
        return rows_of(ingest._read(context.spark, context.settings.sources, context.settings.ingest, files))

    assert len(read(cut)) == 18
    assert read(cut) == read(whole)


def test_a_later_load_takes_only_what_is_new(lake: Callable[..., Lake], tmp_path: Path) -> None:
    own = lake(*BOTH)
    chat = tmp_path / "chat"
    chat.mkdir()
    (chat / "a.jsonl").write_bytes(json_line("1", "first"))
    do(ingest.JOB, context_for(own, tmp_path))
    shutil.copy(chat / "a.jsonl", chat / "a-again.jsonl")
    (chat / "b.jsonl").write_bytes(json_line("1", "edited") + b"\n" + json_line("2", "second"))
    shutil.copy(chat / "b.jsonl", chat / "b-again.jsonl")
    context = context_for(own, tmp_path)
    work = ingest.plan(context)
    assert len(work.steps) == 1
    assert ingest.execute(context, work.required()).counts == {"read": 2, "raw": 1, "rejected": 1}
    assert rows_of(own.read(tables.RAW_TEXTS), "source_id", "text") == [("1", "first"), ("2", "second")]
    assert rows_of(own.read(tables.REJECTED), "reason", "position") == [("duplicate_id", 0)]
    assert ingest.plan(context_for(own, tmp_path)).steps == ()
