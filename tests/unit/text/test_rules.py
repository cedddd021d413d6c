"""Rules settle a text at most once a task, the first that matches the whole of it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from models.text.rules import EMPTY, Cleaner, CleaningSettings, RuleSettings, Settled


def cleaner(*rules: dict[str, str]) -> Cleaner:
    named = [{"outcome": "useless", "name": f"r{number}"} | rule for number, rule in enumerate(rules)]
    return Cleaner(CleaningSettings.model_validate({"rules": named}))


def test_an_empty_text_is_useless_for_every_task() -> None:
    assert list(cleaner().settle("")) == [EMPTY]
    assert (EMPTY.task, EMPTY.outcome, EMPTY.label) == ("*", "useless", None)


def test_a_text_that_no_rule_matches_is_not_settled() -> None:
    assert list(cleaner().settle("好")) == []
    assert list(cleaner({"pattern": "[!?]+"}).settle("好!")) == []


def test_a_pattern_speaks_of_the_whole_text() -> None:
    rules = cleaner({"pattern": "a|ab"})
    assert [len(rules.settle(text)) for text in ("a", "ab", "xa", "abc", "a\n")] == [1, 1, 0, 0, 0]


def test_the_first_rule_of_a_task_wins_and_other_tasks_have_their_own() -> None:
    rules = cleaner(
        {"pattern": "好+", "outcome": "negative", "task": "praise"},
        {"pattern": "好", "outcome": "positive", "task": "praise", "label": "got"},
        {"pattern": "好", "outcome": "positive", "task": "mood", "label": "glad"},
    )
    assert list(rules.settle("好")) == [
        Settled("praise", None, "negative", "r0"),
        Settled("mood", "glad", "positive", "r2"),
    ]


def test_nothing_is_asked_after_a_rule_for_every_task() -> None:
    rules = cleaner({"pattern": "[!?]+"}, {"pattern": "!", "outcome": "negative", "task": "praise"})
    assert list(rules.settle("!")) == [Settled("*", None, "useless", "r0")]


@pytest.mark.parametrize(
    ("patterns", "text"),
    [
        ((r"(a)\1", r"(b)\1"), "bb"),
        ((r"x", r"(?i)y"), "Y"),
        ((r"(?P<n>x)", r"(?P<n>y)(?P=n)"), "yy"),
        ((r"a|b", r"c|d"), "d"),
    ],
)
def test_a_pattern_means_the_same_beside_others_as_alone(patterns: tuple[str, ...], text: str) -> None:
    alone = cleaner({"pattern": patterns[-1], "name": "last"}).settle(text)
    beside = cleaner(*({"pattern": pattern} for pattern in patterns[:-1]), {"pattern": patterns[-1], "name": "last"})
    assert list(beside.settle(text)) == list(alone)
    assert [settled.rule for settled in alone] == ["last"]


PATTERNS = st.sampled_from(["a", "a+", "[ab]+", "(a)b?", r"(.)\1", "(?i)A", "b|ab"])
TASKS = st.sampled_from(["*", "praise", "mood"])


@given(st.lists(st.tuples(PATTERNS, TASKS), max_size=6), st.text("ab", max_size=3))
@settings(deadline=None)
def test_settling_is_asking_rule_by_rule(rules: list[tuple[str, str]], text: str) -> None:
    settled = cleaner(*({"pattern": pattern, "task": task} for pattern, task in rules)).settle(text)
    wanted: dict[str, str] = {}
    for number, (pattern, task) in enumerate(rules):
        if text and "*" not in wanted and re.fullmatch(pattern, text):
            wanted.setdefault(task, f"r{number}")
    assert {one.task: one.rule for one in settled} == (wanted if text else {"*": "empty"})


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"pattern": "("}, "not a regular expression"),
        ({"pattern": "a", "outcome": "positive", "task": "praise"}, "a positive rule names its label"),
        ({"pattern": "a", "label": "got", "task": "praise"}, "only a positive one"),
        ({"pattern": "a", "outcome": "positive", "label": "got"}, "a positive rule names its task"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused(rule: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        RuleSettings.model_validate({"name": "r", "outcome": "useless"} | rule)


def test_the_version_names_the_rules_and_the_length() -> None:
    rule = RuleSettings(name="r", pattern="a", outcome="useless")
    versions = {
        CleaningSettings().version,
        CleaningSettings(max_chars=9).version,
        CleaningSettings(rules=(rule,)).version,
        CleaningSettings(rules=(rule, rule.model_copy(update={"name": "s"}))).version,
    }
    assert len(versions) == 4
    assert CleaningSettings(rules=(rule,)).version in versions
    assert Cleaner(CleaningSettings()).version == CleaningSettings().version


def test_the_cleaner_cuts_at_its_own_length() -> None:
    assert Cleaner(CleaningSettings(max_chars=2)).clean("ＡＢＣ") == "ab"
