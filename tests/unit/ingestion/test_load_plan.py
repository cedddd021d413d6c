"""A plan opens new and changed files only, and knows what the tables hold of them, recorded or not. No session."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from jobs.ingestion import file_survey, load_plan
from jobs.ingestion.load_plan import COMMITTED, Batch, NewFile
from jobs.ingestion.load_rows import batch_rows
from jobs.lake import loads, tables
from jobs.lake.store import Lake
from jobs.runtime.context import Context
from models.errors import SettingsError
from tests.support import STAMP, add, context_of

DAY, NEXT = date(2026, 3, 2), date(2026, 3, 3)
COLUMNS = {"source_id": "id", "text": "content", "event_time": "at"}


def context_for(lake: Lake, folder: Path, kind: str = "jsonl", **options: Any) -> Context:
    source = {"path": str(folder), "format": kind, "columns": COLUMNS, "constants": {"source": "app", "scene": "chat"}}
    return context_of(lake, "ingest", sources={"app": source}, ingest=options.pop("ingest", {}), options=options)


def planned(context: Context) -> Batch:
    payload = load_plan.plan(context).required()
    assert payload.batch is not None
    return payload.batch


def raw_row(file: NewFile, nth: int, day: date) -> dict[str, Any]:
    return {
        "text_id": f"{file.load_id}{nth}", "source": "app", "scene": "chat", "text": "好", "arrived_dt": day, "dt": day,
        "event_time": datetime(2026, 3, 1, tzinfo=UTC), "load_id": file.load_id, "file": file.survey.path,
        "position": nth, "run_id": "seed",
    }  # fmt: skip


def rejected_row(file: NewFile, nth: int, day: date, reason: str = "malformed") -> dict[str, Any]:
    return {
        "file": file.survey.path, "position": nth, "arrived_dt": day, "reason": reason, "length": 1, "sha256": "",
        "load_id": file.load_id, "run_id": "seed",
    }  # fmt: skip


def commit(lake: Lake, batch: Batch, run_id: str = "1", day: date = DAY, **counts: int) -> None:
    """Record a batch as a load would, with the same outcome of each file; by default all its records are raw texts."""
    outcomes = []
    for file in batch.files:
        counted = (
            Counter(counts) or Counter(rejected=1) if file.survey.refused else Counter(counts or {"raw": file.left})
        )
        for name, table, row in (("raw", tables.RAW_TEXTS, raw_row), ("rejected", tables.REJECTED, rejected_row)):
            if counted[name]:
                add(lake, table, *(row(file, nth, day) for nth in range(counted[name])))
        outcomes.append((file, counted))
    lake.append_rows(tables.LOADS, batch_rows(batch, outcomes, run_id, day), STAMP)


def lines(*ids: int) -> bytes:
    return b"".join(b'{"id": "%d"}\n' % own for own in ids)


@pytest.fixture
def lake(bare_lake: Callable[..., Lake]) -> Lake:
    return bare_lake(*COMMITTED)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of the files that a survey looks through."""
    paths: list[str] = []
    survey = file_survey.survey_files

    def noting(lake: Lake, layouts: Any, listed: Any) -> Any:
        paths.extend(file.path for file in listed)
        return survey(lake, layouts, listed)

    monkeypatch.setattr(load_plan, "survey_files", noting)
    return paths


def test_a_name_whose_size_and_time_are_recorded_is_not_opened(lake: Lake, tmp_path: Path, opened: list[str]) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(1, 2))
    commit(lake, planned(context_for(lake, tmp_path)))
    (tmp_path / "b.jsonl").write_bytes(lines(3))
    opened.clear()
    batch = planned(context_for(lake, tmp_path))
    assert opened == [str(tmp_path / "b.jsonl")]
    commit(lake, batch, "2")
    assert load_plan.plan(context_for(lake, tmp_path)).steps == ()
    assert loads.totals(lake) == {"records": 3, "raw": 3, "rejected": 0, "repeated": 0}


