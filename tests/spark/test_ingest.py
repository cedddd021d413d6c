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

from jobs.ingestion import file_survey, ingest, repetitions, spark_load
from jobs.ingestion.load_plan import LoadPlan
from jobs.lake import loads, tables
from jobs.lake.store import Lake
from jobs.runtime.context import Context
from jobs.runtime.job import Done
from models import digests
from models.errors import ConflictError, DataError, RefusedError
from tests.support import context_of, do, rows_of, versions
from udfs.readers.sources import RecordLimits

pytestmark = [pytest.mark.spark, pytest.mark.usefixtures("either_hand")]

COLUMNS = {"source_id": "id", "text": "content", "event_time": "at", "scene": "scene"}
EVENING, LATER = "2026-03-01T16:30:00Z", "2026-03-01T15:59:59.999999Z"  # either side of midnight in Shanghai
BOTH = (tables.RAW_TEXTS, tables.REJECTED)
THREE = (*BOTH, tables.LOADS)


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
def loaded(shared_lake: Callable[..., Lake], folder: Path) -> tuple[Lake, Done, LoadPlan]:
    """A lake into which the files were loaded once, and how that was planned."""
    lake = shared_lake(*THREE)
    context = context_for(lake, folder)
    work = ingest.plan(context).required()
    done = ingest.execute(context, work)
    assert done is not None
    return lake, done, work


def offset(line: int) -> int:
    return sum(len(one) + 1 for one in LINES[:line])


def test_what_was_read_is_raw_or_rejected(loaded: tuple[Lake, Done, LoadPlan]) -> None:
    lake, done, _ = loaded
    assert done.counts == {"read": 18, "raw": 7, "rejected": 11, "repeated": 0}
    assert lake.read(tables.RAW_TEXTS).count() == 7
    assert lake.read(tables.REJECTED).count() == 11


