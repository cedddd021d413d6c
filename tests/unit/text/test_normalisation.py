"""Golden cases of the cleaner, and what holds of every string."""

from __future__ import annotations

import json
import runpy
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from models.text.characters import FOLDING, compatible, has_newer
from models.text.normalisation import CLEANER_VERSION, clean

TESTS = Path(__file__).parents[2]
GOLDEN = TESTS / "golden" / "clean.jsonl"
UPDATE = runpy.run_path(str(TESTS / "golden_update.py"))
CASES: list[dict[str, Any]] = UPDATE["read"](GOLDEN)

# Everything there is, lone surrogates included; and what the steps look for, close together.
ANYTHING = st.text(st.characters(exclude_categories=()), max_size=60)
TROUBLE = st.text(
    st.sampled_from(
        "aAhH哈好呲牙0１!！。…—【】[][]<《 \u3000\n\r\t\0\u200b\u200d\u202e"
        "🩷🫨⻓⼀ㅤ⠀𜳖Ɤ𱍐\U000113c2\ufe0f\u0301\u0338İßﬁ①㍿ﷺ😂👍🏻🇨\ud83d\udc00_²"
    ),
    max_size=60,
)
EMOTICONS = st.lists(st.sampled_from(["[呲牙]", "【呲牙】", "[a!!]", "哈哈", "!"])).map("".join)
TEXTS = st.one_of(ANYTHING, TROUBLE, EMOTICONS)
MAX = st.integers(1, 80)


@pytest.mark.parametrize("case", CASES, ids=[case["why"] for case in CASES])
def test_a_golden_text_comes_out_as_reviewed(case: dict[str, Any]) -> None:
    assert UPDATE["answer"](case) == case["out"]


def test_the_golden_file_is_of_this_version_of_the_cleaner() -> None:
    assert json.loads(UPDATE["VERSION"].read_text("utf-8")) == {"cleaner_version": CLEANER_VERSION}


def test_other_answers_under_the_same_version_are_refused() -> None:
    cases = [CASES[0], CASES[1] | {"out": "otherwise"}, {"in": "new", "why": "a case that was just added"}]
    with pytest.raises(SystemExit, match=r"1 texts come out otherwise.*raise CLEANER_VERSION"):
        UPDATE["check_version"](cases, 1, 1)
    UPDATE["check_version"](cases, 1, 2)
    UPDATE["check_version"]([cases[0], cases[2]], 1, 1)


def test_the_golden_file_is_as_its_update_writes_it() -> None:
    assert len(CASES) >= 40
    assert len({case["why"] for case in CASES}) == len(CASES)
    assert UPDATE["render"](CASES) == GOLDEN.read_text("utf-8")


@given(TEXTS, MAX)
@settings(max_examples=1500, deadline=None)
@example("[a!!!!][a!!!!]" * 6, 80)
@example("e\u200b\u0301" * 30, 5)
def test_cleaning_twice_is_cleaning_once(text: str, max_chars: int) -> None:
    once = clean(text, max_chars)
    assert clean(once, max_chars) == once


@given(TEXTS, MAX)
@settings(max_examples=1500, deadline=None)
def test_a_clean_text_has_its_length_and_nothing_unseen(text: str, max_chars: int) -> None:
    cleaned = clean(text, max_chars)
    assert len(cleaned) <= max_chars
    assert all(FOLDING[ord(character)] is not None for character in cleaned)
    assert not set(cleaned) & set("\u2028\u2029\u3000\t\n\x1f")
    assert cleaned == cleaned.strip()
    assert "  " not in cleaned
    assert cleaned == compatible(cleaned, newer=has_newer(cleaned))


@given(TEXTS, MAX, st.data())
@settings(max_examples=600, deadline=None)
def test_an_invisible_character_at_either_end_changes_nothing(text: str, max_chars: int, data: st.DataObject) -> None:
    """It also takes the text past the short cut for texts that are clean already: both ways agree."""
    mark = data.draw(st.sampled_from("\0\u200b\u2060\ud800"))
    room = 8 * max_chars - 2
    assert clean(mark + text[:room] + mark, max_chars) == clean(text[:room], max_chars)


@given(st.text("0123456789０１２３４５６７８９", max_size=60))
@settings(deadline=None)
def test_digits_are_kept_whatever_their_width(text: str) -> None:
    assert clean(text, 60) == unicodedata.normalize("NFKC", text)


def test_a_hostile_text_costs_no_more_than_its_beginning() -> None:
    assert clean("好" + "\u200b" * 10_000_000, 256) == "好"
