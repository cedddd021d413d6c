"""Maintenance: files in bounds, records tidied, old rounds' texts gone; and the next night has nothing to do."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow.fs as pafs
import pytest
from deltalake import DeltaTable
from pydantic import ValidationError

from jobs.days import made_days, tidying
from jobs.days.signatures import Cell
from jobs.ingestion import clean
from jobs.labels import label
from jobs.lake import file_care, row_files, tables
from jobs.lake.commits import Scope
from jobs.lake.schema_check import conformed_rows
from jobs.lake.store import Lake
from jobs.lake.tables import Table
from jobs.operations import maintain
from jobs.runtime import daily
from jobs.runtime.daily import DailyWork
from jobs.scoring import score
from jobs.settings import MaintenanceSettings
from models.errors import ConflictError
from tests.killing import kill_and_repeat
from tests.support import (
    NEW_YEAR,
    STAMP,
    add,
    context_of,
    day,
    do,
    fill,
    model_row,
    promotion_row,
    round_row,
    score_row,
    text_row,
    threshold_row,
)

STUDENT = "praise/textcnn/a"
SETTINGS: dict[str, Any] = {
    "tasks": {"praise": {"kind": "multi_label", "scenes": ["live_chat"], "labels": {"asks": {}}}}
}
DAYS = range(3)
FILES = 9


def raw_row(number: int, of: int) -> dict[str, Any]:
    return {
        "text_id": f"{number}-{of}", "source": "chat", "scene": "live_chat", "text": f"words-of-{of}",
        "dt": day(number), "event_time": NEW_YEAR, "arrived_dt": day(number), "load_id": "l", "file": "f",
        "position": of, "run_id": "r",
    }  # fmt: skip


@pytest.fixture
def house(bare_lake: Callable[..., Lake]) -> Lake:
    """Three days of nine small files in each table, each day made by what the jobs' own plans say."""
    lake = fill(
        bare_lake(*tables.ALL),
        {
            tables.MODELS: [model_row(STUDENT, ["asks"])],
            tables.THRESHOLDS: [threshold_row(STUDENT, "asks", 0.5)],
            tables.PROMOTIONS: [promotion_row(STUDENT, NEW_YEAR)],
        },
    )
    for number in DAYS:
        for of in range(FILES):
            add(lake, tables.RAW_TEXTS, raw_row(number, of))
    make_days(lake)
    return lake


def make_days(lake: Lake) -> None:
    """Do what is left of `clean`, `score` and `label`, with rows that are quickly made."""
    context = night(lake, clean)
    work = clean.plan(context)
    if work.remember is not None:
        work.remember()
    texts = [text_row(f"{number}-{of}", dt=day(number)) for number in DAYS for of in range(FILES)]
    commit_days(lake, context, work.required(), texts)
    context = night(lake, score)
    scores = [score_row(row["text_id"], STUDENT, [0.9], dt=row["dt"]) for row in texts]
    commit_days(lake, context, score.plan(context).required().cells, scores)
    context = night(lake, label)
    labels = [
        {
            "text_id": row["text_id"], "dt": row["dt"], "task": "praise", "label": "asks", "scene": "live_chat",
            "score": 0.9, "threshold": 0.5, "model_id": STUDENT, "threshold_version": 1, "run_id": "r",
        }
        for row in texts
    ]  # fmt: skip
    known = [{name: value for name, value in row.items() if name in tables.LABELS.names} for row in labels]
    commit_days(lake, context, label.plan(context).required().cells, known)


def commit_days(lake: Lake, context: Any, work: DailyWork, rows: list[dict[str, Any]]) -> None:
    """Commit the rows as many small files, in one commit that replaces the days."""
    folder = lake.catalog.arrow.folder(work.table)
    files = []
    for row in rows:
        with row_files.written(work.table, conformed_rows(work.table, [row]), folder) as written:
            files += written
    since = lake.catalog.arrow.snapshot(work.table, work.scope)
    commit = lake.replace_files(work.table, files, context.stamp(work.fingerprint), work.scope, since)
    daily.record(context, work, commit.version)