def test_files_are_planned_alike_by_the_driver_and_by_executors(
    lake: Callable[..., Lake], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = context_for(lake(*THREE), folder)
    by_driver = ingest.plan(context)
    monkeypatch.setattr(file_survey, "FEW_FILES", 0)
    assert ingest.plan(context) == by_driver
    assert len(by_driver.steps) == 3


def test_each_rejected_record_has_its_reason_offset_and_bytes(loaded: tuple[Lake, Done, LoadPlan]) -> None:
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


def test_texts_arrive_untouched_with_the_id_of_their_source(loaded: tuple[Lake, Done, LoadPlan]) -> None:
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


def test_days_are_cut_in_the_sessions_zone(loaded: tuple[Lake, Done, LoadPlan]) -> None:
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


def test_the_same_files_again_leave_nothing_to_do(
    loaded: tuple[Lake, Done, LoadPlan], folder: Path, tmp_path: Path
) -> None:
    lake, _, _ = loaded
    assert ingest.plan(context_for(lake, folder)).steps == ()
    moved = shutil.copytree(folder, tmp_path / "moved")
    before = versions(lake, *BOTH)
    done = do(ingest.JOB, context_for(lake, moved))
    assert done is not None
    assert not any(done.counts.values())
    assert versions(lake, *BOTH) == before
    assert ingest.plan(context_for(lake, moved)).steps == ()


def test_a_load_planned_before_another_run_made_it_adds_nothing(
    loaded: tuple[Lake, Done, LoadPlan], folder: Path
) -> None:
    lake, _, work = loaded
    before = versions(lake, *THREE)
    with pytest.raises(ConflictError, match=r"another run loaded .*b.csv, .*a.jsonl, .*c.parquet meanwhile"):
        ingest.execute(context_for(lake, folder), work)
    assert versions(lake, *THREE) == before


def test_of_a_source_with_too_many_rejected_records_nothing_is_loaded(
    loaded: tuple[Lake, Done, LoadPlan], tmp_path: Path
) -> None:
    lake, _, _ = loaded
    before = versions(lake, *THREE)
    (tmp_path / "chat").mkdir()
    (tmp_path / "chat" / "bad.jsonl").write_bytes(b"\n".join([json_line("90", "good"), b"bad", b"worse"]))
    wanted = r"ingest: sources.chat: 2 of 3 records are rejected, over ingest.max_rejected_share 0.5"
    with pytest.raises(DataError, match=wanted):
        do(ingest.JOB, context_for(lake, tmp_path, max_rejected_share=0.5))
    assert versions(lake, *THREE) == before


def test_a_source_without_files_is_told(loaded: tuple[Lake, Done, LoadPlan], tmp_path: Path) -> None:
    (tmp_path / "chat").mkdir()
    with pytest.raises(DataError, match="no file at"):
        ingest.plan(context_for(loaded[0], tmp_path))


def test_a_source_without_files_is_told_when_all_else_is_loaded_unless_it_may_have_none(
    lake: Callable[..., Lake], tmp_path: Path
) -> None:
    own = lake(*THREE)
    for name in ("chat", "asr"):
        (tmp_path / name).mkdir()
    (tmp_path / "chat" / "a.jsonl").write_bytes(json_line("1", "a"))
    for again in (False, True):  # every night, until it is mended
        context = context_for(own, tmp_path)
        assert context.settings.sources["asr"].path in ingest.plan(context).steps[-1]
        done = do(ingest.JOB, context)
        assert done is not None
        assert isinstance(done.error, DataError)
        assert "sources.asr: no file at" in str(done.error)
        assert done.counts["raw"] == (0 if again else 1)
    sources = {name: one.model_dump() for name, one in context.settings.sources.items()}
    sources["asr"]["optional"] = True
    given = {"sources": sources, "ingest": context.settings.ingest.model_dump()}
    assert ingest.plan(context_of(own, "ingest", **given)).steps == ()


def test_the_cut_into_ranges_does_not_show(loaded: tuple[Lake, Done, LoadPlan], folder: Path) -> None:
    context = context_for(loaded[0], folder)
    batch = loaded[2].batch
    assert batch is not None

    def read(split_bytes: int) -> list[tuple[Any, ...]]:
        limits = RecordLimits(max_text_chars=40)
        return rows_of(spark_load.read_files(context.spark, context.settings.sources, split_bytes, limits, batch.files))

    assert len(read(61)) == 18
    assert read(61) == read(16 << 20)


def test_a_later_load_takes_only_what_is_new(lake: Callable[..., Lake], tmp_path: Path) -> None:
    own = lake(*THREE)
    chat = tmp_path / "chat"
    chat.mkdir()
    (chat / "a.jsonl").write_bytes(json_line("1", "first"))
    do(ingest.JOB, context_for(own, tmp_path))
    shutil.copy(chat / "a.jsonl", chat / "a-again.jsonl")
    (chat / "b.jsonl").write_bytes(json_line("1", "edited") + b"\n" + json_line("2", "second"))
    shutil.copy(chat / "b.jsonl", chat / "b-again.jsonl")
    context = context_for(own, tmp_path)
    work = ingest.plan(context)
    assert work.steps[0] == f"load 2 records of {chat / 'b-again.jsonl'}"
    assert work.steps[1:] == ("note 2 files whose records are in the tables already",)
    done = ingest.execute(context, work.required())
    assert done is not None
    assert done.counts == {"read": 2, "raw": 1, "rejected": 1, "repeated": 0}
    assert rows_of(own.read(tables.RAW_TEXTS), "source_id", "text") == [("1", "first"), ("2", "second")]
    assert rows_of(own.read(tables.REJECTED), "reason", "position") == [("duplicate_id", 0)]
    assert ingest.plan(context_for(own, tmp_path)).steps == ()


def test_a_record_that_is_delivered_again_is_counted_and_not_kept(lake: Callable[..., Lake], tmp_path: Path) -> None:
    own = lake(*THREE)
    chat = tmp_path / "chat"
    chat.mkdir()
    first = [json_line("1", "first"), json_line("2", "second"), b"bad"]
    (chat / "a.jsonl").write_bytes(b"\n".join(first))
    do(ingest.JOB, context_for(own, tmp_path))
    edited, in_a_week = json_line("2", "edited"), json_line("1", "first", "2026-03-08T16:30:00Z")
    again = [first[1], first[0], edited, json_line("3", "new"), json_line("3", "new"), first[0], in_a_week]
    (chat / "b.jsonl").write_bytes(b"\n".join(again))
    done = do(ingest.JOB, context_for(own, tmp_path, max_rejected_share=0.7))
    assert done is not None
    assert done.counts == {"read": 7, "raw": 1, "rejected": 2, "repeated": 4}
    assert rows_of(own.read(tables.RAW_TEXTS), "source_id", "text") == [("1", "first"), ("2", "second"), ("3", "new")]
    assert rows_of(own.read(tables.REJECTED), "reason") == [("duplicate_id",), ("duplicate_id",), ("malformed",)]
    totals = {"records": 10, "raw": 3, "rejected": 3, "repeated": 4}
    assert loads.totals(own) == totals
    (chat / "c.jsonl").write_bytes(b"\n".join([*first[:2], *first[:2], b"worse"]))
    # The four repeated ones weigh nothing.
    with pytest.raises(DataError, match=r"sources\.chat: 1 of 1 records are rejected"):
        do(ingest.JOB, context_for(own, tmp_path))
    assert loads.totals(own) == totals


def test_ids_are_looked_for_on_days_that_are_near(lake: Callable[..., Lake], tmp_path: Path) -> None:
    own = lake(*THREE)
    (tmp_path / "chat").mkdir()
    times = ["2026-03-01T08:00:00Z", "2026-03-03T08:00:00Z", "2026-03-04T08:00:00Z"]
    for number, at in enumerate(times):
        (tmp_path / "chat" / f"{number}.jsonl").write_bytes(json_line("1", "a", at))
        do(ingest.JOB, context_for(own, tmp_path, same_id_days=1, max_rejected_share=1.0))
    assert rows_of(own.read(tables.RAW_TEXTS), "event_time", "dt") == [
        (datetime(2026, 3, 1, 8), date(2026, 3, 1)), (datetime(2026, 3, 3, 8), date(2026, 3, 3)),
    ]  # fmt: skip
    raw_texts = own.read(tables.RAW_TEXTS)
    near = repetitions.earlier_texts(raw_texts, [date(2026, 3, 2)], 1)
    assert near is not None
    assert near.count() == 2
    assert repetitions.earlier_texts(raw_texts, [], 1) is None


def test_a_file_of_lines_that_grew_goes_on_where_it_ended(lake: Callable[..., Lake], tmp_path: Path) -> None:
    own = lake(*THREE)
    (tmp_path / "chat").mkdir()
    path = tmp_path / "chat" / "a.jsonl"
    nameless = [json_line(None, f"text {number}") for number in range(120)]
    path.write_bytes(b"\n".join(nameless[:100]))
    do(ingest.JOB, context_for(own, tmp_path))
    with path.open("ab") as file:
        file.write(b"\n" + b"\n".join(nameless[100:]))
    done = do(ingest.JOB, context_for(own, tmp_path, split_bytes=500))
    assert done is not None
    assert done.counts == {"read": 20, "raw": 20, "rejected": 0, "repeated": 0}
    raw = own.read(tables.RAW_TEXTS)
    assert (raw.count(), raw.select("text").distinct().count(), raw.select("text_id").distinct().count()) == (120,) * 3
    path.write_bytes(b"\n".join(nameless[:50]))
    refused = do(ingest.JOB, context_for(own, tmp_path))
    assert refused is not None
    assert isinstance(refused.error, RefusedError)
    assert "a.jsonl (file_changed: other content than was loaded under this name" in str(refused.error)
    assert rows_of(own.read(tables.REJECTED), "reason", "length") == [("file_changed", path.stat().st_size)]


def test_a_file_that_changes_between_plan_and_execution_is_not_loaded_and_one_that_grows_is(
    lake: Callable[..., Lake], tmp_path: Path
) -> None:
    own = lake(*THREE)
    (tmp_path / "chat").mkdir()
    path = tmp_path / "chat" / "a.jsonl"
    path.write_bytes(json_line("1", "a") + b"\n")
    context = context_for(own, tmp_path)
    work = ingest.plan(context).required()
    path.write_bytes(json_line("1", "b") + b"\n")  # as many bytes, as many records
    with pytest.raises(DataError, match=r"a.jsonl changed under way; nothing was loaded"):
        ingest.execute(context, work)
    assert own.read(tables.RAW_TEXTS).count() == 0
    work = ingest.plan(context).required()
    path.write_bytes(json_line("1", "b") + b"\n" + json_line("2", "c"))
    for wanted in (["b"], ["b", "c"]):
        assert ingest.execute(context, work) is not None
        assert [row[0] for row in rows_of(own.read(tables.RAW_TEXTS), "text")] == wanted
        work = ingest.plan(context).required()


def test_many_files_are_loaded_batch_by_batch(lake: Callable[..., Lake], tmp_path: Path) -> None:
    own = lake(*THREE)
    (tmp_path / "chat").mkdir()
    for number in range(5):
        (tmp_path / "chat" / f"{number}.jsonl").write_bytes(json_line(number, "a") + b"\n" + json_line("x", "again"))
    done = do(ingest.JOB, context_for(own, tmp_path, batch_files=2))
    assert done is not None
    assert done.counts == {"read": 10, "raw": 6, "rejected": 0, "repeated": 4}
    assert rows_of(own.read(tables.LOADS), "records") == [(2,)] * 5
    assert own.log.version(tables.LOADS) == 3
    assert ingest.plan(context_for(own, tmp_path)).steps == ()


def test_a_batch_of_which_too_much_is_rejected_holds_up_no_other(lake: Callable[..., Lake], tmp_path: Path) -> None:
    own = lake(*THREE)
    (tmp_path / "chat").mkdir()
    for name, content in (("a", json_line("1", "a")), ("b", b"bad"), ("c", json_line("2", "a"))):
        (tmp_path / "chat" / f"{name}.jsonl").write_bytes(content)
    done = do(ingest.JOB, context_for(own, tmp_path, batch_files=1))
    assert done is not None
    assert "sources.chat: 1 of 1 records are rejected" in str(done.error)
    assert "none of these was loaded" in str(done.error)
    assert loads.totals(own) == {"records": 2, "raw": 2, "rejected": 0, "repeated": 0}
