"""Patterns of the settings mean the same on every Python."""

from __future__ import annotations

import re
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.text.patterns import by_pinned_unicode
from models.text.rules import Cleaner, CleaningSettings

LETTER, DIGIT = "\U00011f04", "\U00011f55"  # Kawi, of Unicode 15: unassigned to Python 3.11
PATTERNS = [
    (r"\w+", LETTER), (r"\d", DIGIT), (r"[\w!]+", f"{LETTER}!"), (r"[^\w]", "!"), (r"\W", "!"),
    (r"[]\d]+", f"]{DIGIT}"),
    (r"[^]\d]", "!"), (r"(\w)\1", LETTER * 2), (r"\\w", "\\w"), (r"\[\w\]", f"[{LETTER}]"), (r"\w{2}|x", LETTER * 2),
]  # fmt: skip


@pytest.mark.parametrize(("pattern", "text"), PATTERNS)
def test_a_character_newer_than_python_is_what_the_pinned_unicode_says(pattern: str, text: str) -> None:
    assert re.fullmatch(by_pinned_unicode(pattern), text)


@pytest.mark.parametrize("pattern", [r"\W", r"\D+", r"[^\w]", r"[^\d]"])
def test_what_it_is_not_neither(pattern: str) -> None:
    assert not re.fullmatch(by_pinned_unicode(pattern), DIGIT)


@pytest.mark.parametrize("pattern", ["好+", r"[!?]+", r"\s*", r"(?a)\w+", r"(?ai:\d)", r"\bx"])
def test_patterns_that_ask_for_neither_stay_as_they_are(pattern: str) -> None:
    assert by_pinned_unicode(pattern) == pattern


@given(st.text(st.sampled_from(r"\wWdDsb[]^()+*?|x1-"), max_size=10))
def test_a_pattern_that_compiles_still_does_and_says_the_same_of_old_characters(pattern: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of sets that look nested
        try:
            before = re.compile(pattern)
        except re.error:
            return
        after = re.compile(by_pinned_unicode(pattern))
    assert after.groups == before.groups
    for text in ("", "x", "1", "x1", "-", "好", "]", "^", "xx1", "\\w", " "):
        assert bool(after.fullmatch(text)) == bool(before.fullmatch(text)), (pattern, text)


def test_a_rule_with_words_settles_newer_ones() -> None:
    words = CleaningSettings.model_validate({"rules": [{"name": "words", "pattern": r"\w+", "outcome": "useless"}]})
    assert [found.rule for found in Cleaner(words).settle(LETTER)] == ["words"]