def night(lake: Lake, job: Any) -> Any:
    return context_of(lake, job.JOB.name, **SETTINGS)


def late(lake: Lake) -> list[str]:
    """What the night would do."""
    return [step for job in (clean, score, label) for step in job.JOB.plan(night(lake, job)).steps]


def kept(lake: Lake, table: Table) -> list[dict[str, Any]]:
    return sorted(lake.rows(table), key=str)


def age(lake: Lake, days: int, *wanted: Table) -> None:
    """Let all files of the tables, and their commits, have been written so many days ago."""
    moment = datetime.now(UTC).timestamp() - days * 86_400
    for table in wanted or tables.ALL:
        for path in Path(lake.catalog.place(table) or "").rglob("*"):
            os.utime(path, (moment, moment))


def data_files(lake: Lake, table: Table) -> set[str]:
    place = Path(lake.catalog.place(table) or "")
    return {str(path.relative_to(place)) for path in place.rglob("*.parquet") if "_delta_log" not in path.parts}


def clean_log(lake: Lake, table: Table) -> None:
    """What Delta does after a month: a checkpoint, and none of the commits before it."""
    DeltaTable(lake.catalog.place(table) or "").create_checkpoint()
    log = Path(lake.catalog.place(table) or "") / "_delta_log"
    for file in sorted(log.glob("*.json"))[:-1]:
        file.unlink()


MADE = (tables.RAW_TEXTS, tables.TEXTS, tables.STUDENT_SCORES, tables.LABELS)


def test_small_days_are_compacted_and_the_night_has_nothing_to_do(house: Lake) -> None:
    assert late(house) == []
    before = {table: kept(house, table) for table in MADE}
    done = do(maintain.JOB, night(house, maintain))
    assert done is not None
    assert done.counts["partitions_compacted"] >= len(DAYS) * len(MADE)
    for table in MADE:
        assert len(house.catalog.arrow.files(table)) == len(DAYS), table.name
        assert kept(house, table) == before[table]
    assert late(house) == []
    for table in tables.ALL:
        clean_log(house, table)
    assert late(house) == [], "the records need the log no more"
    assert maintain.plan(night(house, maintain)).steps == ()


def test_a_compaction_that_another_tool_made_is_written_down_too(house: Lake) -> None:
    for table in MADE:
        DeltaTable(house.catalog.place(table) or "").optimize.compact()
    tidying.tidy_made_days(house, STAMP)
    for table in MADE:
        clean_log(house, table)
    assert late(house) == []


def test_a_change_beside_a_compaction_stays_news(house: Lake) -> None:
    DeltaTable(house.catalog.place(tables.TEXTS) or "").delete("text_id = '1-1'")
    do(maintain.JOB, night(house, maintain))
    assert [step.partition(":")[0] for step in late(house)] == [
        f"clean the texts of {day(1)}", f"score {day(1)} with {STUDENT}", f"decide praise for {day(1)}",
    ]  # fmt: skip


def test_files_are_removed_only_when_no_version_of_the_retention_needs_them(house: Lake) -> None:
    context = night(house, maintain)
    do(maintain.JOB, context)
    scores = data_files(house, tables.STUDENT_SCORES)
    assert len(scores) == len(DAYS) * (FILES + 1), "what was compacted just now may still be read"
    stray = Path(house.catalog.place(tables.STUDENT_SCORES) or "") / "part-stray.parquet"
    stray.write_bytes(b"of a task whose commit never came")
    assert maintain.plan(context).steps == ()
    age(house, 30)
    before = {table: kept(house, table) for table in tables.ALL}
    plan = maintain.plan(context)
    assert any(f"remove {len(DAYS) * FILES + 1} files of student_scores" in step for step in plan.steps)
    do(maintain.JOB, context)
    live = {unquote(file.path) for file in house.catalog.arrow.files(tables.STUDENT_SCORES)}
    assert data_files(house, tables.STUDENT_SCORES) == live
    assert {table: kept(house, table) for table in tables.ALL} == before
    assert late(house) == []


