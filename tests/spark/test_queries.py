"""What rounds and jobs ask of the tables."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import numpy as np
import pytest
from pyspark.sql import SparkSession

from jobs.lake import registry, score_columns, tables, text_queries, threshold_queries
from jobs.lake.store import Lake
from models import digests
from models.errors import DataError
from models.evaluation.predictions import keep_argmax, probabilities
from models.rounds.date_layout import DateLayout, Part, RoundSettings, Window
from models.tasks import TaskSettings
from tests.support import day, fill, model_row, rows_of, rule, text_row, threshold_row

pytestmark = pytest.mark.spark

TASK = TaskSettings.model_validate({"scenes": ["live_chat", "photo"], "labels": {"asks": {}}})
LAYOUT = DateLayout(*[Window(day(n), day(n)) for n in range(4)])
TEXTS = [
    text_row("a2", "only train"), text_row("a1", "only train", scene="photo"),
    text_row("b0", "also test"), text_row("b2", "also test", dt=day(2)),
    text_row("c0", "also gate"), text_row("c3", "also gate", dt=day(3)),
    text_row("d0", "also threshold"), text_row("d1", "also threshold", dt=day(1)),
    text_row("e0", "elsewhere", scene="teacher_speech"),
    text_row("f0", "settled", settled=[rule("praise", "negative")]),
    text_row("g0", "settled for all", settled=[rule("*", "useless")]),
    text_row("h0", "settled for another", settled=[rule("feedback", "negative")]),
    text_row("i1", "often", dt=day(1)), text_row("i2", "often", dt=day(1)),
]  # fmt: skip
MODELS = [
    model_row("praise/textcnn/old", ["asks"]),
    model_row("praise/textcnn/new", ["got", "asks"], created_at=datetime(2026, 2, 1, tzinfo=UTC)),
    model_row("praise/bert/new", ["asks"], role="teacher", created_at=datetime(2026, 3, 1, tzinfo=UTC)),
]
THRESHOLDS = [
    threshold_row("praise/textcnn/new", "asks", 0.3),
    threshold_row("praise/textcnn/new", "asks", 0.4, version=2),
    threshold_row("praise/textcnn/new", "got", 0.5, version=2),
    threshold_row("praise/textcnn/new", "asks", 0.6, version=2, scene="photo"),
]


@pytest.fixture(scope="module")
def asked(shared_lake: Callable[..., Lake]) -> Lake:
    lake = shared_lake(tables.TEXTS, tables.MODELS, tables.THRESHOLDS)
    return fill(lake, {tables.TEXTS: TEXTS, tables.MODELS: MODELS, tables.THRESHOLDS: THRESHOLDS})


@pytest.mark.parametrize(
    ("part", "texts"),
    [
        ("train", [("only train", "a1"), ("settled for another", "h0")]),
        ("threshold", [("also threshold", "d1"), ("often", "i1")]),
        ("test", [("also test", "b2")]),
        ("gate", [("also gate", "c3")]),
    ],
)
def test_a_part_has_each_distinct_text_once_and_training_none_of_the_held_out(
    asked: Lake, part: Part, texts: list[tuple[str, str]]
) -> None:
    found = text_queries.distinct_texts(asked, "praise", TASK, LAYOUT, part)
    assert rows_of(found, "text", "text_id") == texts
    assert {row["text_hash"] for row in found.collect()} == {digests.of_text(text) for text, _ in texts}


def test_occurrences_are_counted_by_day_scene_and_text(asked: Lake) -> None:
    found = text_queries.occurrences(
        text_queries.texts_for(asked.read(tables.TEXTS), "praise", TASK), [LAYOUT.threshold, LAYOUT.gate]
    )
    assert rows_of(found, "dt", "scene", "text", "occurrences") == [
        (day(1), "live_chat", "also threshold", 1), (day(1), "live_chat", "often", 2),
        (day(3), "live_chat", "also gate", 1),
    ]  # fmt: skip


def test_the_layout_comes_from_the_days_that_have_texts(asked: Lake) -> None:
    settings = RoundSettings(threshold_days=1, test_days=1, gate_days=1, min_train_days=1)
    assert text_queries.date_layout(asked, settings) == LAYOUT
    with pytest.raises(DataError, match="got 4 days"):
        text_queries.date_layout(asked, RoundSettings(min_train_days=14))


def test_a_draw_by_hash_does_not_depend_on_the_partitioning(spark: SparkSession) -> None:
    keys = spark.range(200).selectExpr("cast(id as string) AS key")

    def drawn(partitions: int, seed: int) -> list[str]:
        order = text_queries.drawn_by_hash("key", seed)
        return [row["key"] for row in keys.repartition(partitions).orderBy(order).limit(20).collect()]

    assert drawn(1, 7) == drawn(3, 7)
    assert drawn(1, 7) != drawn(1, 8)
    assert drawn(1, 7) != [str(n) for n in range(20)]


def test_a_scene_without_its_own_thresholds_uses_those_of_all(asked: Lake) -> None:
    found = threshold_queries.read(asked, "praise/textcnn/new", 2)
    assert threshold_queries.for_scene(found, "photo", ["got", "asks"]) == [0.5, 0.6]
    assert threshold_queries.for_scene(found, "live_chat", ["got", "asks"]) == [0.5, 0.4]
    assert threshold_queries.newest_version(asked, "praise/textcnn/new") == 2
    assert threshold_queries.newest_version(asked, "praise/textcnn/old") is None


def test_the_newest_model_of_a_role_is_found_with_its_labels_in_order(asked: Lake) -> None:
    newest = registry.newest_student(asked, "praise")
    assert (newest.model_id, newest.labels) == ("praise/textcnn/new", ("got", "asks"))
    assert registry.newest_teacher(asked, "praise").model_id == "praise/bert/new"
    with pytest.raises(DataError, match="no student of task feedback; run `pingti distil` first"):
        registry.newest_student(asked, "feedback")
    with pytest.raises(DataError, match="no model praise/lost"):
        registry.model(asked, "praise/lost")


def test_a_class_that_a_model_does_not_know_takes_no_share_and_cannot_win(spark: SparkSession) -> None:
    task = TaskSettings.model_validate(
        {"kind": "multi_class", "scenes": ["photo"], "labels": {"a": {}, "new": {}, "b": {}}}
    )
    logits = np.array([[2.0, -1.0], [-3.0, 0.5]], np.float32)
    plain = keep_argmax(probabilities(logits, "multi_class"), "multi_class")
    rows = [(at, [float(row[0]), None, float(row[1])]) for at, row in enumerate(logits)]
    frame = spark.createDataFrame(rows, "at int, logits array<float>")
    shares = score_columns.probabilities(frame["logits"], task.kind)
    found = frame.select(
        shares.alias("shares"), score_columns.keep_argmax(shares, task.kind).alias("won"), "at"
    ).orderBy("at")
    for row, expected in zip(found.collect(), plain, strict=True):
        assert row["shares"][1] is None
        np.testing.assert_allclose(sum(share for share in row["shares"] if share is not None), 1, rtol=1e-6)
        np.testing.assert_allclose([row["won"][0], row["won"][2]], expected, rtol=1e-6)
