"""A person's texts leave every table, once and for all; what others said, and what adds up, stays."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from jobs.days.raw_days import RawDays
from jobs.ingestion.load_rows import gone_rows
from jobs.lake import erasing, file_care, loads, tables
from jobs.lake.commits import Scope
from jobs.lake.store import Lake
from jobs.lake.tables import Table
from jobs.operations import erase
from jobs.runtime.context import Context
from models import digests
from models.errors import DataError, SettingsError
from tests.killing import kill_and_repeat
from tests.support import (
    NEW_YEAR,
    STAMP,
    add,
    annotation_row,
    context_of,
    day,
    do,
    fill,
    score_row,
    teacher_score,
    text_row,
)

MODEL = "praise/textcnn/a"
WORDS = {"ann": "ann-says-so", "bob": "bob-says-so", "ann2": "both-say-so", "bob2": "both-say-so"}
"""Texts by the sources' own ids; one is said by both."""
DAYS = {"ann": 0, "bob": 0, "ann2": 1, "bob2": 2}
ANN = ("ann", "ann2")


def own(source_id: str) -> str:
    return digests.of_source("chat", source_id)


def raw_row(source_id: str, position: int) -> dict[str, Any]:
    return {
        "text_id": own(source_id), "source": "chat", "source_id": source_id, "scene": "live_chat",
        "text": WORDS[source_id], "dt": day(DAYS[source_id]), "event_time": NEW_YEAR, "arrived_dt": day(5),
        "load_id": "l", "file": "f", "position": position, "run_id": "r",
    }  # fmt: skip


def sample_row(round_id: str, source_id: str) -> dict[str, Any]:
    text = WORDS[source_id]
    return {
        "round_id": round_id, "text_id": own(source_id), "text_hash": digests.of_text(text), "text": text,
        "position": 0, "split": "train", "reasons": [], "weight": 1.0, "hard": [1.0],
    }  # fmt: skip


def label_row(source_id: str) -> dict[str, Any]:
    row = {
        "text_id": own(source_id), "dt": day(DAYS[source_id]), "task": "praise", "label": "asks", "scene": "live_chat",
        "score": 0.9, "threshold": 0.5, "model_id": MODEL, "threshold_version": 1,
    }  # fmt: skip
    return {name: value for name, value in row.items() if name in tables.LABELS.names}


def rejected_row(position: int, raw: bytes, reason: str = "malformed", **values: Any) -> dict[str, Any]:
    return {
        "file": "f", "position": position, "arrived_dt": day(5), "reason": reason, "length": len(raw), "sha256": "s",
        "raw": raw, "load_id": "l", "run_id": "r",
    } | values  # fmt: skip


@pytest.fixture
def house(bare_lake: Callable[..., Lake]) -> Lake:
    load = {
        "load_id": "l", "file": "f", "arrived_dt": day(5), "first": 0, "state": "loaded", "records": 8, "raw": 4,
        "rejected": 4, "repeated": 0, "run_id": "r",
    }  # fmt: skip
    return fill(
        bare_lake(*tables.ALL),
        {
            tables.RAW_TEXTS: [raw_row(one, at) for at, one in enumerate(WORDS)],
            tables.LOADS: [load],
            tables.REJECTED: [
                rejected_row(10, b'{"id": "ann", "content": "cut off'),
                rejected_row(11, b'{"id": "anna", "content": "cut off'),
                rejected_row(12, b"said again", "duplicate_id", text_id=own("ann2")),
                rejected_row(13, "ann,谁".encode("gb18030")),
                rejected_row(14, b"ann2,asks,1", "annotation_unmatched", file="labels.csv"),
            ],
            tables.TEXTS: [text_row(own(one), text, source_id=one, dt=day(DAYS[one])) for one, text in WORDS.items()],
            tables.STUDENT_SCORES: [score_row(own(one), MODEL, [0.9], dt=day(DAYS[one])) for one in WORDS],
            tables.LABELS: [label_row(one) for one in WORDS],
            tables.TEACHER_SCORES: [teacher_score("praise/teacher/a", text, 0.9) for text in set(WORDS.values())],
            tables.ROUND_SAMPLES: [sample_row("praise/textcnn/01", one) for one in WORDS],
            tables.ANNOTATIONS: [
                annotation_row("praise", "asks", one, True)
                | {"text_id": own(one), "text_hash": digests.of_text(WORDS[one])}
                for one in WORDS
            ],
        },
    )


def asked(lake: Lake, folder: Path, *ids: str, kind: str = "source_id") -> Context:
    file = folder / "ids.txt"
    file.write_text("\n".join(ids) + "\n\n")
    return context_of(lake, "erase", options={kind: file})


