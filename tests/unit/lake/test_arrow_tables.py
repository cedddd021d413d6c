"""Commits without Spark: one winner, nothing lost, nothing twice, whoever else writes meanwhile."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.lake import arrow_tables, tables
from jobs.lake.arrow_reader import UnopenedError
from jobs.lake.arrow_tables import ArrowTables, OvertakenError
from jobs.lake.commits import Scope, Stamp
from jobs.lake.store import Lake
from models.errors import ConflictError, DataError, SchemaError
from tests.support import DAY, NEW_YEAR, STAMP, add, context_of, day, model_row, promotion_row, score_row, text_row
from udfs.data_files import DataFile, folder_of, write_file

MODEL, SPACED = "praise/textcnn/a", "praise/text cnn/ä%2F"


def score(lake: Lake, text_id: str, when: date = DAY, model_id: str = MODEL) -> None:
    lake.append_rows(tables.STUDENT_SCORES, [score_row(text_id, model_id, [0.5], dt=when)], STAMP)


def replace(lake: Lake, text_id: str, *days: date, model_id: str = MODEL, writer: str = "test") -> int:
    rows = [score_row(text_id, model_id, [0.25], dt=when) for when in days]
    scope = Scope(min(days), max(days), "model_id", (model_id,))
    return lake.replace_rows(tables.STUDENT_SCORES, rows, Stamp(writer, "test"), scope).version


def held(lake: Lake) -> list[tuple[Any, ...]]:
    return sorted((row["dt"], row["model_id"], row["text_id"]) for row in lake.rows(tables.STUDENT_SCORES))


def files_below(lake: Lake, name: str) -> set[str]:
    assert lake.catalog.root is not None
    folder = Path(lake.catalog.root) / name
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*.parquet") if "_delta_log" not in path.parts}


def test_rows_come_back_as_they_were_given(bare_lake: Callable[..., Lake]) -> None:
    own = bare_lake(tables.MODELS, tables.RUNS, tables.TEXTS)
    row = model_row(MODEL, ["a", "b"], digests={"content": "x", "": "好"}, base=None)
    commit = own.append_rows(tables.MODELS, [row], Stamp("run", "job", "print"))
    assert own.rows(tables.MODELS) == [row | {"teacher_id": None, "round_id": None, "base": None}]
    assert own.rows(tables.MODELS, "labels", "created_at") == [{"labels": ["a", "b"], "created_at": NEW_YEAR}]
    assert own.rows(tables.MODELS, where=pc.field("task") == "other") == []
    found = own.log.latest(tables.MODELS, Scope())
    assert found is not None
    assert (found.version, found.rows, found.fingerprint) == (commit.version, 1, "print")
    settled = [{"task": "*", "label": None, "outcome": "useless", "rule": "empty"}]
    own.append_rows(tables.TEXTS, [text_row("t", settled=settled)], STAMP)
    assert own.rows(tables.TEXTS, "settled") == [{"settled": settled}]
    assert list(own.days(tables.TEXTS)) == [DAY]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"task": None}, "promotions: task may not be null"),
        ({"threshold_version": "two"}, "threshold_version is declared int32, got something else"),
        ({"note": "x"}, "has no note"),
    ],
)
def test_rows_that_the_table_does_not_declare_are_refused_whole(
    shared_bare_lake: Callable[..., Lake], change: dict[str, Any], told: str
) -> None:
    own = shared_bare_lake(tables.PROMOTIONS)
    rows = [promotion_row(MODEL, NEW_YEAR), promotion_row(MODEL, NEW_YEAR) | change]
    with pytest.raises(SchemaError, match=told):
        own.append_rows(tables.PROMOTIONS, rows, STAMP)
    assert own.log.version(tables.PROMOTIONS) == 0
    assert files_below(own, "promotions") == set()


def test_a_named_append_is_made_once_whoever_asks_again(bare_lake: Callable[..., Lake]) -> None:
    own = bare_lake(tables.STUDENT_SCORES)
    once = {"once": "load-7"}
    rows = [score_row("a", MODEL, [0.5])]
    first = own.append_rows(tables.STUDENT_SCORES, rows, STAMP, **once)
    again = own.append_rows(tables.STUDENT_SCORES, rows, STAMP, **once)
    assert (first.version, first.rows, again.version, again.rows) == (1, 1, 1, 0)
    assert len(files_below(own, "student_scores")) == 1


def test_a_replacement_touches_its_scope_alone(bare_lake: Callable[..., Lake]) -> None:
    own = bare_lake(tables.STUDENT_SCORES)
    for when in (day(0), day(1), day(2)):
        score(own, "old", when)
        score(own, "old", when, SPACED)
    replace(own, "new", day(0), day(1))
    replace(own, "spaced", day(2), model_id="praise/textcnn/b")
    expected = [(day(n), MODEL, "new") for n in (0, 1)] + [(day(2), MODEL, "old")]
    expected += [(day(n), SPACED, "old") for n in (0, 1, 2)] + [(day(2), "praise/textcnn/b", "spaced")]
    assert held(own) == sorted(expected)
    assert DeltaTable(own.catalog.place(tables.STUDENT_SCORES) or "").version() == own.log.version(
        tables.STUDENT_SCORES
    )


def test_what_changed_since_the_look_is_not_overwritten(bare_lake: Callable[..., Lake]) -> None:
    """A partition with files, one without, an append beside, and another day: only the last does not disturb."""
    own = bare_lake(tables.STUDENT_SCORES)
    arrow, table = own.catalog.arrow, tables.STUDENT_SCORES
    scope = Scope(day(0), day(0), "model_id", (MODEL,))
    for filled in (False, True):
        since = arrow.snapshot(table, scope)
        score(own, "meanwhile")
        with pytest.raises(OvertakenError, match="its part of the table changed"):
            arrow.replace(table, [file_of(own, "late", day(0))], "{}", scope=scope, since=since)
        assert [row["text_id"] for row in own.rows(table)] == ["meanwhile"] * (2 if filled else 1)
    since = arrow.snapshot(table, scope)
    score(own, "another day", day(1))
    arrow.replace(table, [file_of(own, "mine", day(0))], "{}", scope=scope, since=since)
    assert held(own) == [(day(0), MODEL, "mine"), (day(1), MODEL, "another day")]


def file_of(lake: Lake, text_id: str, when: date) -> DataFile:
    rows = pa.Table.from_pylist([score_row(text_id, MODEL, [0.5], dt=when)], tables.STUDENT_SCORES.columns)
    partition = {"dt": when.isoformat(), "model_id": MODEL}
    (file,) = write_file(rows, lake.catalog.arrow.folder(tables.STUDENT_SCORES), partition)
    return file


def test_a_file_outside_the_scope_is_never_committed(bare_lake: Callable[..., Lake]) -> None:
    own = bare_lake(tables.STUDENT_SCORES)
    scope = Scope(day(0), day(0), "model_id", (MODEL,))
    since = own.catalog.arrow.snapshot(tables.STUDENT_SCORES, scope)
    with pytest.raises(ValueError, match="lies outside"):
        own.catalog.arrow.replace(tables.STUDENT_SCORES, [file_of(own, "out", day(1))], "{}", scope=scope, since=since)
    assert own.log.version(tables.STUDENT_SCORES) == 0


def test_appends_in_turn_never_pass_side_by_side(bare_lake: Callable[..., Lake]) -> None:
    own = bare_lake(tables.THRESHOLDS)
    row = {
        "model_id": MODEL, "label": "asks", "scene": "*", "version": 1, "value": 0.5, "method": "f1", "gold": "teacher",
        "created_at": NEW_YEAR, "run_id": "seed",
    }  # fmt: skip
    seen = own.log.version(tables.THRESHOLDS)
    first = own.append_rows_after(tables.THRESHOLDS, [row], STAMP, seen)
    with pytest.raises(ConflictError, match="its turn was taken"):
        own.append_rows_after(tables.THRESHOLDS, [row], STAMP, seen)
    own.append_rows_after(tables.THRESHOLDS, [row | {"version": 2}], STAMP, first.version)
    assert sorted(row["version"] for row in own.rows(tables.THRESHOLDS)) == [1, 2]
    assert len(files_below(own, "thresholds")) == 2


def test_many_writers_at_once_lose_no_row_and_make_none_twice(bare_lake: Callable[..., Lake]) -> None:
    own = bare_lake(tables.PROMOTIONS)

    def write(number: int) -> None:
        lake = context_of(own).lake  # of its own, as another process has it
        for name in (number, number, number // 2):  # each is tried twice, half of them by two writers
            row = promotion_row(f"praise/{name}", NEW_YEAR)
            lake.append_rows(tables.PROMOTIONS, [row], STAMP, once=f"once-{name}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(16)))
    assert sorted(row["model_id"] for row in own.rows(tables.PROMOTIONS)) == sorted(f"praise/{n}" for n in range(16))
    assert len(files_below(own, "promotions")) == 16


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 2), st.booleans()), min_size=2, max_size=12))
@settings(deadline=None, max_examples=15)
def test_any_interleaving_of_two_replacing_runs_has_one_whole_winner(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[int, int, bool]]
) -> None:
    """Two runs look and commit over days 0 to 2 in any order; a day's rows are always those of its last commit."""
    table, folder = tables.STUDENT_SCORES, tmp_path_factory.mktemp("interleaved")
    arrow = ArrowTables(lambda _: str(folder), dict)
    arrow.make(table, str(folder), {})
    looks: dict[tuple[int, int], Any] = {}
    winner: dict[int, str] = {}
    touched: dict[int, int] = {}
    for at, (run, number, commits) in enumerate(steps):
        scope = Scope(day(number), day(number), "model_id", (MODEL,))
        if not commits or (run, number) not in looks:
            looks[run, number] = arrow.snapshot(table, scope), touched.get(number, 0)
            continue
        since, seen = looks[run, number]
        rows = pa.Table.from_pylist([score_row(f"r{at}", MODEL, [0.5], dt=day(number))], table.columns)
        (file,) = write_file(rows, arrow.folder(table), {"dt": day(number).isoformat(), "model_id": MODEL})
        if touched.get(number, 0) != seen:
            with pytest.raises(OvertakenError):
                arrow.replace(table, [file], "{}", scope=scope, since=since)
        else:
            arrow.replace(table, [file], "{}", scope=scope, since=since)
            winner[number], touched[number] = f"r{at}", touched.get(number, 0) + 1
    found = {row["dt"]: row["text_id"] for row in arrow.rows(table).to_pylist()}
    assert found == {day(number): name for number, name in winner.items()}
    assert arrow.rows(table).num_rows == len(winner)


