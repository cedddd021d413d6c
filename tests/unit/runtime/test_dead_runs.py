"""The row of a run that died before it could write it."""

from __future__ import annotations

from collections.abc import Callable

from jobs.lake import tables
from jobs.lake.store import Lake
from jobs.runtime import liveness
from jobs.runtime.context import Context
from jobs.runtime.job import Done, Job, Work, run
from tests.support import NEW_YEAR, context_of, promotion_row


def _job(execute: Callable[[Context, str], Done], *, steps: bool = True) -> Job[str]:
    return Job(
        "promote", lambda _: Work(("step",) if steps else (), "payload"), execute, count_tables=(tables.PROMOTIONS,)
    )


def test_a_run_killed_after_its_commit_is_recorded_by_the_next(bare_lake: Callable[..., Lake]) -> None:
    one = bare_lake(tables.RUNS, tables.PROMOTIONS)
    dead = context_of(one, "promote")
    rows = [promotion_row("praise/textcnn/1", NEW_YEAR)]
    one.append_rows(tables.PROMOTIONS, rows, dead.stamp(counts={"read": 7}))
    with liveness.under_way(dead.run_id):
        assert run(_job(lambda *_: Done(), steps=False), context_of(one, "promote")) is None
        assert one.rows(tables.RUNS) == []
    for _ in range(2):
        assert run(_job(lambda *_: Done(), steps=False), context_of(one, "promote")) is None
    (row,) = one.rows(tables.RUNS)
    assert (row["run_id"], row["row_counts"], row["outcome"]) == (dead.run_id, {"read": 7}, "done")
