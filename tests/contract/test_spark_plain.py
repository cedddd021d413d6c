"""What Spark computes is what plain Python computes, row for row."""

from __future__ import annotations

import itertools
import random
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from pyspark.sql import Row, SparkSession
from pyspark.sql import functions as F

from jobs.ingestion import clean
from jobs.labels.label_decisions import Decider, decide_labels
from jobs.lake import score_columns, tables, text_queries
from jobs.lake.promotions import Promotion
from jobs.lake.registry import RegisteredModel
from jobs.scoring.inference import bucket
from jobs.settings import Settings
from models import digests, label_dependencies
from models.evaluation import predictions
from models.rounds.hash_draw import buckets, draw_order
from models.tasks import EVERY_TASK, TaskKind, TaskSettings
from models.text.rules import Cleaner
from tests.support import DAY, frame, rule, score_row, text_row

pytestmark = pytest.mark.spark

SETTINGS = Settings.model_validate({
    "cleaning": {
        "max_chars": 24,
        "rules": [
            {"name": "laughter", "pattern": "哈+", "outcome": "useless"},
            {"name": "digits", "pattern": r"\d{2,}", "outcome": "negative", "task": "praise"},
            {"name": "flower", "pattern": r"(\[花\]|😀)", "outcome": "positive", "task": "praise", "label": "asks"},
            {"name": "late", "pattern": "a.*", "outcome": "negative", "task": "feedback"},
        ],
    },
    "tasks": {
        "praise": {
            "scenes": ["live_chat", "photo"],
            "labels": {
                "asks": {}, "got": {"excludes": ["asks"]},
                "unfair": {"requires": ["feedback.complaint"], "excludes": ["feedback.thanks"]},
            },
        },
        "feedback": {
            "scenes": ["live_chat", "speech"],
            "labels": {"thanks": {}, "complaint": {"excludes": ["praise.got"]}},
        },
        "mood": {"scenes": ["live_chat"], "labels": {"angry": {"requires": ["praise.unfair"]}}},
    },
})  # fmt: skip
# The models' own orders of the labels, and thresholds by scene.
ORDERS = {"praise": ("unfair", "asks", "got"), "feedback": ("complaint", "thanks")}
LIMITS = {
    "praise": {("*", "asks"): 0.5, ("*", "got"): 0.25, ("*", "unfair"): 0.375, ("photo", "asks"): 0.75},
    "feedback": {("*", "complaint"): 0.5, ("*", "thanks"): 0.625, ("live_chat", "complaint"): 0.25},
}
OUTCOMES = [
    [], [], [], [], [rule("praise", "positive", "asks")], [rule("praise", "positive", "got")],
    [rule("praise", "negative")], [rule("*", "useless")], [rule("feedback", "positive", "thanks")],
    [rule("praise", "positive", "unfair"), rule("feedback", "positive", "complaint")],
]  # fmt: skip
PIECES = ["好", "老师", "哈", "哈哈哈哈", "１２", "12", "[花]", "😀", "A", "a\u0301", " ", "\u200b", "。。", "!!", "\n"]


def random_texts(number: int) -> list[dict[str, Any]]:
    draw = random.Random(7)
    scenes = ("live_chat", "photo", "speech", "other")
    return [text_row(f"t{n}", scene=draw.choice(scenes), settled=draw.choice(OUTCOMES)) for n in range(number)]


