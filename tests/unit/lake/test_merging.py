"""What the driver merges: the newer row of a key holds, and nothing that is there is lost."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.lake import tables
from jobs.lake.merging import merged_rows
from jobs.lake.schema_check import conformed_rows
from tests.support import DAY

Answers = dict[str, tuple[bool, int | None]]
ANSWERS = st.dictionaries(st.sampled_from("abc"), st.tuples(st.booleans(), st.none() | st.integers(1, 3)))


def rows_of(answers: Answers, run_id: str = "1") -> pa.Table:
    rows: list[dict[str, Any]] = [
        {
            "task": "praise", "label": "asks", "text_id": own, "annotator": "li", "value": value, "text_hash": "h",
            "dt": DAY, "file": run_id, "run_id": run_id,
            "annotated_at": None if at is None else datetime(2026, 3, at, tzinfo=UTC),
        }
        for own, (value, at) in answers.items()
    ]  # fmt: skip
    return conformed_rows(tables.ANNOTATIONS, rows)


def merged(stored: Answers, new: Answers, newer_by: str | None = "annotated_at") -> Answers | None:
    found = merged_rows(rows_of(stored), rows_of(new, "2"), tables.ANNOTATIONS, newer_by)
    if found is None:
        return None
    assert found.schema == tables.ANNOTATIONS.columns
    rows = found.to_pylist()
    assert len({row["text_id"] for row in rows}) == len(rows)
    return {row["text_id"]: (row["value"], row["annotated_at"] and row["annotated_at"].day) for row in rows}


@pytest.mark.parametrize(
    ("stored", "new", "holds"),
    [
        ((True, 2), (False, 1), (True, 2)),
        ((True, 2), (False, None), (True, 2)),
        ((True, 2), (False, 2), (False, 2)),
        ((True, 2), (True, 3), (True, 3)),
        ((True, None), (False, None), (False, None)),
        ((True, None), (False, 1), (False, 1)),
        ((True, 2), (True, 2), (True, 2)),
    ],
)
def test_the_newer_answer_holds(stored: Any, new: Any, holds: Any) -> None:
    found = merged({"a": stored, "b": (True, 1)}, {"a": new})
    assert found == (None if holds == stored else {"a": holds, "b": (True, 1)})


def test_without_a_column_of_times_the_later_row_holds() -> None:
    assert merged({"a": (True, 2)}, {"a": (False, 1)}, None) == {"a": (False, 1)}


@given(ANSWERS, ANSWERS)
def test_a_merge_keeps_every_key_and_changes_nothing_a_second_time(stored: Answers, new: Answers) -> None:
    found = merged(stored, new) or stored
    assert found.keys() == stored.keys() | new.keys()
    assert merged(found, new) is None