def test_files_removed_by_a_commit_within_the_retention_stay(house: Lake) -> None:
    age(house, 30)
    do(maintain.JOB, night(house, maintain))
    # Old files, which a compaction of today took out of the newest version.
    version = house.log.version(tables.TEXTS) - 1
    assert house.catalog.arrow.existing(tables.TEXTS).version() == version + 1
    restored = DeltaTable(house.catalog.place(tables.TEXTS) or "", version=version)
    assert restored.to_pyarrow_table().num_rows == len(DAYS) * FILES


def test_a_path_that_the_log_escapes_is_known_on_the_disk() -> None:
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    infos = [
        pafs.FileInfo(path, pafs.FileType.File, mtime=moment - timedelta(days=1))
        for path in ("dt=1/model_id=a%2Fb/x.parquet", "dt=1/y.parquet", "_delta_log/0.json", "dt=1/.y.parquet.crc")
    ]
    found = file_care.unneeded(infos, frozenset({"dt=1/model_id=a%2Fb/x.parquet"}), moment)
    assert [info.path for info in found] == ["dt=1/y.parquet"]


def test_partitions_that_delta_rs_escapes_stay(bare_lake: Callable[..., Lake]) -> None:
    lake = bare_lake(tables.STUDENT_SCORES)
    for number in range(4):
        add(lake, tables.STUDENT_SCORES, score_row(str(number), STUDENT, [0.5]))
    for _ in range(2):  # delta-rs names the folder `model_id=praise%2Ftextcnn%2Fa`
        file_care.compact(lake, tables.STUDENT_SCORES, [(("dt", str(day(0))), ("model_id", STUDENT))])
    assert "%252F" in lake.catalog.arrow.files(tables.STUDENT_SCORES)[0].path
    now = datetime.now(UTC) + timedelta(hours=1)
    paths = file_care.unneeded_files(lake, tables.STUDENT_SCORES, now)
    assert file_care.remove_files(lake, tables.STUDENT_SCORES, paths) == 4
    assert len(lake.rows(tables.STUDENT_SCORES)) == 4


def test_compaction_tells_the_log_no_text(house: Lake) -> None:
    do(maintain.JOB, night(house, maintain))
    for table in MADE:
        log = Path(house.catalog.place(table) or "") / "_delta_log"
        assert all("words-of" not in path.read_text("utf-8") for path in log.glob("*.json"))


def test_a_days_new_rows_win_over_a_compaction_under_way(house: Lake) -> None:
    scope = Scope(day(1), day(1))
    since = house.catalog.arrow.snapshot(tables.TEXTS, scope)
    do(maintain.JOB, night(house, maintain))
    house.replace_rows(tables.TEXTS, [text_row("new", dt=day(1))], STAMP, scope, since)
    assert [row["text_id"] for row in house.rows(tables.TEXTS) if row["dt"] == day(1)] == ["new"]
    since = house.catalog.arrow.snapshot(tables.TEXTS, scope)
    add(house, tables.TEXTS, text_row("late", dt=day(1)))
    with pytest.raises(ConflictError):
        house.replace_rows(tables.TEXTS, [], STAMP, scope, since)


def test_superseded_records_go_and_the_newest_hold(house: Lake) -> None:
    cells = made_days.read(house, tables.TEXTS)
    made_days.write(house, tables.TEXTS, {cell: replace(made, outputs="1") for cell, made in cells.items()}, STAMP)
    made_days.write(house, tables.TEXTS, cells, STAMP)
    assert tidying.superseded(house) == 2 * len(DAYS)
    do(maintain.JOB, night(house, maintain))
    assert tidying.superseded(house) == 0
    assert set(made_days.read(house, tables.TEXTS)) == {Cell(day(number)) for number in DAYS}
    assert late(house) == []
    live = {file.path for file in house.catalog.arrow.files(tables.RAW_TEXTS)}
    assert {row["path"] for row in house.rows(tables.RAW_FILE_DAYS)} == live