@pytest.mark.parametrize(
    ("properties", "told"),
    [
        ({"delta.enableDeletionVectors": "true"}, "deletionVectors"),
        ({"delta.enableChangeDataFeed": "true"}, "writers of version 4|changeDataFeed"),
    ],
)
def test_a_table_that_asks_for_more_is_left_to_spark_with_the_reason(
    tmp_path: Path, properties: dict[str, str], told: str
) -> None:
    arrow = ArrowTables(lambda table: str(tmp_path / table.name), dict)
    arrow.make(tables.RUNS, str(tmp_path / "runs"), properties)
    reason = arrow.refusal(tables.RUNS)
    assert reason is not None
    assert any(one in reason for one in told.split("|"))


def test_a_folder_without_a_commit_is_no_table_and_a_broken_log_is_told(
    bare_lake: Callable[..., Lake], tmp_path: Path
) -> None:
    arrow = ArrowTables(lambda table: str(tmp_path / table.name), dict)
    assert arrow.opened(tables.RUNS) is None
    (tmp_path / "runs" / "_delta_log").mkdir(parents=True)
    assert arrow.opened(tables.RUNS) is None
    (tmp_path / "runs" / "_delta_log" / f"{0:020}.json").write_text("no json\n")
    with pytest.raises(UnopenedError, match="delta-rs does not open it"):
        arrow.opened(tables.RUNS)
    with pytest.raises(DataError, match="runs: no such table; run `pingti init` first"):
        bare_lake().rows(tables.RUNS)


