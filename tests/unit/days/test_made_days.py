"""Which days have news: late rows, other tools' commits and settings make them; compaction and RESTORE do not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from deltalake import DeltaTable
from hypothesis import given
from hypothesis import strategies as st

from jobs.days import made_days
from jobs.days.live_files import LiveFiles
from jobs.days.made_days import Recipe
from jobs.days.raw_days import RawDays
from jobs.days.signatures import Cell, of_path, together, without, written
from jobs.lake import tables
from jobs.lake.store import Lake
from jobs.runtime import daily
from jobs.runtime.context import Context, Days
from jobs.runtime.daily import DailyWork, PartRecipe
from jobs.runtime.job import Done, Job, Work
from models.errors import DataError
from tests.support import STAMP, add, context_of, day, do, score_row, text_row

MODEL = "praise/textcnn/1"


def plan(context: Context) -> Work[DailyWork]:
    """A small daily job: a score of 0.5 for each text."""
    texts = LiveFiles(context.lake, tables.TEXTS)
    recipe = PartRecipe(context.request.options.get("decides", "1"), ((texts, ""),))
    return daily.plan(context, tables.STUDENT_SCORES, {MODEL: recipe}, lambda days, name: f"score {days} with {name}")


def execute(context: Context, work: DailyWork) -> Done | None:
    if daily.already_committed(context, work):
        return None
    texts = [row for row in context.lake.rows(tables.TEXTS) if row["dt"] in work.days]
    rows = [score_row(row["text_id"], MODEL, [0.5], dt=row["dt"]) for row in texts]
    commit = context.lake.replace_rows(tables.STUDENT_SCORES, rows, context.stamp(work.fingerprint), work.scope)
    if context.request.options.get("killed"):
        return None
    daily.record(context, work, commit.version)
    return Done(counts={"scores": len(rows)})


JOB = Job("score", plan, execute)


@pytest.fixture
def house(bare_lake: Callable[..., Lake]) -> Lake:
    lake = bare_lake(tables.TEXTS, tables.STUDENT_SCORES)
    for number in range(3):
        add(lake, tables.TEXTS, text_row(f"{number}a", dt=day(number)), text_row(f"{number}b", dt=day(number)))
    return lake


def night(lake: Lake, **asked: Any) -> list[date]:
    """Run the job; the days that its commit wrote."""
    days = asked.pop("days", None)
    context = context_of(lake, "score", days=days, options=asked)
    before = lake.log.version(tables.STUDENT_SCORES)
    work = plan(context)
    do(JOB, context)
    if lake.log.version(tables.STUDENT_SCORES) == before:
        return []
    return list(work.required().days)


def opened(lake: Lake, table: tables.Table) -> DeltaTable:
    """As another tool opens it."""
    return DeltaTable(lake.catalog.place(table) or "")


def test_a_day_is_made_once_and_again_where_texts_came_late(house: Lake) -> None:
    assert night(house) == [day(0), day(1), day(2)]
    assert night(house) == []
    add(house, tables.TEXTS, text_row("late", dt=day(1)), text_row("new", dt=day(3)))
    work = plan(context_of(house, "score"))
    assert work.steps == (
        f"score {day(1)} with {MODEL}: its texts changed", f"score {day(3)} with {MODEL}: new"
    )  # fmt: skip
    assert night(house) == [day(1), day(3)]
    assert len(house.rows(tables.STUDENT_SCORES)) == 8
    assert night(house) == []


def test_the_days_asked_for_are_made_where_they_have_news(house: Lake) -> None:
    assert night(house, days=Days(day(1), day(9))) == [day(1), day(2)]
    assert night(house, days=Days(day(1), day(1))) == []
    assert night(house, days=Days(day(1), day(1)), again=True) == [day(1)]
    assert night(house) == [day(0)]


def test_settings_make_all_days_anew(house: Lake) -> None:
    night(house)
    assert night(house, decides="2") == [day(0), day(1), day(2)]
    assert night(house, decides="2") == []


@pytest.mark.parametrize("of", [tables.TEXTS, tables.STUDENT_SCORES], ids=lambda table: table.name)
def test_what_another_tool_deletes_updates_or_merges_is_news(house: Lake, of: tables.Table) -> None:
    night(house)
    opened(house, of).delete("text_id = '1a'")
    assert night(house) == [day(1)]
    assert night(house) == []
    opened(house, of).update({"scene": "'photo'"}, predicate="text_id = '2a'")
    assert night(house) == [day(2)]
    assert night(house) == []


def test_what_was_lost_by_another_tool_comes_back(house: Lake) -> None:
    night(house)
    opened(house, tables.STUDENT_SCORES).delete(f"dt = '{day(1)}'")
    assert plan(context_of(house, "score")).steps == (
        f"score {day(1)} with {MODEL}: another tool changed its student_scores",
    )
    night(house)
    assert len(house.rows(tables.STUDENT_SCORES)) == 6


def test_a_day_whose_texts_are_all_gone_is_made_empty_once(house: Lake) -> None:
    night(house)
    opened(house, tables.TEXTS).delete(f"dt = '{day(1)}'")
    assert night(house) == [day(1)]
    assert {row["dt"] for row in house.rows(tables.STUDENT_SCORES)} == {day(0), day(2)}
    assert night(house) == []


@pytest.mark.parametrize("of", [tables.TEXTS, tables.STUDENT_SCORES], ids=lambda table: table.name)
def test_files_that_are_rewritten_without_a_change_are_no_news(house: Lake, of: tables.Table) -> None:
    night(house)
    add(house, tables.TEXTS, text_row("late", dt=day(1)))
    night(house)
    was = set(opened(house, of).file_uris())
    opened(house, of).optimize.z_order(["text_id"])
    assert not was & set(opened(house, of).file_uris()), "every file is another one now"
    assert night(house) == []
    clean_log(house, of)
    assert night(house) == [], "what was seen once is written down, and needs the log no more"


def test_a_rewrite_that_the_cleaned_log_tells_nothing_of_is_news(house: Lake) -> None:
    night(house)
    opened(house, tables.TEXTS).optimize.z_order(["text_id"])
    add(house, tables.TEXTS, text_row("new", dt=day(5)))
    clean_log(house, tables.TEXTS)
    assert night(house) == [day(0), day(1), day(2), day(5)]


def test_a_change_before_or_after_a_rewrite_is_news(house: Lake) -> None:
    night(house)
    opened(house, tables.TEXTS).delete("text_id = '0a'")
    opened(house, tables.TEXTS).optimize.z_order(["text_id"])
    opened(house, tables.TEXTS).delete("text_id = '2a'")
    assert night(house) == [day(0), day(2)]


def test_a_table_that_was_restored_is_as_before(house: Lake) -> None:
    night(house)
    version = house.log.version(tables.TEXTS)
    opened(house, tables.TEXTS).delete("text_id = '1a'")
    opened(house, tables.TEXTS).restore(version)
    assert night(house) == []
    opened(house, tables.TEXTS).delete("text_id = '1a'")
    assert night(house) == [day(1)]
    opened(house, tables.TEXTS).restore(version)
    assert night(house) == [day(1)], "its scores were made from fewer texts"


def test_the_log_may_be_cleaned(house: Lake) -> None:
    night(house)
    for table in (tables.TEXTS, tables.STUDENT_SCORES):
        clean_log(house, table)
    assert night(house) == []
    add(house, tables.TEXTS, text_row("late", dt=day(2)))
    assert night(house) == [day(2)]


def test_a_run_killed_behind_its_commit_is_written_down_by_the_next(house: Lake) -> None:
    assert night(house, killed=True) == [day(0), day(1), day(2)]
    assert night(house) == []
    assert set(made_days.read(house, tables.STUDENT_SCORES)) == {Cell(day(n), MODEL) for n in range(3)}


def test_a_killed_run_whose_rows_were_changed_since_is_made_again(house: Lake) -> None:
    night(house, killed=True)
    opened(house, tables.STUDENT_SCORES).delete("text_id = '0a'")
    assert night(house) == [day(0), day(1), day(2)]
    assert len(house.rows(tables.STUDENT_SCORES)) == 6


def test_an_empty_house_is_told(bare_lake: Callable[..., Lake]) -> None:
    with pytest.raises(DataError, match="texts is empty; run the job before"):
        plan(context_of(bare_lake(tables.TEXTS, tables.STUDENT_SCORES), "score"))


def clean_log(lake: Lake, table: tables.Table) -> None:
    """What Delta does after a month: a checkpoint, and none of the commits before it."""
    opened(lake, table).create_checkpoint()
    log = Path(lake.catalog.place(table) or "") / "_delta_log"
    for file in sorted(log.glob("*.json"))[:-1]:
        file.unlink()


# --- raw texts, partitioned by arrival ----------------------------------------------------------------------------


def raw_row(text_id: str, number: int, arrived: int, load: str = "l1") -> dict[str, Any]:
    return {
        "text_id": text_id, "source": "chat", "source_id": text_id, "scene": "live_chat", "text": text_id,
        "event_time": datetime(2026, 3, 2 + number, 4, tzinfo=UTC), "dt": day(number), "arrived_dt": day(arrived),
        "load_id": load, "file": "a.jsonl", "position": 0, "run_id": "seed",
    }  # fmt: skip


def seen(lake: Lake) -> Mapping[Cell, str]:
    raw = RawDays(lake)
    found = raw.signatures()
    raw.remember(STAMP)
    return found


def test_a_file_of_many_days_is_read_once_and_remembered(bare_lake: Callable[..., Lake]) -> None:
    lake = bare_lake(tables.RAW_TEXTS)
    add(lake, tables.RAW_TEXTS, raw_row("a", 0, 3), raw_row("b", 1, 3), raw_row("c", 1, 3))
    first = seen(lake)
    assert set(first) == {Cell(day(0)), Cell(day(1))}
    assert seen(lake) == first
    assert len(lake.rows(tables.RAW_FILE_DAYS)) == 2
    for file in lake.catalog.arrow.files(tables.RAW_TEXTS):
        (Path(lake.catalog.place(tables.RAW_TEXTS) or "") / file.path).unlink()
    add(lake, tables.RAW_TEXTS, raw_row("late", 0, 4, "l2"))
    second = seen(lake)
    assert second[Cell(day(1))] == first[Cell(day(1))], "nothing was read of the first file again"
    assert second[Cell(day(0))] != first[Cell(day(0))]


def test_the_arrivals_of_a_day_are_those_of_its_files(bare_lake: Callable[..., Lake]) -> None:
    lake = bare_lake(tables.RAW_TEXTS)
    add(lake, tables.RAW_TEXTS, raw_row("a", 0, 3), raw_row("b", 1, 3))
    add(lake, tables.RAW_TEXTS, raw_row("late", 0, 9, "l2"))
    assert RawDays(lake).arrivals([day(0)]) is None, "files that nobody looked into may hold any day"
    seen(lake)
    assert RawDays(lake).arrivals([day(0)]) == {day(3), day(9)}
    assert RawDays(lake).arrivals([day(1)]) == {day(3)}
    assert RawDays(lake).arrivals([day(2)]) == frozenset()


def test_compaction_of_raw_texts_changes_no_day(bare_lake: Callable[..., Lake]) -> None:
    lake = bare_lake(tables.RAW_TEXTS)
    for number in range(4):
        add(lake, tables.RAW_TEXTS, raw_row(f"a{number}", number % 2, 3, f"l{number}"))
    before = seen(lake)
    opened(lake, tables.RAW_TEXTS).optimize.compact()
    assert len(lake.catalog.arrow.files(tables.RAW_TEXTS)) == 1
    assert seen(lake) == before


# --- signatures ---------------------------------------------------------------------------------------------------

PATHS = st.sets(st.text(min_size=1), max_size=8)


@given(PATHS, PATHS)
def test_a_signature_is_of_the_set_and_can_be_taken_apart(first: set[str], second: set[str]) -> None:
    both = together(of_path(path) for path in first | second)
    rest = without(both, [of_path(path) for path in second])
    assert rest == together(of_path(path) for path in first - second)
    assert (written(both) == "") == (not first | second)
    if first != second:
        assert together(map(of_path, first)) != together(map(of_path, second))


@given(st.sets(st.tuples(st.integers(0, 9), st.sampled_from("ab")), min_size=1))
def test_the_scope_of_a_run_holds_its_cells_and_no_other(cells: set[tuple[int, str]]) -> None:
    work = DailyWork(tables.STUDENT_SCORES, {Cell(day(number), part): Recipe("1") for number, part in cells})
    held = {
        (number, part)
        for number in range(10)
        for part in "ab"
        if work.scope.holds({"dt": day(number).isoformat(), "model_id": part})
    }
    assert held == cells
    assert work.scope.covers(work.scope)
