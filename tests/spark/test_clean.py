"""Every raw text is there once, clean, settled where a rule can, and counted."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from pyspark.testing import assertDataFrameEqual

from jobs.ingestion import clean
from jobs.lake import tables
from jobs.lake.store import Lake
from jobs.runtime.context import Days
from models import digests
from models.errors import DataError
from tests.support import add, context_of, day, do, rows_of

pytestmark = pytest.mark.spark

RULES = {
    "rules": [
        {"name": "laughter", "pattern": "哈+", "outcome": "useless"},
        {"name": "flower", "pattern": r"\[花\]", "outcome": "positive", "task": "praise", "label": "asks"},
        {"name": "digits", "pattern": r"\d+", "outcome": "negative", "task": "praise"},
    ]
}
SETTINGS = {"cleaning": RULES, "tasks": {"praise": {"scenes": ["live_chat"], "labels": {"asks": {}}}}}
RAW = [
    ("a", "老师，好", 0), ("b", "老师,好", 0), ("c", "老师,好", 1), ("d", "哈哈哈哈哈", 0), ("e", "[花][花]", 0),
    ("f", "１２３", 0), ("g", " \u200b", 0), ("h", "A\u0301b  c", 1), ("i", "老师,好", 0),
]  # fmt: skip


def raw_row(text_id: str, text: str, number: int = 0, **values: Any) -> dict[str, Any]:
    return {
        "text_id": text_id, "source": "chat", "source_id": text_id, "scene": "live_chat", "text": text,
        "event_time": datetime(2026, 3, 2 + number, 4, tzinfo=UTC), "dt": day(number), "arrived_dt": day(5),
        "load_id": "l", "file": "a.jsonl", "position": 0, "run_id": "seed",
    } | values  # fmt: skip


@pytest.fixture(scope="module")
def cleaned(shared_lake: Callable[..., Lake]) -> Lake:
    """The texts cleaned once; the last test adds other days."""
    lake = shared_lake(tables.RAW_TEXTS, tables.TEXTS, tables.ANNOTATIONS)
    rows = [raw_row(*one) for one in RAW]
    rows[-1]["scene"] = "photo"
    add(lake, tables.RAW_TEXTS, *rows)
    done = do(clean.JOB, context_of(lake, "clean", **SETTINGS))
    assert done is not None
    assert done.counts == {"texts": len(RAW), "days": 2}
    return lake


def test_every_raw_text_is_there_once_and_clean(cleaned: Lake) -> None:
    found = {row["text_id"]: row for row in cleaned.read(tables.TEXTS).collect()}
    assert {text_id: row["text"] for text_id, row in found.items()} == {
        "a": "老师,好", "b": "老师,好", "c": "老师,好", "d": "哈哈哈", "e": "[花]", "f": "123", "g": "", "h": "áb c",
        "i": "老师,好",
    }  # fmt: skip
    assert all(row["text_hash"] == digests.of_text(row["text"]) for row in found.values())
    assert all(row["length"] == len(row["text"]) for row in found.values())
    assert {row["dt"] for row in found.values()} == {day(0), day(1)}


def test_rules_settle_what_they_match_whole(cleaned: Lake) -> None:
    settled = {row["text_id"]: [tuple(one) for one in row["settled"]] for row in cleaned.read(tables.TEXTS).collect()}
    assert {text_id: outcomes for text_id, outcomes in settled.items() if outcomes} == {
        "d": [("*", None, "useless", "laughter")],
        "e": [("praise", "asks", "positive", "flower")],
        "f": [("praise", None, "negative", "digits")],
        "g": [("*", None, "useless", "empty")],
    }


def test_occurrences_count_equal_texts_of_the_day_and_scene(cleaned: Lake) -> None:
    found = cleaned.read(tables.TEXTS).where("text = '老师,好'")
    assert rows_of(found, "text_id", "occurrences") == [("a", 2), ("b", 2), ("c", 1), ("i", 1)]


def test_nothing_is_left_to_do_until_the_rules_change(cleaned: Lake) -> None:
    assert clean.plan(context_of(cleaned, "clean", **SETTINGS)).steps == ()
    assert clean.plan(context_of(cleaned, "clean", **SETTINGS, days=Days(day(1), day(1)))).steps == ()
    assert len(clean.plan(context_of(cleaned, "clean", **SETTINGS | {"cleaning": RULES | {"max_chars": 9}})).steps) == 1


def test_the_partitioning_does_not_show(cleaned: Lake) -> None:
    context, raw = context_of(cleaned, **SETTINGS), cleaned.read(tables.RAW_TEXTS)
    for number in (1, 3):
        assertDataFrameEqual(
            clean.clean(raw.repartition(number), context.settings.cleaning), cleaned.read(tables.TEXTS)
        )


def test_an_empty_table_is_told(lake: Callable[..., Lake]) -> None:
    with pytest.raises(DataError, match="raw_texts is empty; run the job before"):
        clean.plan(context_of(lake(tables.RAW_TEXTS), "clean"))


def test_a_late_text_makes_only_its_day_anew(cleaned: Lake) -> None:
    add(cleaned, tables.RAW_TEXTS, raw_row("p", "好", 7), raw_row("q", "好", 8))
    done = do(clean.JOB, context_of(cleaned, "clean", **SETTINGS))
    assert done is not None
    assert done.counts == {"texts": 2, "days": 2}
    add(cleaned, tables.RAW_TEXTS, raw_row("late", "好", 7, arrived_dt=day(9)), raw_row("today", "今", 9))
    done = do(clean.JOB, context_of(cleaned, "clean", **SETTINGS))
    assert done is not None
    assert done.counts == {"texts": 3, "days": 2}
    assert clean.plan(context_of(cleaned, "clean", **SETTINGS)).steps == ()
    found = cleaned.read(tables.TEXTS).where("text = '好'")
    assert rows_of(found, "text_id", "occurrences") == [("late", 2), ("p", 2), ("q", 1)]


def test_annotations_follow_their_texts_through_other_rules(lake: Callable[..., Lake]) -> None:
    own = lake(*tables.ALL)
    add(own, tables.RAW_TEXTS, raw_row("a", "老师，好好好好"), raw_row("b", "好", 1))
    do(clean.JOB, context_of(own, "clean"))
    hashes = {row["text_id"]: row["text_hash"] for row in own.rows(tables.TEXTS)}
    answers = [
        {"task": "praise", "label": "asks", "text_id": one, "annotator": "x", "value": True, "text_hash": hashes[one],
         "dt": day(at), "file": "f", "run_id": "seed"} for at, one in enumerate("ab")
    ]  # fmt: skip
    add(own, tables.ANNOTATIONS, *answers)
    do(clean.JOB, context_of(own, "clean", cleaning={"max_chars": 3}))
    now = {row["text_id"]: row["text_hash"] for row in own.rows(tables.TEXTS)}
    assert now["a"] != hashes["a"]
    assert {row["text_id"]: row["text_hash"] for row in own.rows(tables.ANNOTATIONS)} == now
    assert len(own.rows(tables.ANNOTATIONS)) == 2
    version = own.log.version(tables.ANNOTATIONS)
    assert do(clean.JOB, context_of(own, "clean", cleaning={"max_chars": 3}, options={"again": True})) is not None
    assert own.log.version(tables.ANNOTATIONS) == version, "nothing to follow, no commit"
