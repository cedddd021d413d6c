"""Scores in the shapes that people, language models and other platforms write, as numbers by our labels."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from models import digests
from models.text.rules import Cleaner, CleaningSettings
from udfs.readers.record_spans import RejectedError
from udfs.score_parsing import parse_file, parse_record
from udfs.score_settings import OutsideScoreSettings, ScoreFiles
from udfs.score_values import ScoreRules, number, scored_labels

CLEANER = Cleaner(CleaningSettings())


def rules(kind: Any = "multi_label", scale: Any = "probability", **settings: Any) -> ScoreRules:
    return ScoreRules(
        OutsideScoreSettings.model_validate(settings), "praise", kind, ("asks", "got", "thanks"),
        frozenset({"complaint"}), scale,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "score"),
    [(0.25, 0.25), ("0.25", 0.25), (" 2.5e-1 ", 0.25), (1, 1.0), ("0", 0.0), (Decimal("0.5"), 0.5), (True, 1.0),
     (False, 0.0), ("true", 1.0), ("No", 0.0), ("是", 1.0), ("否", 0.0), ("✅", 1.0), ("０.５", 0.5), (".5", 0.5)],
)  # fmt: skip
def test_a_probability_is_a_number_or_yes_or_no(value: Any, score: float) -> None:
    assert number(value, "probability") == score


@pytest.mark.parametrize(
    ("value", "scale", "reason"),
    [("often", "probability", "wrong_score"), (float("inf"), "probability", "wrong_score"),
     ("1_0", "probability", "wrong_score"), ("1e999", "logit", "wrong_score"), ({}, "probability", "wrong_score"),
     (1.2, "probability", "out_of_range"), (-3, "probability", "out_of_range"), ("yes", "logit", "wrong_score"),
     (1e39, "logit", "wrong_score"), (True, "logit", "wrong_score"), ("nan", "probability", "wrong_score")],
)  # fmt: skip
def test_all_else_is_set_aside_by_its_reason(value: Any, scale: Any, reason: str) -> None:
    with pytest.raises(RejectedError) as rejected:
        number(value, scale)
    assert rejected.value.reason == reason


def test_a_logit_is_any_finite_number() -> None:
    assert number("-12.5", "logit") == -12.5
    assert number(3, "logit") == 3.0


@pytest.mark.parametrize(
    ("record", "scores"),
    [
        ({"label": "asks", "score": 0.9}, {"asks": 0.9}),
        ({"asks": 0.9, "got": "", "thanks": None, "note": 7}, {"asks": 0.9}),
        ({"asks": "是", "got": "否", "label": "asks"}, {"asks": 1.0, "got": 0.0}),
        ({"scores": {"asks": 0.9, "complaint": 0.4}}, {"asks": 0.9}),
        ({"scores": '{"asks": true, "got": 0.25}'}, {"asks": 1.0, "got": 0.25}),
        ({"scores": [{"label": "asks", "score": 0.9}, {"label": "got", "score": 0.2}]}, {"asks": 0.9, "got": 0.2}),
        ({"scores": [("asks", 0.9), ("got", 0.2)]}, {"asks": 0.9, "got": 0.2}),
        ({"scores": {"label": "asks", "score": 0.9}}, {"asks": 0.9}),
    ],
)
def test_shapes_with_numbers(record: dict[str, Any], scores: dict[str, float]) -> None:
    assert scored_labels(record, rules()) == (scores, False)


@pytest.mark.parametrize(
    ("cell", "holding"),
    [("asks", {"asks"}), ("asks|got", {"asks", "got"}), (["asks"], {"asks"}), ("[]", set()), ([], set()),
     ('["thanks"]', {"thanks"})],
)  # fmt: skip
def test_labels_alone_hold_and_all_others_do_not(cell: Any, holding: set[str]) -> None:
    for name in ("label", "labels", "scores"):
        expected = {label: float(label in holding) for label in ("asks", "got", "thanks")}
        assert scored_labels({name: cell}, rules()) == (expected, True)


def test_a_label_that_was_not_asked_for_is_not_denied() -> None:
    assert scored_labels({"label": "asks"}, rules(labels={"thanks": None})) == ({"asks": 1.0, "got": 0.0}, True)


def test_of_classes_one_name_is_an_answer() -> None:
    assert scored_labels({"label": "got"}, rules("multi_class")) == ({"got": 1.0}, True)
    for cell in ("asks|got", []):
        with pytest.raises(RejectedError, match="wrong_score"):
            scored_labels({"labels": cell}, rules("multi_class"))


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"label": "nosuch", "score": 1}, "unknown_label"), ({"scores": {"reason": "so"}}, "unknown_label"),
        ({"note": 1}, "no_score"), ({"label": "complaint", "score": 1}, "no_score"), ({"scores": {}}, "no_score"),
        ({"scores": [("asks", 0.1), ("asks", 0.2)]}, "wrong_score"),
    ],
)  # fmt: skip
def test_what_names_no_score_of_the_task_is_set_aside(record: dict[str, Any], reason: str) -> None:
    with pytest.raises(RejectedError) as rejected:
        scored_labels(record, rules())
    assert rejected.value.reason == reason


def test_the_files_names_are_mapped_and_null_says_nothing() -> None:
    mapped = rules(columns={"scores": "answer"}, labels={"求夸": "asks", "reason": None})
    assert scored_labels({"answer": {"求夸": 1, "reason": "so"}}, mapped) == ({"asks": 1.0}, False)
    assert scored_labels({"求夸": 0.5}, mapped) == ({"asks": 0.5}, False)


def test_a_text_is_named_by_id_by_its_sources_id_or_by_its_words() -> None:
    def key(record: dict[str, Any], **settings: Any) -> tuple[str | None, str | None]:
        row = parse_record({"asks": 1} | record, rules(**settings), CLEANER, "lone_surrogate")
        return row.get("text_id"), row.get("text_hash")

    assert key({"text_id": "a", "text": "x"}) == ("a", None)
    assert key({"source_id": 7}, constants={"source": "chat"}) == (digests.of_source("chat", "7"), None)
    assert key({"text": " 老师  好 "}) == (None, digests.of_text(CLEANER.clean(" 老师  好 ")))
    pair = parse_record({"asks": 1, "text": "a", "text_b": "b"}, rules("pair"), CLEANER, "lone_surrogate")
    assert pair["text_hash"] == digests.of_text("a", "b")
    for lacking, kind in (({}, "multi_label"), ({"source_id": "1"}, "multi_label"), ({"text": "a"}, "pair")):
        with pytest.raises(RejectedError) as rejected:
            parse_record({"asks": 1} | lacking, rules(kind), CLEANER, "lone_surrogate")
        assert rejected.value.reason == "no_text"


def test_a_record_of_another_task_says_nothing_and_is_no_fault() -> None:
    assert parse_record({"task": "other", "label": "x", "score": 1}, rules(), CLEANER, "lone_surrogate") == {}


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl"])
def test_files_are_read_record_by_record_and_bad_ones_keep_their_bytes(name: str, tmp_path: Path) -> None:
    mark = {"a.csv": ",", "a.tsv": "\t"}.get(name)
    if mark:
        text = "\ufeff" + "\n".join(mark.join(row) for row in (("text", "asks"), ("'=好", "0.5"), ("b", "x"))) + "\n"
    else:
        text = '{"text": "=好", "asks": 0.5}\n{"text": "b", "asks": "x"}\n'
    (tmp_path / name).write_text(text, "utf-8")
    layout = ScoreFiles(name.partition(".")[2], OutsideScoreSettings(), frozenset(("asks", "got", "thanks")))
    good, bad = parse_file(str(tmp_path / name), layout, rules(), CLEANER)
    assert good["text_hash"] == digests.of_text(CLEANER.clean("=好"))
    assert good["scores"] == [0.5, None, None]
    assert (bad["reason"], bad["position"]) == ("score_wrong_score", 1)
    assert b"x" in bad["raw"]
