"""Characters that are taken for each other, by their sound or by their looks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache

from jobs.demo.phrase_files import read_confusions


@cache
def homophones() -> Mapping[str, str]:
    """A character -> all that sound the same, as speech recognition and pinyin keyboards confuse them."""
    return confusion_table(read_confusions().homophones)


@cache
def glyphs() -> Mapping[str, str]:
    """A character -> all that look alike, as recognition of printed and handwritten pages confuses them."""
    return confusion_table(read_confusions().glyphs)


def confusion_table(groups: Iterable[str]) -> dict[str, str]:
    """A character -> all it is taken for, in the order of the groups; characters alone in theirs are left out."""
    table: dict[str, str] = {}
    for group in groups:
        for char in group:
            others = table.get(char, "") + group
            table[char] = "".join(dict.fromkeys(others.replace(char, "")))
    return {char: others for char, others in table.items() if others}
