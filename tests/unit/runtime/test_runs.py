"""A run leaves one row when it did something or failed, and none when nothing was to be done."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pyarrow.compute as pc
import pytest

from jobs.lake import tables
from jobs.lake.commits import Scope
from jobs.lake.store import Lake
from jobs.runtime.context import Context, Days
from jobs.runtime.job import Done, Job, Work, run
from models.errors import DataError
from tests.support import DAY, add, context_of, day, text_row
from udfs.build import code_version


@pytest.fixture(scope="module")
def house(shared_bare_lake: Callable[..., Lake]) -> Lake:
    return shared_bare_lake(tables.RUNS, tables.TEXTS, tables.LABELS)


def context_for(lake: Lake, job: str) -> Context:
    return context_of(lake, job, days=Days(DAY, day(1)), task="praise", options={"reason": "why"})


def job_that(name: str, execute: Callable[[Context, str], Done | None], **touches: Any) -> Job[str]:
    return Job(name, lambda _: Work(("step",), "payload"), execute, needs_session=False, **touches)


def rows_for(lake: Lake, job: str) -> list[dict[str, Any]]:
    return lake.rows(tables.RUNS, where=pc.field("job") == job)


def test_a_run_tells_what_it_was_asked_and_what_it_did(house: Lake) -> None:
    done = Done(counts={"texts": 3}, headline="texts")

    def execute(context: Context, payload: str) -> Done:
        assert payload == "payload"
        house.append_rows(tables.TEXTS, [text_row("a")], context.stamp())
        add(house, tables.TEXTS, text_row("b"))  # another run's, meanwhile: none of its outputs
        return done

    context, before = context_for(house, "works"), house.log.version(tables.TEXTS)
    job = job_that("works", execute, reads=(tables.TEXTS,), writes=(tables.TEXTS, tables.LABELS))
    assert run(job, context) == done
    (row,) = rows_for(house, "works")
    assert json.loads(row["arguments"]) == {"dt": "2026-03-02..2026-03-03", "task": "praise", "reason": "why"}
    assert (row["run_id"], row["outcome"], row["reason"]) == (context.run_id, "done", None)
    assert (row["row_counts"], row["inputs"], row["outputs"]) == (
        {"texts": 3},
        {"texts": before},
        {"texts": before + 1},
    )
    assert row["settings_digest"] == context.settings.digest
    assert row["code_version"] == code_version()


def test_a_run_with_nothing_to_do_leaves_no_row(house: Lake) -> None:
    def execute(*_: Any) -> Done:
        raise AssertionError("there was nothing to do")

    assert run(Job("idle", lambda _: Work(()), execute), context_for(house, "idle")) is None
    assert rows_for(house, "idle") == []


def test_a_run_that_finds_nothing_left_leaves_no_row(house: Lake) -> None:
    assert run(job_that("looks", lambda *_: None), context_for(house, "looks")) is None
    assert rows_for(house, "looks") == []


def test_a_failed_run_keeps_our_reason_and_only_the_kind_of_a_foreign_one(house: Lake) -> None:
    def refuse(*_: Any) -> Done:
        raise DataError("counts differ")

    def break_down(*_: Any) -> Done:
        raise ValueError("电话13812345678金丝雀")

    with pytest.raises(DataError, match="counts differ"):
        run(job_that("refuses", refuse), context_for(house, "refuses"))
    with pytest.raises(ValueError, match="金丝雀"):
        run(job_that("breaks", break_down), context_for(house, "breaks"))
    assert [(row["outcome"], row["reason"]) for row in rows_for(house, "refuses")] == [("DataError", "counts differ")]
    assert [(row["outcome"], row["reason"]) for row in rows_for(house, "breaks")] == [("bug", "ValueError")]


def test_a_failure_is_told_even_where_its_row_cannot_be_kept(bare_lake: Callable[..., Lake]) -> None:
    def refuse(*_: Any) -> Done:
        raise DataError("counts differ")

    own = bare_lake()
    with pytest.raises(DataError, match="counts differ"):
        run(job_that("refuses", refuse), context_for(own, "refuses"))
    with pytest.raises(DataError, match="no such table"):
        run(job_that("works", lambda *_: Done()), context_for(own, "works"))


def test_work_counts_as_done_only_where_all_of_it_was_made_from_the_same(bare_lake: Callable[..., Lake]) -> None:
    own = bare_lake(tables.LABELS)
    context = context_of(own)

    def replace(scope: Scope, fingerprint: str) -> None:
        own.replace_rows(tables.LABELS, [], context.stamp(fingerprint), scope)

    def unchanged(first: int, last: int, *tasks: str) -> bool:
        return context.unchanged(tables.LABELS, Scope(day(first), day(last), "task", tasks), "same")

    assert not unchanged(0, 0, "a")
    replace(Scope(day(0), day(2), "task", ("a", "b")), "same")
    assert unchanged(0, 2, "a", "b")
    assert unchanged(1, 1, "b")
    assert not unchanged(0, 3, "a")
    assert not unchanged(0, 2, "a", "c")
    assert not unchanged(0, 2)
    replace(Scope(day(1), day(1), "task", ("a",)), "other")
    assert not unchanged(0, 2, "a", "b")
    assert unchanged(2, 2, "a")
    assert unchanged(1, 1, "b")


def test_a_commit_that_lacks_rows_is_made_again(bare_lake: Callable[..., Lake]) -> None:
    own = bare_lake(tables.LABELS)
    context, scope = context_of(own), Scope(day(0), day(0), "task", ("a",))
    for expected, whole in ((3, False), (0, True)):
        commit = own.replace_rows(tables.LABELS, [], context.stamp("same", expected=expected), scope)
        assert commit.whole is whole
        assert context.unchanged(tables.LABELS, scope, "same") is whole


@pytest.mark.parametrize("needed", [True, False])
def test_the_session_is_there_before_a_job_of_frames_begins_and_for_no_other(
    bare_lake: Callable[..., Lake], needed: bool
) -> None:
    started: list[str] = []

    def execute(*_: Any) -> Done:
        started.append("executed")
        return Done()

    own = bare_lake(tables.RUNS)
    own._start = lambda: started.append("session")  # type: ignore[assignment, return-value]
    context = context_of(own)
    run(Job("works", lambda _: Work(("step",), "payload"), execute, needs_session=needed), context)
    assert started == (["session", "executed"] if needed else ["executed"])
    assert run(Job("idle", lambda _: Work(()), execute), context_of(own)) is None
    assert started.count("session") == needed
