"""Batches are cleaned row for row."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from models import digests
from models.text.rules import Cleaner, CleaningSettings, RuleSettings
from udfs.cleaning import clean_batch, text_cleaner

SETTINGS = CleaningSettings(
    max_chars=8,
    rules=(
        RuleSettings(name="marks", pattern="[!?]+", outcome="useless"),
        RuleSettings(name="flowers", pattern="花+", outcome="positive", task="praise", label="got"),
        RuleSettings(name="quiet", pattern="花", outcome="negative", task="mood"),
    ),
)
TEXT = st.one_of(st.sampled_from(["", "!!", "花花", "　好 的　", "ＡＢＣ", "老师讲得真的非常好"]), st.text(max_size=12))


def batch_of(pairs: list[tuple[str, str | None]]) -> pa.RecordBatch:
    rows = len(pairs)
    columns: dict[str, Any] = {
        "text_id": pa.array([f"id{number}" for number in range(rows)], pa.string()),
        "dt": pa.array([date(2026, 3, 1)] * rows, pa.date32()),
        "source": pa.array(["app"] * rows, pa.string()),
        "source_id": pa.array([None] * rows, pa.string()),
        "scene": pa.array(["chat"] * rows, pa.string()),
        "text": pa.array([text for text, _ in pairs], pa.string()),
        "text_b": pa.array([other for _, other in pairs], pa.string()),
        "event_time": pa.array([datetime(2026, 3, 1, tzinfo=UTC)] * rows, pa.timestamp("us", tz="UTC")),
    }
    return pa.RecordBatch.from_pydict(columns)


@given(st.lists(st.tuples(TEXT, st.one_of(st.none(), TEXT)), max_size=8))
@settings(deadline=None)
def test_every_row_comes_out_clean_in_its_place(pairs: list[tuple[str, str | None]]) -> None:
    batch, cleaner = batch_of(pairs), Cleaner(SETTINGS)
    out = clean_batch(batch, cleaner)
    for name in ("text_id", "dt", "source", "source_id", "scene", "event_time"):
        assert out.column(name).equals(batch.column(name))
    for row, (text, other) in zip(out.to_pylist(), pairs, strict=True):
        assert row["text"] == cleaner.clean(text)
        assert row["text_b"] == (None if other is None else cleaner.clean(other))
        assert row["text_hash"] == digests.of_text(row["text"], row["text_b"])
        assert row["length"] == len(row["text"]) <= SETTINGS.max_chars
        assert row["clean_version"] == SETTINGS.version
        assert [tuple(one.values()) for one in row["settled"]] == [
            (one.task, one.label, one.outcome, one.rule) for one in cleaner.settle(row["text"])
        ]


def test_what_the_rules_say_is_about_the_first_text() -> None:
    out = clean_batch(batch_of([("花花", None), ("花", "!!"), ("好", "!!"), ("", None)]), Cleaner(SETTINGS)).to_pylist()
    assert [[one["rule"] for one in row["settled"]] for row in out] == [
        ["flowers"],
        ["flowers", "quiet"],
        [],
        ["empty"],
    ]


def test_the_batch_function_keeps_batches_and_their_columns_even_when_empty() -> None:
    batches = [batch_of([("a", None)] * rows) for rows in (2, 0, 3)]
    out = list(text_cleaner(SETTINGS)(iter(batches)))
    assert [batch.num_rows for batch in out] == [2, 0, 3]
    assert len({batch.schema for batch in out}) == 1
    assert out[0].schema.names == [
        "text_id", "dt", "source", "source_id", "scene", "text", "text_b", "text_hash", "length", "event_time",
        "clean_version", "settled",
    ]  # fmt: skip


def test_other_settings_in_the_same_process_clean_otherwise() -> None:
    batch = batch_of([("老师讲得真的非常好", None)])
    for length in (3, 5, 3):
        (out,) = text_cleaner(CleaningSettings(max_chars=length))(iter([batch]))
        assert out.column("length").to_pylist() == [length]
