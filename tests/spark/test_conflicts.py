"""Two runs that write the same part at once: one of them wins whole, the other is told to run again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import pyarrow as pa
import pytest
from pyspark.sql import DataFrame

from jobs.lake import tables
from jobs.lake.commits import Commit, Scope, Stamp
from jobs.lake.store import Lake
from models.errors import ConflictError, PingtiError
from tests.support import day, frame, rows_of, score_row

pytestmark = pytest.mark.spark

MODEL = "praise/textcnn/a"
PATIENCE = 60  # seconds after which a stuck test fails instead of hanging


@pytest.fixture(scope="module")
def scores(shared_lake: Callable[..., Lake]) -> Lake:
    return shared_lake(tables.STUDENT_SCORES)


def wait_for(path: Path) -> None:
    for _ in range(PATIENCE * 20):
        if path.exists():
            return
        time.sleep(0.05)
    raise TimeoutError(path.name)


def rows_by(lake: Lake, writer: str, when: date) -> DataFrame:
    rows = [score_row(f"{writer}{n}", MODEL, [0.5], dt=when) for n in range(4)]
    return frame(lake.spark, tables.STUDENT_SCORES, *rows)


def slowed(rows: DataFrame, folder: Path) -> DataFrame:
    """The same rows; whoever reads them says so by a file, and waits until another file lets it go on."""
    begun, go_on = folder / "begun", folder / "go_on"

    def wait(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        begun.touch()
        for _ in range(PATIENCE * 20):
            if go_on.exists():
                break
            time.sleep(0.05)
        yield from batches

    return rows.coalesce(1).mapInArrow(wait, rows.schema)


def replace(lake: Lake, rows: DataFrame, when: date, writer: str) -> Commit:
    return lake.replace(rows, tables.STUDENT_SCORES, Stamp(writer, "test"), Scope(when, when, "model_id", (MODEL,)))


def writers_of(lake: Lake, when: date) -> set[str]:
    found = rows_of(lake.read(tables.STUDENT_SCORES).where(f"dt = DATE'{when}'"), "text_id")
    assert len(found) == 4
    return {text_id[:-1] for (text_id,) in found}


@pytest.mark.parametrize(("number", "filled"), [(0, False), (10, True)])
def test_a_run_overtaken_on_its_own_day_is_told_and_leaves_nothing(
    scores: Lake, tmp_path: Path, number: int, filled: bool
) -> None:
    own = day(number)
    if filled:
        replace(scores, rows_by(scores, "old", own), own, "old")
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(replace, scores, slowed(rows_by(scores, "slow", own), tmp_path), own, "slow")
        wait_for(tmp_path / "begun")
        quick = replace(scores, rows_by(scores, "quick", own), own, "quick")
        (tmp_path / "go_on").touch()
        with pytest.raises(ConflictError, match="nothing of this run was committed, run it again"):
            slow.result()
    assert writers_of(scores, own) == {"quick"}
    assert scores.log.version(tables.STUDENT_SCORES) == quick.version


def test_runs_over_other_days_do_not_disturb_each_other(scores: Lake, tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(replace, scores, slowed(rows_by(scores, "slow", day(20)), tmp_path), day(20), "slow")
        wait_for(tmp_path / "begun")
        replace(scores, rows_by(scores, "quick", day(21)), day(21), "quick")
        (tmp_path / "go_on").touch()
        assert slow.result().rows == 4
    assert writers_of(scores, day(20)) == {"slow"}
    assert writers_of(scores, day(21)) == {"quick"}


def test_a_back_fill_beside_the_nightly_run_wins_or_loses_as_a_whole(scores: Lake, tmp_path: Path) -> None:
    first, last = day(40), day(42)

    def back_fill(rows: DataFrame) -> Commit:
        scope = Scope(first, last, "model_id", (MODEL,))
        return scores.replace(rows, tables.STUDENT_SCORES, Stamp("back_fill", "test"), scope)

    days = [rows_by(scores, "fill", day(number)) for number in (40, 41, 42)]
    rows = days[0].unionByName(days[1]).unionByName(days[2])
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(back_fill, slowed(rows, tmp_path))
        wait_for(tmp_path / "begun")
        replace(scores, rows_by(scores, "nightly", last), last, "nightly")
        (tmp_path / "go_on").touch()
        with pytest.raises(ConflictError):
            slow.result()
    assert scores.read(tables.STUDENT_SCORES).where(f"dt BETWEEN DATE'{first}' AND DATE'{day(41)}'").isEmpty()
    assert writers_of(scores, last) == {"nightly"}
    back_fill(rows)
    assert [writers_of(scores, day(number)) for number in (40, 41, 42)] == [{"fill"}] * 3


def test_one_load_appended_twice_at_once_is_there_once(scores: Lake, tmp_path: Path) -> None:
    own = day(50)

    def append(rows: DataFrame, writer: str) -> Commit:
        return scores.append(rows, tables.STUDENT_SCORES, Stamp(writer, "test"), once="load-50")

    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(append, slowed(rows_by(scores, "slow", own), tmp_path), "slow once")
        wait_for(tmp_path / "begun")
        append(rows_by(scores, "quick", own), "quick once")
        (tmp_path / "go_on").touch()
        with pytest.raises(ConflictError):
            slow.result()
    assert append(rows_by(scores, "slow", own), "slow again").rows == 0
    assert writers_of(scores, own) == {"quick"}


def test_appends_that_take_turns_never_pass_side_by_side(shared_lake: Callable[..., Lake], tmp_path: Path) -> None:
    lake, own = shared_lake(tables.STUDENT_SCORES), day(60)
    seen = lake.log.version(tables.STUDENT_SCORES)

    def append(rows: DataFrame, writer: str, after: int) -> Commit:
        return lake.append_after(rows, tables.STUDENT_SCORES, Stamp(writer, "test"), after)

    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(append, slowed(rows_by(lake, "slow", own), tmp_path), "slow", seen)
        wait_for(tmp_path / "begun")
        append(rows_by(lake, "quick", own), "quick", seen)
        (tmp_path / "go_on").touch()
        with pytest.raises(ConflictError):
            slow.result()
    with pytest.raises(ConflictError, match="its turn was taken"):  # it had looked before, and began after
        append(rows_by(lake, "late", own), "late", seen)
    assert writers_of(lake, own) == {"quick"}
    first = append(rows_by(lake, "next", day(61)), "next", lake.log.version(tables.STUDENT_SCORES))
    assert writers_of(lake, day(61)) == {"next"}
    append(rows_by(lake, "other", day(62)), "other", first.version)
    with pytest.raises(ConflictError, match="its turn was taken"):  # a run's earlier commit is not the one it asks for
        append(rows_by(lake, "next", day(62)), "next", first.version)


def test_runs_that_start_together_leave_the_rows_of_one_of_them(scores: Lake) -> None:
    own = day(30)

    def attempt(writer: str) -> PingtiError | None:
        try:
            replace(scores, rows_by(scores, writer, own), own, writer)
        except ConflictError as error:
            return error
        return None

    with ThreadPoolExecutor(2) as pool:
        outcomes = list(pool.map(attempt, ("first", "second")))
    assert None in outcomes
    assert writers_of(scores, own) < {"first", "second"}