def test_the_texts_of_old_rounds_go_unless_their_student_may_come_in_force(bare_lake: Callable[..., Lake]) -> None:
    lake = bare_lake(*tables.ALL)
    students = [f"praise/textcnn/{number}" for number in range(6)]
    sample = {
        "text_hash": "h", "text": "t", "position": 0, "split": "train", "reasons": [], "weight": 1.0, "hard": [1.0],
    }  # fmt: skip
    rounds = [f"praise/textcnn/0{number}" for number in range(6)]
    fill(
        lake,
        {
            tables.MODELS: [
                model_row(student, ["asks"], created_at=NEW_YEAR + timedelta(days=number))
                for number, student in enumerate(students)
            ],
            tables.ROUNDS: [
                round_row(student, round_id, number=number)
                for number, (student, round_id) in enumerate(zip(students, rounds, strict=True))
            ],
            tables.PROMOTIONS: [promotion_row(students[1], NEW_YEAR)],
            tables.ROUND_SAMPLES: [
                sample | {"round_id": round_id, "text_id": round_id} for round_id in [*rounds, "praise/teacher/a"]
            ],
        },
    )
    context = context_of(lake, "maintain", maintenance={"keep_rounds": 2}, **SETTINGS)
    assert maintain.plan(context).steps[0].startswith("drop the copied texts of 3 old rounds: praise/textcnn/00")
    do(maintain.JOB, context)
    left = {row["round_id"] for row in lake.rows(tables.ROUND_SAMPLES)}
    assert left == {rounds[1], rounds[4], rounds[5], "praise/teacher/a"}
    assert maintain.expired_rounds(lake, 2) == ()


@pytest.mark.faults
@pytest.mark.parametrize("at", ["round_samples:after", "made_days:before", "made_days:after", "raw_file_days:after"])
def test_killed_and_run_again_it_ends_as_if_run_once(house: Lake, tmp_path: Path, at: str) -> None:
    rounds = [round_row(f"praise/textcnn/{number}", f"praise/textcnn/0{number}", number=number) for number in range(2)]
    sample = {
        "text_id": "t", "text_hash": "h", "text": "t", "position": 0, "split": "train", "reasons": [], "weight": 1.0,
        "hard": [1.0],
    }  # fmt: skip
    fill(
        house, {tables.ROUNDS: rounds, tables.ROUND_SAMPLES: [sample | {"round_id": row["round_id"]} for row in rounds]}
    )
    context = context_of(house, "maintain", maintenance={"keep_rounds": 1}, **SETTINGS)
    before = {table: kept(house, table) for table in MADE}
    kill_and_repeat(house, tmp_path, f"maintain:{at}_commit", "maintain", maintenance={"keep_rounds": 1}, **SETTINGS)
    assert maintain.plan(context).steps == ()
    assert {table: kept(house, table) for table in MADE} == before
    assert late(house) == []


def test_a_retention_that_a_run_may_outlive_is_refused() -> None:
    with pytest.raises(ValidationError):
        MaintenanceSettings(retention_days=1)


def test_a_long_log_is_summed_up_and_old_commits_go(house: Lake) -> None:
    assert file_care.needs_checkpoint(house, tables.RAW_TEXTS)
    age(house, 40)
    do(maintain.JOB, night(house, maintain))
    log = Path(house.catalog.place(tables.RAW_TEXTS) or "") / "_delta_log"
    assert list(log.glob("*.checkpoint.parquet"))
    assert not file_care.needs_checkpoint(house, tables.RAW_TEXTS)
    assert late(house) == []
