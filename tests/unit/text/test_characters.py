"""Characters are what one pinned version of Unicode says of them, whatever Python runs."""

from __future__ import annotations

import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.text import characters, unicode_table
from models.text.characters import FOLDING, UNICODE_VERSION, compatible, has_newer
from models.text.normalisation import clean
from models.text.radicals import EQUIVALENT
from models.text.rules import Cleaner, CleaningSettings, RuleSettings
from udfs.build import build

ROOT = Path(__file__).parents[3]
NEWER = sorted(
    code
    for span in unicode_table.NEWER.split()
    for first, _, last in [span.partition("-")]
    for code in range(int(first, 16), int(last or first, 16) + 1)
)
OF_BOTH = st.text(
    st.one_of(st.sampled_from(NEWER).map(chr), st.sampled_from("aAΣ好 !é\u0301ﬁ1"), st.characters()), max_size=40
)


def test_an_emoji_newer_than_python_is_settled_like_older_ones() -> None:
    rule = RuleSettings(name="hearts", pattern="[🩷🌹]+", outcome="positive", task="praise", label="got")
    cleaner = Cleaner(CleaningSettings(rules=(rule,)))
    settled = [cleaner.settle(cleaner.clean(text)) for text in ("🩷🩷", "🌹🌹", "🫨")]
    assert [[outcome.rule for outcome in outcomes] for outcomes in settled] == [["hearts"], ["hearts"], []]


def test_a_text_of_fillers_is_empty_and_settled() -> None:
    cleaner = Cleaner(CleaningSettings())
    for text in ("\u3164", "\u1160", "\u115f\uffa0", "\u2800\u2800", "\u034f", "\u180e\u17b5", "\ufe0f"):
        assert [outcome.rule for outcome in cleaner.settle(cleaner.clean(text))] == ["empty"], hex(ord(text[0]))


def test_every_radical_that_has_a_character_becomes_it() -> None:
    supplement = {chr(code) for code in range(0x2E80, 0x2EF4)} - {"\u2e80", "\u2e9a"}
    assert {chr(int(pair.partition("=")[0], 16)) for pair in EQUIVALENT.split()} == supplement
    for radical in supplement | {chr(code) for code in range(0x2F00, 0x2FD6)}:
        assert unicodedata.name(clean(radical, 9), "CJK UNIFIED IDEOGRAPH").startswith("CJK UNIFIED"), hex(ord(radical))
    for radical in supplement:
        form = unicodedata.normalize("NFKC", radical)
        assert form in (radical, clean(radical, 9)), "where NFKC folds a radical, it says the same"


def test_python_agrees_with_the_table_on_what_every_python_knows() -> None:
    newer = set(NEWER)
    silent = {"Cc", "Cf", "Cs", "Co"}
    for code in range(sys.maxunicode + 1):
        category = unicodedata.category(chr(code))
        if category in silent and not chr(code).isspace():
            assert FOLDING[code] is None, hex(code)
        elif category != "Cn" and FOLDING[code] is None:
            assert code in newer or category in ("Mn", "Lo", "So"), hex(code)  # ignorable and blank characters
    assert all(FOLDING[code] == " " for code in range(sys.maxunicode + 1) if chr(code).isspace())


@given(OF_BOTH)
@settings(deadline=None)
def test_python_is_never_asked_of_a_character_that_it_may_not_know(text: str) -> None:
    asked: list[str] = []

    def normalize(form: str, part: str) -> str:
        asked.append(part)
        return unicodedata.normalize(form, part)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(characters, "unicodedata", SimpleNamespace(normalize=normalize))
        cleaned = clean(text, 60)
    assert cleaned == clean(text, 60)
    assert not {ord(char) for part in asked for char in part} & set(NEWER)


@given(OF_BOTH)
@settings(deadline=None)
def test_what_is_newer_is_seen(text: str) -> None:
    assert has_newer(text) == bool({ord(char) for char in text} & set(NEWER))
    assert compatible(text, newer=True) == compatible(text, newer=False) or has_newer(text) or "Σ" in text


def test_newer_mappings_are_those_of_a_python_that_knows_them() -> None:
    known = [code for code in NEWER if unicodedata.category(chr(code)) != "Cn"]
    for code in known:
        char = chr(code)
        decomposed = unicodedata.normalize("NFKC", char).lower()
        assert FOLDING[code] in (code, decomposed), hex(code)
        assert FOLDING[code] == code or decomposed != char, hex(code)


@pytest.mark.parametrize("version", [12, 13, 14, 15])
def test_every_python_cleans_alike(version: int) -> None:
    installed = [*Path("~/.pyenv/versions").expanduser().glob(f"3.{version}.*/bin/python")]
    python = next(map(str, installed), shutil.which(f"python3.{version}"))
    if python is None:
        pytest.skip(f"no Python 3.{version} here")
    program = (
        "import hashlib; from models.text.normalisation import clean\n"
        "codes = [*range(0xd800), *range(0xe000, 0x20000), *range(0x2eb00, 0x2ef00), *range(0x33000, 0x33500)]\n"
        "texts = [chr(c) + chr(c) + 'a' + chr(c) + chr(0x301) for c in codes]\n"
        "print(hashlib.sha256('\\n'.join(clean(text, 60) for text in texts).encode()).hexdigest())"
    )
    here, there = (
        subprocess.run([which, "-B", "-c", program], cwd=ROOT, check=True, capture_output=True, text=True).stdout
        for which in (sys.executable, python)
    )
    assert here == there


def test_the_version_of_unicode_is_part_of_the_build_and_of_the_clean_version(monkeypatch: pytest.MonkeyPatch) -> None:
    assert build()["unicode"] == UNICODE_VERSION
    version = CleaningSettings().version
    monkeypatch.setattr("models.text.rules.UNICODE_VERSION", "1.0.0")
    assert CleaningSettings().version != version