@given(st.dictionaries(st.text(min_size=1), st.text(min_size=1), min_size=1, max_size=2))
def test_a_partition_folder_needs_no_escape_in_a_uri(partition: dict[str, str]) -> None:
    folder = folder_of(partition)
    assert folder.isascii()
    assert not set(folder) & set("%?#&+ \\:*\"'`")
    assert folder.count("/") == len(partition)


def test_a_process_that_reads_rows_ends_as_it_should(bare_lake: Callable[..., Lake]) -> None:
    """A file system of Python's own, given back by a thread at the very end, aborted two of three such processes."""
    own = bare_lake(tables.MODELS)
    add(
        own,
        tables.MODELS,
        *[model_row(f"praise/{n}", ["a"]) for n in range(3)],
    )
    script = (
        "import sys; from jobs.lake import tables; from jobs.lake.arrow_tables import ArrowTables\n"
        "assert ArrowTables(lambda _: sys.argv[1], dict).rows(tables.MODELS).num_rows == 3"
    )
    for _ in range(6):
        ended = subprocess.run(
            [sys.executable, "-c", script, str(own.catalog.place(tables.MODELS))], capture_output=True, check=False
        )
        assert (ended.returncode, ended.stderr) == (0, b"")


def test_a_commit_keeps_its_number_whatever_comes_meanwhile_and_old_ones_may_be_gone(
    bare_lake: Callable[..., Lake],
) -> None:
    own, table = bare_lake(tables.PROMOTIONS), tables.PROMOTIONS
    other = context_of(own).lake
    for number in range(6):
        writer = (own, other)[number % 2]
        writer.append_rows(table, [promotion_row(f"praise/{number}", NEW_YEAR)], Stamp(f"run{number}", "test"))
    seen = own.catalog.arrow.existing(table).version()
    other.append_rows(table, [promotion_row("praise/late", NEW_YEAR)], Stamp("late", "test"))
    history = own.catalog.arrow.history(table, 3)
    assert [one["version"] for one in history] == [seen + 1, seen, seen - 1]
    assert ['"run_id": "late"' in one["userMetadata"] for one in history] == [True, False, False]
    commit = own.log.commit_of_run(table, Stamp("run2", "test"))
    assert commit is not None
    assert commit.version == 3
    assert own.catalog.root is not None
    DeltaTable(own.catalog.place(table) or "").create_checkpoint()
    for old in range(3):
        (Path(own.catalog.root) / "promotions" / "_delta_log" / f"{old:020}.json").unlink()
    fresh = context_of(own).lake.catalog.arrow
    assert [one["version"] for one in fresh.history(table, 50)] == [7, 6, 5, 4, 3]


