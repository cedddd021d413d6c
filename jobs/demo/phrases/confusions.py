"""From groups of characters that are taken for each other to what each is taken for."""

from __future__ import annotations

from collections.abc import Iterable


def confusions(groups: Iterable[str]) -> dict[str, str]:
    """A character -> all it is taken for, in the order of the groups; characters alone in theirs are left out."""
    table: dict[str, str] = {}
    for group in groups:
        for char in group:
            others = table.get(char, "") + group
            table[char] = "".join(dict.fromkeys(others.replace(char, "")))
    return {char: others for char, others in table.items() if others}