def random_scores(texts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Eighths as scores, so that many sit on a threshold; some are missing, some null, as after a failure."""
    draw = random.Random(11)
    rows = []
    for text, (task, labels) in itertools.product(texts, ORDERS.items()):
        kind = draw.random()
        probs = None if kind < 0.1 else [draw.randrange(9) / 8 for _ in labels]
        if kind < 0.8:
            rows.append(score_row(text["text_id"], f"{task}/textcnn/a", probs, scene=text["scene"]))
    return rows


def plainly_above(text: dict[str, Any], task: str, label: str, probs: list[float] | None) -> bool:
    """A rule's word on the task comes before any score; a text of a scene that is not the task's has no label."""
    if text["scene"] not in SETTINGS.tasks[task].scenes:
        return False
    if any((one["task"], one["label"], one["outcome"]) == (task, label, "positive") for one in text["settled"]):
        return True
    if any(one["task"] in (task, EVERY_TASK) for one in text["settled"]):
        return False
    limits = LIMITS[task]
    limit = limits.get((text["scene"], label), limits["*", label])
    return probs is not None and probs[ORDERS[task].index(label)] >= limit


def test_decisions_are_those_of_the_plain_function(spark: SparkSession) -> None:
    texts = random_texts(300)
    scores = random_scores(texts)
    deciders = {
        task: Decider(
            Promotion(task, f"{task}/textcnn/a", 1, "test"),
            RegisteredModel(f"{task}/textcnn/a", task, "textcnn", "student", labels, None, None, "/nowhere", "1"),
            LIMITS[task],
        )
        for task, labels in ORDERS.items()
    }
    found = decide_labels(
        frame(spark, tables.TEXTS, *texts).repartition(3), frame(spark, tables.STUDENT_SCORES, *scores),
        SETTINGS.tasks, deciders,
    )  # fmt: skip
    rows = [(row["text_id"], row["task"], row["label"]) for row in found.collect()]

    known = {(row["text_id"], row["model_id"].split("/")[0]): row["probs"] for row in scores}
    above = {
        (task, label): np.array(
            [plainly_above(text, task, label, known.get((text["text_id"], task))) for text in texts]
        )
        for task, labels in ORDERS.items()
        for label in labels
    }
    holds = label_dependencies.decide(SETTINGS.tasks, above, never=np.zeros(len(texts), np.bool_))
    expected = {(texts[n]["text_id"], *key) for key, held in holds.items() for n in np.flatnonzero(held)}
    assert set(rows) == expected
    assert len(rows) == len(set(rows))
    assert {key[1:] for key in expected} == {(task, label) for task, labels in ORDERS.items() for label in labels}


def test_clean_texts_are_those_of_the_plain_cleaner(spark: SparkSession) -> None:
    draw = random.Random(3)
    texts = ["".join(draw.choices(PIECES, k=draw.randrange(9))) for _ in range(400)]
    raw = frame(spark, tables.RAW_TEXTS, *[
        {"text_id": f"t{n}", "source": "chat", "scene": draw.choice(["live_chat", "photo"]), "text": text,
         "text_b": text[::-1] if n % 7 == 0 else None, "event_time": datetime(2026, 3, 2, tzinfo=UTC), "dt": DAY,
         "arrived_dt": DAY, "load_id": "l", "file": "f", "position": n, "run_id": "r"}
        for n, text in enumerate(texts)
    ]).repartition(3)  # fmt: skip
    found: dict[int, Row] = {int(row["text_id"][1:]): row for row in clean.clean(raw, SETTINGS.cleaning).collect()}
    assert len(found) == len(texts)
    cleaner = Cleaner(SETTINGS.cleaning)
    outcomes = set()
    for n, text in enumerate(texts):
        row, wanted = found[n], cleaner.clean(text)
        other = None if row["text_b"] is None else cleaner.clean(text[::-1])
        assert (row["text"], row["text_b"], row["length"]) == (wanted, other, len(wanted))
        assert row["text_hash"] == digests.of_text(wanted, other)
        settled = [(one.task, one.label, one.outcome, one.rule) for one in cleaner.settle(wanted)]
        assert [tuple(one) for one in row["settled"]] == settled
        outcomes |= {one[:1] + one[2:] for one in settled}
    assert {task for task, *_ in outcomes} == {EVERY_TASK, "praise", "feedback"}


@pytest.mark.parametrize("kind", ["multi_label", "multi_class"])
def test_probabilities_and_what_competes_are_those_of_the_plain_functions(spark: SparkSession, kind: TaskKind) -> None:
    random_logits = np.random.default_rng(2).normal(0, 6, (40, 3)).astype(np.float32)
    equal = np.array([[1, 1, 0], [0, 0, 0], [-800, 0, 800]], np.float32)
    logits = np.concatenate([random_logits, equal])
    task = TaskSettings.model_validate({"kind": kind, "scenes": ["x"], "labels": {"a": {}, "b": {}, "c": {}}})
    rows = spark.createDataFrame(
        [(at, row.tolist()) for at, row in enumerate(logits)], "at int, logits array<float>"
    ).repartition(3)
    shares = score_columns.probabilities(F.col("logits"), task.kind)
    found = rows.select(
        "at", shares.alias("shares"), score_columns.keep_argmax(shares, task.kind).alias("kept")
    ).orderBy("at")
    got = found.toPandas()
    wanted = predictions.probabilities(logits, kind)
    assert np.allclose(np.stack(got["shares"].to_list()), wanted, atol=1e-12)
    assert np.allclose(np.stack(got["kept"].to_list()), predictions.keep_argmax(wanted, kind), atol=1e-12)


@pytest.mark.parametrize("seed", [0, 1, -1, 2**31 - 1, -(2**31), 2**31, -(2**31) - 1, 2**63 - 1, -(2**63)])
def test_a_draw_by_hash_has_one_order(spark: SparkSession, seed: int) -> None:
    hashes = [digests.of_text(text) for text in ("", "好的", "a", "😀", *map(str, range(200)))]
    frame = spark.createDataFrame([(text_hash,) for text_hash in hashes], "text_hash string")
    order = text_queries.drawn_by_hash("text_hash", seed)
    numbers = {row[0]: row[1] for row in frame.select("text_hash", order).collect()}
    assert draw_order(hashes, seed).tolist() == [numbers[text_hash] for text_hash in hashes]
    assert draw_order([], seed).tolist() == []


def test_a_text_has_one_bucket(spark: SparkSession) -> None:
    hashes = [digests.of_text(text) for text in ("", "好的", "a", "😀", *map(str, range(200)))]
    found = spark.createDataFrame([(text_hash,) for text_hash in hashes], "text_hash string").withColumn("at", bucket())
    of = {row["text_hash"]: row["at"] for row in found.collect()}
    assert buckets(hashes, tables.BUCKETS).tolist() == [of[text_hash] for text_hash in hashes]
    assert buckets([], tables.BUCKETS).tolist() == []
