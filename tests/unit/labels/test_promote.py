"""What is in force is told by rows that are only ever added."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from jobs.labels import promote, rollback
from jobs.lake import registry, tables
from jobs.lake.store import Lake
from jobs.runtime.context import Context
from models.errors import DataError, GateError
from tests.support import (
    NEW_YEAR,
    add,
    both_f1,
    context_of,
    do,
    fill,
    model_row,
    promotion_row,
    round_row,
    threshold_row,
)

TASKS = {name: {"scenes": ["live_chat"], "labels": {"asks": {}}} for name in ("praise", "feedback")}
MORE = TASKS | {name: TASKS["praise"] for name in ("mood", "manners")}
OLD, NEW, OTHER = "praise/textcnn/old", "praise/textcnn/new", "feedback/textcnn/a"


@pytest.fixture(scope="module")
def trained(shared_bare_lake: Callable[..., Lake]) -> Lake:
    """Two students of one task, one of another, one without thresholds; none promoted."""
    models = [model_row(OLD, ["asks"]), model_row(NEW, ["asks"], created_at=datetime(2026, 2, 1, tzinfo=UTC))]
    thresholds = [threshold_row(model_id, "asks", 0.5) for model_id in (OLD, NEW, OTHER)]
    lake = shared_bare_lake(tables.MODELS, tables.ROUNDS, tables.THRESHOLDS, tables.PROMOTIONS)
    return fill(
        lake,
        {
            tables.MODELS: [*models, model_row(OTHER, ["asks"]), model_row("mood/textcnn/a", ["asks"])],
            tables.THRESHOLDS: thresholds,
            tables.ROUNDS: [round_row(model_id, f"{model_id}/01") for model_id in (OLD, NEW, OTHER)],
        },
    )


def context_for(lake: Lake, **options: str) -> Context:
    return context_of(lake, "promote", tasks=TASKS, options=options)


def in_force(lake: Lake, at: datetime | None = None) -> dict[str, tuple[str, int]]:
    found = registry.live(lake, at)
    return {name: (one.model_id, one.threshold_version) for name, one in found.items()}


def test_promotions_and_rollbacks_over_a_life(trained: Lake) -> None:
    assert in_force(trained) == {}
    with pytest.raises(DataError, match="rollback: nothing else was in force before"):
        rollback.plan(context_for(trained))

    done = do(promote.JOB, context_for(trained))
    assert done is not None
    assert done.counts == {"promotions": 2}
    assert in_force(trained) == {"praise": (NEW, 1), "feedback": (OTHER, 1)}
    assert len({row["from_ts"] for row in trained.rows(tables.PROMOTIONS)}) == 1

    assert do(promote.JOB, context_for(trained)) is None
    with pytest.raises(DataError, match="nothing else was in force before"):
        rollback.plan(context_for(trained))

    add(trained, tables.THRESHOLDS, threshold_row(NEW, "asks", 0.7, version=2))
    done = do(promote.JOB, context_for(trained, reason="new thresholds"))
    assert done is not None
    assert done.counts == {"promotions": 1}
    assert in_force(trained) == {"praise": (NEW, 2), "feedback": (OTHER, 1)}

    do(rollback.JOB, context_for(trained))
    assert in_force(trained) == {"praise": (NEW, 1), "feedback": (OTHER, 1)}
    rows = [row for row in trained.rows(tables.PROMOTIONS) if row["task"] == "praise"]
    ended = [row["reason"] for row in sorted(rows, key=lambda row: row["from_ts"])]
    assert ended == ["newest student and thresholds", "new thresholds", "rollback"]


def test_what_was_in_force_at_a_moment_is_told_to_the_moment(bare_lake: Callable[..., Lake]) -> None:
    own = bare_lake(tables.PROMOTIONS)
    second = NEW_YEAR + timedelta(days=1)
    add(own, tables.PROMOTIONS, promotion_row(OLD, NEW_YEAR), promotion_row(NEW, second), promotion_row(OTHER, second))
    assert in_force(own, NEW_YEAR - timedelta(microseconds=1)) == {}
    assert in_force(own, NEW_YEAR) == {"praise": (OLD, 1)}
    assert in_force(own, second - timedelta(microseconds=1)) == {"praise": (OLD, 1)}
    assert in_force(own, second) == {"praise": (NEW, 1), "feedback": (OTHER, 1)}
    assert in_force(own) == in_force(own, second)


def test_a_student_without_thresholds_is_not_promoted(trained: Lake) -> None:
    with pytest.raises(DataError, match="no student of task manners; run `pingti distil` first"):
        promote.plan(context_of(trained, task="manners", tasks=MORE))
    with pytest.raises(DataError, match="mood/textcnn/a has no thresholds; run `pingti thresholds` first"):
        promote.plan(context_of(trained, task="mood", tasks=MORE))


def test_a_student_that_lost_or_was_never_judged_holds_up_no_other_task(shared_bare_lake: Callable[..., Lake]) -> None:
    lost, good, unjudged = "praise/textcnn/lost", "feedback/textcnn/good", "mood/textcnn/unjudged"
    own = shared_bare_lake(tables.MODELS, tables.ROUNDS, tables.THRESHOLDS, tables.PROMOTIONS)
    worse = both_f1(0.9, 0.8) + both_f1(0.5, 0.7, "human", "test_unseen")
    rounds = [
        # The newer of a model's rounds counts.
        round_row(lost, "praise/textcnn/01"),
        round_row(
            lost, "praise/textcnn/02", run_id="then", metrics=worse, row_counts={"human_positives/asks": 400}
        ),
        round_row(good, "feedback/textcnn/01"),
    ]  # fmt: skip
    models = (lost, good, unjudged)
    fill(
        own,
        {
            tables.MODELS: [model_row(model_id, ["asks"]) for model_id in models],
            tables.THRESHOLDS: [threshold_row(model_id, "asks", 0.5) for model_id in models],
            tables.ROUNDS: rounds,
        },
    )
    every = context_of(own, "promote", tasks={name: MORE[name] for name in ("praise", "feedback", "mood")})
    done = do(promote.JOB, every)
    assert done is not None
    assert done.counts == {"promotions": 1}
    told = r"0\.500 against the gold `human`.*mood/textcnn/unjudged: its round did not end"
    with pytest.raises(GateError, match=told):
        raise done.error or AssertionError("nothing was refused")
    assert {name: one.model_id for name, one in registry.live(every.lake).items()} == {"feedback": good}
    with pytest.raises(GateError):  # again, though there is nothing else to do
        do(promote.JOB, every)