def content(lake: Lake, *wanted: Table) -> dict[str, list[dict[str, Any]]]:
    volatile = ("run_id", "erased_at")
    return {
        table.name: sorted(
            ({name: value for name, value in row.items() if name not in volatile} for row in lake.rows(table)), key=str
        )
        for table in wanted or tables.ALL
        if table is not tables.RUNS
    }


HOLDING = (
    tables.RAW_TEXTS,
    tables.TEXTS,
    tables.STUDENT_SCORES,
    tables.LABELS,
    tables.ROUND_SAMPLES,
    tables.ANNOTATIONS,
)


@pytest.mark.parametrize("kind", ["source_id", "text_id"])
def test_a_persons_texts_leave_every_table_and_those_of_others_stay(house: Lake, tmp_path: Path, kind: str) -> None:
    others = {
        table: [row for row in house.rows(table) if row["text_id"] in map(own, ("bob", "bob2"))] for table in HOLDING
    }
    done = do(erase.JOB, asked(house, tmp_path, *(ANN if kind == "source_id" else map(own, ANN)), kind=kind))
    assert done is not None
    assert {name: done.counts[name] for name in ("erased", "raw_texts", "texts", "labels", "teacher_scores")} == {
        "erased": 2, "raw_texts": 2, "texts": 2, "labels": 2, "teacher_scores": 1,
    }  # fmt: skip
    for table in HOLDING:
        assert sorted(house.rows(table), key=str) == sorted(others[table], key=str), table.name
    scored = {row["text_hash"] for row in house.rows(tables.TEACHER_SCORES)}
    assert scored == {digests.of_text(WORDS["bob"]), digests.of_text("both-say-so")}
    assert {row["text_id"] for row in house.rows(tables.ERASED)} == set(map(own, ANN))


def test_rejected_records_that_name_an_id_lose_their_bytes(house: Lake, tmp_path: Path) -> None:
    done = do(erase.JOB, asked(house, tmp_path, *ANN))
    assert done is not None
    assert done.counts["rejected"] == 4
    rows = {row["position"]: row for row in house.rows(tables.REJECTED)}
    assert [rows[at]["raw"] for at in range(10, 15)] == [None, b'{"id": "anna", "content": "cut off', None, None, None]
    assert (rows[10]["sha256"], rows[14]["sha256"]) == ("", "s")
    assert [rows[at]["reason"] for at in (0, 2)] == ["erased", "erased"]


def test_loads_still_add_up(house: Lake, tmp_path: Path) -> None:
    before = loads.totals(house)
    do(erase.JOB, asked(house, tmp_path, *ANN))
    assert loads.unrecorded(house) == []
    after = loads.totals(house)
    assert (after["records"], after["raw"], after["rejected"]) == (before["records"], 2, before["rejected"] + 2)
    assert after["raw"] == len(house.rows(tables.RAW_TEXTS))


@pytest.mark.parametrize("raw_is_gone", [False, True])
def test_a_load_between_an_erasure_that_was_killed_and_its_end_counts_nothing_twice(
    house: Lake, tmp_path: Path, raw_is_gone: bool
) -> None:
    before = loads.totals(house)
    half_way = {"reason": "erased", "detail": loads.ERASED_AFTER, "length": 0, "sha256": "", "raw": None}
    add(house, tables.REJECTED, *[rejected_row(list(WORDS).index(one), b"") | half_way for one in ANN])
    if raw_is_gone:
        erasing.remove_rows(house, tables.RAW_TEXTS, "text_id", pa.array([own(one) for one in ANN]), STAMP)
    assert loads.unrecorded(house) == [], "a load would record them as its own"
    assert loads.totals(house) == before
    do(erase.JOB, asked(house, tmp_path, *ANN))
    assert loads.unrecorded(house) == []
    after = loads.totals(house)
    assert (after["records"], after["raw"], after["rejected"]) == (before["records"], 2, before["rejected"] + 2)


def test_a_load_that_was_not_recorded_before_its_texts_were_erased_adds_up(house: Lake, tmp_path: Path) -> None:
    house.replace_rows(tables.LOADS, [], STAMP, Scope())
    do(erase.JOB, asked(house, tmp_path, *ANN))
    add(house, tables.LOADS, *gone_rows(loads.unrecorded(house), "next"))
    assert loads.unrecorded(house) == []
    after = loads.totals(house)
    assert (after["records"], after["raw"], after["rejected"]) == (8, 2, 6)


def test_only_the_days_of_the_texts_have_news(house: Lake, tmp_path: Path) -> None:
    before = dict(RawDays(house).signatures())
    do(erase.JOB, asked(house, tmp_path, *ANN))
    after = RawDays(house).signatures()
    changed = {cell.day for cell in before.keys() | after.keys() if before.get(cell) != after.get(cell)}
    assert changed == {day(0), day(1)}