def test_many_small_files_are_gathered_without_a_change_of_rows(
    bare_lake: Callable[..., Lake], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of a table that only ever grows; the commits before it are still found."""
    own, table = bare_lake(tables.PROMOTIONS), tables.PROMOTIONS
    monkeypatch.setattr(arrow_tables, "MANY_FILES", 5)
    for number in range(14):
        row = promotion_row(f"praise/{number}", NEW_YEAR)
        own.append_rows(table, [row], Stamp(f"run{number}", "test"), once=f"{number}")
        assert len(own.catalog.arrow.files(table)) <= 6
    assert sorted(row["model_id"] for row in own.rows(table)) == sorted(f"praise/{number}" for number in range(14))
    assert own.append_rows(table, [promotion_row("praise/3", NEW_YEAR)], STAMP, once="3").rows == 0
    latest = own.log.latest(table, Scope())
    commit = own.log.commit_of_run(table, Stamp("run13", "test"))
    assert latest == commit


def test_a_table_in_an_object_store_that_nothing_tells_how_to_reach_is_left_to_spark() -> None:
    with pytest.raises(UnopenedError, match="it lies at s3://, and nothing says how delta-rs reaches it"):
        ArrowTables(lambda _: "s3://bucket/runs", dict).opened(tables.RUNS)
