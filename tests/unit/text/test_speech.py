"""Marks of speech recognisers go, and repeated phrases are folded, where the settings say so."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from models.text.rules import Cleaner, CleaningSettings
from models.text.speech import repeat_folder


def cleaned(text: str, **options: Any) -> str:
    return Cleaner(CleaningSettings(**options)).clean(text)


ALL = {"strip_tags": True, "bracket_tags": ("noise", "Ｌaughter"), "fold_repeats": 1}
PIECES = st.lists(
    st.sampled_from(
        ["<|", "|>", "<", "|", ">", "[", "]", "noise", "zh", "好", "谢谢", "大家", ",", " ", "1", "0", "ab", "🩷"]
    ),
    max_size=40,
).map("".join)


@pytest.mark.parametrize(
    ("text", "options", "wanted"),
    [
        ("<|zh|><|HAPPY|><|Speech|><|withitn|>老师好", {"strip_tags": True}, "老师好"),
        ("＜｜ZH｜＞老师好", {"strip_tags": True}, "老师好"),
        ("hello<|0.00|>world", {"strip_tags": True}, "hello world"),
        ("<|<|zh|>|>好", {"strip_tags": True}, "好"),
        ("1<|2 好", {"strip_tags": True}, "1<|2 好".replace(" ", "")),
        ("<|zh|>", {"strip_tags": True}, ""),
        ("[Noise] 好（laughter）", {"bracket_tags": ("NOISE", "laughter")}, "好"),
        ("[noise level] noise", {"bracket_tags": ("noise",)}, "[noise level] noise"),
        ("谢谢大家" * 60, {"fold_repeats": 1}, "谢谢大家"),
        ("谢谢大家" * 60, {"fold_repeats": 3}, "谢谢大家" * 3),
        ("谢谢大家，" * 60, {"fold_repeats": 1}, "谢谢大家,"),
        ("Thank you. " * 9, {"fold_repeats": 1}, "thank you."),
        ("电话10101010", {"fold_repeats": 1}, "电话10101010"),
        ("谢谢大家" * 3, {}, "谢谢大家" * 3),
        ("<|zh|>好", {}, "<|zh|>好"),
    ],
)
def test_the_settings_decide_what_goes(text: str, options: dict[str, Any], wanted: str) -> None:
    assert cleaned(text, **options) == wanted


@given(PIECES)
@settings(max_examples=600, deadline=None)
@example("<|" * 40 + "a" + "|>" * 40)
@example("谢谢大家" * 200)
def test_cleaning_twice_is_cleaning_once_with_every_step(text: str) -> None:
    cleaner = Cleaner(CleaningSettings.model_validate(ALL))
    assert cleaner.clean(cleaner.clean(text)) == cleaner.clean(text)


@given(st.text("abc好的", min_size=2, max_size=8), st.integers(2, 30), st.integers(1, 20))
@settings(deadline=None)
def test_a_phrase_in_a_row_is_never_longer_than_the_setting_says(phrase: str, times: int, kept: int) -> None:
    folded = cleaned(phrase * times, fold_repeats=kept)
    assert len(folded) <= max(len(phrase) * kept, len(cleaned(phrase * kept)))
    assert cleaned(phrase * times, fold_repeats=kept).startswith(cleaned(phrase, fold_repeats=kept)[:1])


@pytest.mark.parametrize("text", ["<|" * 500_000, "<|a" * 300_000, "[ " * 500_000, "ab" * 500_000, "a1b " * 300_000])
def test_a_hostile_text_ends(text: str) -> None:
    assert len(cleaned(text, **ALL)) <= 256


@given(st.text("ab, 1好", max_size=14), st.integers(1, 3))
@settings(max_examples=600, deadline=None)
def test_a_phrase_that_is_repeated_too_often_is_found_wherever_it_stands(text: str, kept: int) -> None:
    folded = repeat_folder(kept)(text)
    for start, length in product(range(len(text)), range(2, 8)):
        phrase = text[start : start + length]
        if len(phrase) == length and phrase * (kept + 1) in text and not set(phrase) & set("10"):
            assert folded != text


def test_a_tag_that_could_be_no_word_in_brackets_is_refused() -> None:
    for tag in ("", " ", "[noise]", "a" * 33):
        with pytest.raises(ValidationError):
            CleaningSettings(bracket_tags=(tag,))


def test_every_step_is_part_of_the_version() -> None:
    versions = [CleaningSettings().version, *(CleaningSettings(**{name: ALL[name]}).version for name in ALL)]
    assert len(set(versions)) == 4
