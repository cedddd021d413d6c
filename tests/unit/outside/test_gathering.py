"""Records come together text by text; what is unlike, incomplete or unknown gives nothing, and says why."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from jobs.outside.gathering import Gathered, KnownTexts, ScoredTexts, gather, unknown_labels
from models.evaluation.predictions import probabilities
from udfs.score_parsing import PARSED
from udfs.score_settings import OutsideScoreSettings
from udfs.score_values import ScoreRules

LABELS = ("asks", "got", "thanks")
TEXTS = KnownTexts(pa.array(["1", "2", "3", "4"]), pa.array(["h1", "h2", "h1", "h4"]))


def rules(kind: Any = "multi_label", scale: Any = "probability", **settings: Any) -> ScoreRules:
    return ScoreRules(OutsideScoreSettings.model_validate(settings), "praise", kind, LABELS, frozenset(), scale)


def record(key: str, *scores: float | None, **values: Any) -> dict[str, Any]:
    column = "text_hash" if key.startswith("h") else "text_id"
    row = {"file": "f", "position": 0, "length": 1, "sha256": "", column: key, "scores": [*scores], "by_name": False}
    return row | values


def gathered(*records: dict[str, Any], before: ScoredTexts | None = None, **given: Any) -> Gathered:
    return gather(pa.Table.from_pylist([*records], PARSED), TEXTS, rules(**given), before)


def shares(found: Gathered, kind: Any = "multi_label") -> dict[str, list[float]]:
    values = probabilities(found.fresh.logits, kind).round(3).tolist()
    return dict(zip(found.fresh.hashes.tolist(), values, strict=True))


def test_records_of_one_text_are_put_together_and_labels_are_those_scored() -> None:
    found = gathered(record("1", None, 0.25, None), record("3", None, None, 0.5), record("h2", None, 0.125, 1.0))
    assert found.fresh.labels == ("got", "thanks")
    assert shares(found) == {"h1": [0.25, 0.5], "h2": [0.125, 1.0]}
    assert np.isfinite(found.fresh.logits).all(), "a probability of 1 has a finite logit"
    assert list(found.reasons) == [None, None, None]


def test_what_gives_nothing_says_why() -> None:
    found = gathered(
        record("1", 0.5, 0.5, None), record("3", 0.6, None, None),  # unlike
        record("2", 0.5, None, None),  # got is not scored
        record("nobody", 0.5, 0.5, None), record("hash", 0.5, 0.5, None),
        record("4", 0.5, 0.5, None), record("4", None, None, None, scores=None),  # another task
        record("4", None, None, None, scores=None, reason="score_wrong_score"),
    )  # fmt: skip
    unlike, unknown = ["score_unlike"] * 2, ["score_unknown_text"] * 2
    assert list(found.reasons) == [*unlike, "score_incomplete", *unknown, None, None, "score_wrong_score"]
    assert shares(found) == {"h4": [0.5, 0.5]}
    assert found.others == 1
    assert found.missing == {"got": 1}


def test_equal_records_are_one() -> None:
    found = gathered(record("1", 0.5, 0.5, 0.5), record("3", 0.5, 0.5, 0.5))
    assert shares(found) == {"h1": [0.5, 0.5, 0.5]}


def test_a_class_alone_is_sure_and_the_rest_is_shared() -> None:
    found = gathered(
        record("1", None, 1.0, None, by_name=True), record("2", 0.7, None, None), record("4", None, None, 0.4),
        kind="multi_class",
    )  # fmt: skip
    assert found.fresh.labels == LABELS, "an answer by name is about all classes"
    assert shares(found, "multi_class") == {"h1": [0, 1, 0], "h2": [0.7, 0.15, 0.15], "h4": [0.3, 0.3, 0.4]}


def test_classes_that_are_scored_one_by_one_are_those_of_the_teacher() -> None:
    found = gathered(
        record("1", 0.25, None, None), record("1", None, 0.75, None), record("2", 0.0, 0.0, None), kind="multi_class",
    )  # fmt: skip
    assert found.fresh.labels == ("asks", "got")
    assert shares(found, "multi_class") == {"h1": [0.25, 0.75]}
    assert found.reasons[2] == "score_no_class"


def test_logits_stay_as_they_are() -> None:
    found = gathered(record("1", -3.5, 2.0, None), scale="logit")
    assert found.fresh.logits.tolist() == [[-3.5, 2.0]]


def test_what_the_teacher_said_before_stays() -> None:
    first = gathered(record("1", 0.3, 0.5, None), record("2", 0.1, 0.2, None)).fresh
    again = gathered(
        record("1", 0.3, 0.5, None), record("2", 0.9, 0.2, None), record("4", 0.5, 0.5, None), before=first,
    )  # fmt: skip
    assert (again.known, list(again.reasons)) == (1, [None, "score_scored_otherwise", None])
    assert shares(again) == {"h4": [0.5, 0.5]}


def test_labels_that_the_teacher_does_not_know_are_told() -> None:
    named = pa.Table.from_pylist([record("1", 0.0, 1.0, 0.0, by_name=True)], PARSED)
    assert unknown_labels(named, rules(), ("asks",)) == ["got"]
    numbers = pa.Table.from_pylist([record("1", 0.0, None, 0.0)], PARSED)
    assert unknown_labels(numbers, rules(), ("asks",)) == ["thanks"]


@pytest.mark.parametrize("scale", ["probability", "logit"])
def test_of_no_record_comes_nothing(scale: Any) -> None:
    found = gathered(scale=scale)
    assert (found.fresh.labels, len(found.fresh.hashes), found.known) == ((), 0, 0)
    assert len(gathered(record("nobody", 1.0, 1.0, 1.0), scale=scale).fresh.hashes) == 0