def test_a_file_that_was_touched_moved_or_copied_is_noted_once(lake: Lake, tmp_path: Path, opened: list[str]) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(1, 2))
    (tmp_path / "b.jsonl").write_bytes(lines(1, 2))
    commit(lake, planned(context_for(lake, tmp_path)))
    os.utime(tmp_path / "a.jsonl", (1, 1))
    (tmp_path / "b.jsonl").rename(tmp_path / "c.jsonl")
    work = load_plan.plan(context_for(lake, tmp_path))
    assert work.steps == ("note 2 files whose records are in the tables already",)
    commit(lake, planned(context_for(lake, tmp_path)), "2")
    opened.clear()
    assert load_plan.plan(context_for(lake, tmp_path)).steps == ()
    assert opened == []
    assert loads.totals(lake)["records"] == 2


def test_of_a_file_of_lines_that_grew_the_tail_is_loaded_again_and_again(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    for number in range(4):
        path.write_bytes(lines(*range(10 * (number + 1))))
        (file,) = planned(context_for(lake, tmp_path)).files
        assert (file.survey.first, file.left) == (len(lines(*range(10 * number))), 10)
        commit(lake, planned(context_for(lake, tmp_path)), str(number))
    assert loads.totals(lake)["records"] == 40


def test_a_copy_of_what_was_loaded_in_parts_is_known_and_may_grow(lake: Lake, tmp_path: Path) -> None:
    for number, ids in enumerate([(1,), (1, 2)]):
        (tmp_path / "a.jsonl").write_bytes(lines(*ids))
        commit(lake, planned(context_for(lake, tmp_path)), str(number))
    (tmp_path / "b.jsonl").write_bytes(lines(1, 2))
    batch = planned(context_for(lake, tmp_path))
    assert batch.files == ()
    commit(lake, batch, "2")
    (tmp_path / "b.jsonl").write_bytes(lines(1, 2, 3))
    assert [(file.survey.first, file.left) for file in planned(context_for(lake, tmp_path)).files] == [(24, 1)]


def test_other_content_under_a_known_name_is_refused_unless_it_is_named(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(lines(1, 2))
    commit(lake, planned(context_for(lake, tmp_path)))
    path.write_bytes(lines(3))
    refused = planned(context_for(lake, tmp_path))
    assert [(file.survey.refused, file.left) for file in refused.files] == [("file_changed", 1)]
    commit(lake, refused, "2")
    assert load_plan.plan(context_for(lake, tmp_path)).steps == ()  # told once
    context = context_for(lake, tmp_path, replace_file=[str(path)])
    replaced = planned(context)
    assert [(file.survey.refused, file.left) for file in replaced.files] == [(None, 1)]
    commit(lake, replaced, "3")
    assert load_plan.plan(context).steps == ()
    path.write_bytes(lines(1, 2))  # as it was at first, which was loaded
    assert planned(context_for(lake, tmp_path)).files == ()
    with pytest.raises(SettingsError, match="--replace-file: no source lists nowhere"):
        load_plan.plan(context_for(lake, tmp_path, replace_file=["nowhere"]))


def test_a_file_of_which_nothing_was_taken_may_be_mended(lake: Lake, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"{\n{\n")
    commit(lake, planned(context_for(lake, tmp_path)), rejected=2)
    path.write_bytes(lines(1))
    assert [file.survey.refused for file in planned(context_for(lake, tmp_path)).files] == [None]


def test_another_way_of_reading_makes_a_new_load_of_a_known_name(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(1))
    commit(lake, planned(context_for(lake, tmp_path)))
    other = context_for(lake, tmp_path, "csv")
    assert len(planned(other).files) == 1


def test_what_was_loaded_before_there_were_records_counts_as_loaded(lake: Lake, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(1, 2, 3))
    (tmp_path / "gone.jsonl").write_bytes(lines(4))
    for file in planned(context_for(lake, tmp_path)).files:
        add(lake, tables.RAW_TEXTS, *(raw_row(file, nth, DAY) for nth in range(file.left - 1)), raw_row(file, 9, NEXT))
        for nth, reason in enumerate(("annotation_unmatched", "score_unknown_text"), 7):  # of other kinds
            add(lake, tables.REJECTED, rejected_row(file, nth, DAY, reason))
    (tmp_path / "gone.jsonl").unlink()
    assert loads.totals(lake) == {"records": 4, "raw": 4, "rejected": 0, "repeated": 0}
    batch = planned(context_for(lake, tmp_path))
    assert (batch.files, len(batch.done), [one.raw for one in batch.gone]) == ((), 1, [1])
    commit(lake, batch, "2", date(2026, 4, 1))
    assert loads.totals(lake) == {"records": 4, "raw": 4, "rejected": 0, "repeated": 0}
    assert loads.unrecorded(lake) == []
    assert load_plan.plan(context_for(lake, tmp_path)).steps == ()


@pytest.mark.parametrize(("raw", "rejected", "repeated"), [(2, 1, 0), (2, 0, 1), (1, 1, 1), (3, 0, 0)])
def test_a_run_killed_before_its_record_is_recorded_by_the_next_without_reading(
    lake: Lake, tmp_path: Path, raw: int, rejected: int, repeated: int
) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(1, 2, 3))
    (file,) = planned(context_for(lake, tmp_path)).files
    add(lake, tables.REJECTED, *(rejected_row(file, nth, DAY) for nth in range(rejected)))
    add(lake, tables.RAW_TEXTS, *(raw_row(file, nth, DAY) for nth in range(raw)))
    batch = planned(context_for(lake, tmp_path))
    assert (batch.files, len(batch.done)) == ((), 1)
    commit(lake, batch, "2", NEXT)
    assert loads.totals(lake) == {"records": 3, "raw": raw, "rejected": rejected, "repeated": repeated}
    assert loads.unrecorded(lake) == []
    assert load_plan.plan(context_for(lake, tmp_path)).steps == ()


def test_a_run_killed_between_its_rejected_and_its_raw_rows_goes_on_with_what_is_left(
    lake: Lake, tmp_path: Path
) -> None:
    (tmp_path / "a.jsonl").write_bytes(lines(1, 2, 3))
    (file,) = planned(context_for(lake, tmp_path)).files
    add(lake, tables.REJECTED, rejected_row(file, 0, DAY))
    batch = planned(context_for(lake, tmp_path))
    assert [(one.left, one.rejected, one.raw) for one in batch.files] == [(2, 1, 0)]
    commit(lake, batch, "2", NEXT)
    assert loads.totals(lake) == {"records": 3, "raw": 2, "rejected": 1, "repeated": 0}
    rows = lake.rows(tables.LOADS, "arrived_dt", "records")
    assert sorted((row["arrived_dt"], row["records"]) for row in rows) == [(DAY, 1), (NEXT, 2)]
    assert loads.unrecorded(lake) == []


def test_more_files_than_a_batch_takes_are_counted_and_not_opened(
    lake: Lake, tmp_path: Path, opened: list[str]
) -> None:
    for number in range(300):
        (tmp_path / f"{number:03}.jsonl").write_bytes(lines(number))
    work = load_plan.plan(context_for(lake, tmp_path, ingest={"batch_files": 299}))
    size = sum(path.stat().st_size for path in tmp_path.iterdir())
    assert work.steps == (f"survey and load 300 files of {size:,} bytes, 299 at a time",)
    assert opened == []
    assert len(work.required().names) == 300


def test_names_are_looked_up_in_their_thousands(lake: Lake) -> None:
    when = datetime(2026, 3, 1, 8, tzinfo=UTC)
    context = context_for(lake, Path("/nowhere"))
    layout = context.settings.sources["app"].digest
    row = {
        "arrived_dt": DAY, "layout": layout, "size": 7, "modified": when, "sha256": "", "first": 0, "state": "loaded",
        "records": 1, "raw": 1, "rejected": 0, "repeated": 0, "run_id": "1",
    }  # fmt: skip
    paths = [f"/nowhere/{number}.jsonl" for number in range(20_000)]
    add(lake, tables.LOADS, *(row | {"load_id": path, "file": path} for path in paths[:-2]))
    listed = [file_survey.ListedFile("app", path, 7, when) for path in paths]
    listed[5] = listed[5]._replace(size=8)
    listed[6] = listed[6]._replace(modified=when.replace(microsecond=1))
    new = load_plan.new_names(lake, context.settings.sources, listed)
    assert [file.path for file in new] == [paths[5], paths[6], paths[-2], paths[-1]]
