"""Spark's writer and ours on one table: one of two wins whole, the other is told, and each reads the other's rows."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import pytest

from jobs.lake import tables
from jobs.lake.commits import Commit, Scope, Stamp
from jobs.lake.store import Lake
from models.errors import ConflictError
from tests.spark import test_conflicts
from tests.spark.test_conflicts import MODEL, rows_by, slowed, wait_for
from tests.support import day, frame, rows_of, score_row, threshold_row

pytestmark = pytest.mark.spark

SCORES = tables.STUDENT_SCORES


@pytest.fixture(scope="module")
def both(shared_lake: Callable[..., Lake]) -> Lake:
    return shared_lake(SCORES, tables.THRESHOLDS)


def scope_of(when: date) -> Scope:
    return Scope(when, when, "model_id", (MODEL,))


def by_rows(lake: Lake, writer: str, when: date) -> Commit:
    rows = [score_row(f"{writer}{n}", MODEL, [0.5], dt=when) for n in range(4)]
    return lake.replace_rows(SCORES, rows, Stamp(writer, "test"), scope_of(when))


def writers_of(lake: Lake, when: date) -> set[str]:
    """As Spark reads the day; our own reader must tell the same rows."""
    found = rows_of(lake.read(SCORES).where(f"dt = DATE'{when}'"), "text_id")
    assert sorted(row["text_id"] for row in lake.rows(SCORES) if row["dt"] == when) == [row[0] for row in found]
    return test_conflicts.writers_of(lake, when)


@pytest.mark.parametrize(("number", "filled"), [(0, False), (1, True)])
def test_a_slow_replacement_by_spark_loses_to_a_quick_one_by_rows(
    both: Lake, tmp_path: Path, number: int, filled: bool
) -> None:
    own = day(number)
    if filled:
        by_rows(both, "old", own)
    with ThreadPoolExecutor(1) as pool:
        rows = slowed(rows_by(both, "slow", own), tmp_path)
        slow = pool.submit(both.replace, rows, SCORES, Stamp("slow", "test"), scope_of(own))
        wait_for(tmp_path / "begun")
        quick = by_rows(both, "quick", own)
        (tmp_path / "go_on").touch()
        with pytest.raises(ConflictError):
            slow.result()
    assert writers_of(both, own) == {"quick"}
    assert both.log.version(SCORES) == quick.version


@pytest.mark.parametrize(("number", "filled"), [(10, False), (11, True)])
def test_files_written_meanwhile_lose_to_a_replacement_by_spark(both: Lake, number: int, filled: bool) -> None:
    own, arrow = day(number), both.catalog.arrow
    if filled:
        by_rows(both, "old", own)
    since = arrow.snapshot(SCORES, scope_of(own))
    quick = both.replace(rows_by(both, "quick", own), SCORES, Stamp("quick", "test"), scope_of(own))
    with pytest.raises(Exception, match="its part of the table changed meanwhile"):
        arrow.replace(SCORES, [], "{}", scope=scope_of(own), since=since)
    assert writers_of(both, own) == {"quick"}
    assert both.log.version(SCORES) == quick.version


def test_what_spark_wrote_is_replaced_by_rows_and_the_other_way_round(both: Lake) -> None:
    """Partition folders of Spark's hold escapes (`praise%2Ftextcnn`), which the log escapes once more."""
    own = day(20)
    both.replace(rows_by(both, "spark", own), SCORES, Stamp("spark", "test"), scope_of(own))
    by_rows(both, "rows", own)
    assert writers_of(both, own) == {"rows"}
    both.replace(rows_by(both, "again", own), SCORES, Stamp("again", "test"), scope_of(own))
    assert writers_of(both, own) == {"again"}


def test_other_days_do_not_disturb_either_hand(both: Lake, tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        rows = slowed(rows_by(both, "slow", day(30)), tmp_path)
        slow = pool.submit(both.replace, rows, SCORES, Stamp("slow", "test"), scope_of(day(30)))
        wait_for(tmp_path / "begun")
        since = both.catalog.arrow.snapshot(SCORES, scope_of(day(32)))
        by_rows(both, "quick", day(31))
        (tmp_path / "go_on").touch()
        assert slow.result().rows == 4
    both.catalog.arrow.replace(SCORES, [], "{}", scope=scope_of(day(32)), since=since)
    assert (writers_of(both, day(30)), writers_of(both, day(31))) == ({"slow"}, {"quick"})


def test_appends_in_turn_and_by_name_are_taken_once_by_either_hand(both: Lake) -> None:
    table, stamp, other = tables.THRESHOLDS, Stamp("turn", "test"), Stamp("other", "test")
    row = threshold_row(MODEL, "asks", 0.5)
    seen = both.log.version(table)
    both.append_rows_after(table, [row], other, seen)
    with pytest.raises(ConflictError):
        both.append_after(frame(both.spark, table, row), table, stamp, seen)
    seen = both.log.version(table)
    both.append_after(frame(both.spark, table, row | {"version": 2}), table, stamp, seen)
    with pytest.raises(ConflictError, match="its turn was taken"):
        both.append_rows_after(table, [row | {"version": 2}], stamp, seen)
    both.append_rows(table, [row | {"version": 3}], stamp, once="three")
    assert both.append(frame(both.spark, table, row | {"version": 3}), table, stamp, once="three").rows == 0
    both.append(frame(both.spark, table, row | {"version": 4}), table, stamp, once="four")
    assert both.append_rows(table, [row | {"version": 4}], stamp, once="four").rows == 0
    assert [version for (version,) in rows_of(both.read(table), "version")] == [1, 2, 3, 4]


def test_the_log_tells_the_commits_of_both_hands_alike(both: Lake) -> None:
    own = day(40)
    by_spark = both.replace(rows_by(both, "spark", own), SCORES, Stamp("r1", "test", "one"), scope_of(own))
    found = both.log.latest(SCORES, scope_of(own))
    assert (found, by_spark.rows) == (by_spark, 4)
    by_hand = both.replace_rows(SCORES, [], Stamp("r2", "test", "two"), scope_of(own))
    found = both.log.latest(SCORES, scope_of(own))
    assert (found, by_hand.rows) == (by_hand, 0)
    history = both.spark.sql(f"DESCRIBE HISTORY {both.catalog.register(SCORES)} LIMIT 2").collect()
    assert [row["operationMetrics"]["numOutputRows"] for row in history] == ["0", "4"]
    assert all('"job": "test"' in row["userMetadata"] for row in history)
    assert own not in both.days(SCORES)