def test_twice_is_once(house: Lake, tmp_path: Path) -> None:
    do(erase.JOB, asked(house, tmp_path, *ANN))
    before = content(house)
    assert do(erase.JOB, asked(house, tmp_path, *ANN)) is None
    assert content(house) == before


def test_what_was_append_only_is_so_again(house: Lake, tmp_path: Path) -> None:
    do(erase.JOB, asked(house, tmp_path, "ann"))
    for table in (tables.RAW_TEXTS, tables.REJECTED):
        opened = DeltaTable(house.catalog.place(table) or "")
        assert opened.metadata().configuration["delta.appendOnly"] == "true"
        assert house.catalog.left_to_spark(table) is None
        with pytest.raises(Exception, match="append"):
            opened.delete("position = 1")


def test_no_id_of_a_source_and_no_text_is_written_down(house: Lake, tmp_path: Path) -> None:
    versions = {table: house.log.version(table) for table in tables.ALL}
    do(erase.JOB, asked(house, tmp_path, *ANN))
    for table in tables.ALL:
        log = Path(house.catalog.place(table) or "") / "_delta_log"
        for path in sorted(log.glob("*.json"))[versions[table] + 1 :]:
            told = path.read_text("utf-8")
            assert "ann" not in told
            assert "say-so" not in told
            assert table is tables.ERASED or own("ann") not in told


def test_after_maintenance_past_versions_have_them_no_more(house: Lake, tmp_path: Path) -> None:
    do(erase.JOB, asked(house, tmp_path, *ANN))
    later = datetime.now(UTC) + timedelta(hours=1)
    for table in tables.ALL:
        file_care.remove_files(house, table, file_care.unneeded_files(house, table, later))
        place = Path(house.catalog.place(table) or "")
        for path in place.rglob("*.parquet"):
            rows = pq.ParquetFile(path).read().to_pylist()
            assert "ann-says-so" not in str(rows), path
            assert not {own("ann")} & {row.get("text_id") for row in rows} or table is tables.ERASED, path


def test_an_id_that_never_came_is_written_down_for_the_day_it_does(house: Lake, tmp_path: Path) -> None:
    done = do(erase.JOB, asked(house, tmp_path, "carl"))
    assert done is not None
    assert {name for name, count in done.counts.items() if count} == {"erased"}
    assert house.rows(tables.ERASED)[0]["text_id"] == own("carl")


def test_a_text_that_comes_beside_it_stays(house: Lake, tmp_path: Path) -> None:
    do(erase.JOB, asked(house, tmp_path, "ann"))
    add(house, tables.RAW_TEXTS, raw_row("bob", 9) | {"text_id": "new"})
    do(erase.JOB, asked(house, tmp_path, "ann2"))
    assert {row["text_id"] for row in house.rows(tables.RAW_TEXTS)} == {own("bob"), own("bob2"), "new"}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "expected one of --text-id FILE and --source-id FILE"),
        ({"text_id": "a", "source_id": "b"}, "expected one of"),
        ({"text_id": "/nowhere/ids"}, r"--text-id: /nowhere/ids cannot be read \(FileNotFoundError\)"),
        ({"text_id": "/dev/null"}, "names no id"),
    ],
)
def test_what_names_no_ids_is_refused(house: Lake, options: dict[str, str], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        erase.plan(context_of(house, "erase", options=options))


def test_a_table_that_is_left_to_spark_is_refused_before_anything_is_done(house: Lake, tmp_path: Path) -> None:
    DeltaTable(house.catalog.place(tables.TEXTS) or "").alter.set_table_properties(
        {"delta.enableChangeDataFeed": "true"}
    )
    if house.catalog.left_to_spark(tables.TEXTS) is None:
        pytest.skip("delta-rs writes such a table by itself")
    with pytest.raises(DataError, match=r"left to Spark: texts \(it "):
        erase.plan(asked(house, tmp_path, "ann"))


@pytest.mark.faults
@pytest.mark.parametrize(
    "at", ["erased:after", "rejected:after", "raw_texts:before", "raw_texts:after", "loads:after", "labels:after"]
)
def test_killed_between_commits_it_goes_on(house: Lake, tmp_path: Path, at: str) -> None:
    file = tmp_path / "ids.txt"
    file.write_text("\n".join(ANN))
    kill_and_repeat(house, tmp_path, f"erase:{at}_commit", "erase", "--source-id", str(file))
    assert {row["source_id"] for row in house.rows(tables.RAW_TEXTS)} == {"bob", "bob2"}
    assert loads.unrecorded(house) == []
    assert do(erase.JOB, asked(house, tmp_path, *ANN)) is None
    kept = DeltaTable(house.catalog.place(tables.RAW_TEXTS) or "")
    assert kept.metadata().configuration["delta.appendOnly"] == "true"
    assert len([row for row in house.rows(tables.REJECTED) if row["reason"] == "erased"]) == 2
