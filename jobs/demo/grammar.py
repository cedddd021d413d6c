"""The small grammars that texts are drawn from.

A template is text with three kinds of places: `(a|b|)` draws one alternative, `{slot}` draws from a named
slot, `{3-40}` draws a whole number, both ends included. Alternatives and slots may hold places again; a
backslash takes the next character as it is. Drawing reads one uniform number per place, from left to right,
so that a text depends on nothing but its template and its random stream.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

Draw = Callable[[], float]  # uniform in [0, 1)
_RANGE = re.compile(r"(\d+)-(\d+)")


@dataclass(frozen=True, slots=True)
class Range:
    """A whole number between two ends, both included."""

    low: int
    size: int


# Literal texts, ranges, and choices among sequences. Slots are already resolved: shared, not copied.
Sequenced = tuple["str | Range | Choice", ...]


@dataclass(frozen=True, slots=True)
class Choice:
    """One of several sequences, all as likely; an alternative that is plain text is kept as a string."""

    options: tuple[str | Sequenced, ...]


class Grammar:
    """Templates compiled against one set of slots.

    Args:
        slots: The alternatives of every slot; they may name other slots, in any order, without a cycle.

    Raises:
        ValueError: A template is malformed or names an unknown slot.
    """

    def __init__(self, slots: Mapping[str, Sequence[str]]) -> None:
        self._slots = slots
        self._slot = lru_cache(maxsize=None)(self._compile_slot)

    def compile(self, template: str) -> Sequenced:
        """The template, ready for `expand`."""
        sequence, end = self._sequence(template, 0)
        if end != len(template):
            raise ValueError(f"template {template!r}: stray {template[end]!r} at {end}")
        return sequence

    def choice(self, templates: Sequence[str]) -> Choice:
        """Several templates as one choice among them."""
        return Choice(tuple(_plain(self.compile(template)) for template in templates))

    def _compile_slot(self, name: str) -> Choice:
        if name not in self._slots:
            raise ValueError(f"no slot named {name!r}")
        return self.choice(self._slots[name])

    def _sequence(self, template: str, start: int) -> tuple[Sequenced, int]:
        parts: list[str | Range | Choice] = []
        literal: list[str] = []
        at = start
        while at < len(template) and template[at] not in "|)":
            char = template[at]
            if char in "({":
                parts.extend(["".join(literal)] if literal else [])
                literal = []
                part, at = self._alternatives(template, at) if char == "(" else self._place(template, at)
                parts.append(part)
                continue
            at += char == "\\"
            literal.append(template[at])
            at += 1
        parts.extend(["".join(literal)] if literal else [])
        return tuple(parts), at

    def _alternatives(self, template: str, start: int) -> tuple[Choice, int]:
        options: list[str | Sequenced] = []
        at = start
        while template[at : at + 1] != ")":
            if at >= len(template):
                raise ValueError(f"template {template!r}: '(' at {start} is never closed")
            sequence, at = self._sequence(template, at + 1)
            options.append(_plain(sequence))
        return Choice(tuple(options)), at + 1

    def _place(self, template: str, start: int) -> tuple[Range | Choice, int]:
        end = template.find("}", start)
        if end < 0:
            raise ValueError(f"template {template!r}: '{{' at {start} is never closed")
        name = template[start + 1 : end]
        if match := _RANGE.fullmatch(name):
            low, high = int(match[1]), int(match[2])
            return Range(low, high - low + 1), end + 1
        return self._slot(name), end + 1


def _plain(sequence: Sequenced) -> str | Sequenced:
    if not sequence:
        return ""
    return sequence[0] if len(sequence) == 1 and isinstance(sequence[0], str) else sequence


def expand(choice: Choice, draw: Draw) -> str:
    """One text of a choice, drawn with `draw`."""
    parts: list[str] = []
    _expand(choice, draw, parts)
    return "".join(parts)


def _expand(choice: Choice, draw: Draw, parts: list[str]) -> None:
    option = choice.options[int(draw() * len(choice.options))]
    if isinstance(option, str):
        parts.append(option)
        return
    for part in option:
        if isinstance(part, str):
            parts.append(part)
        elif isinstance(part, Choice):
            _expand(part, draw, parts)
        else:
            parts.append(str(part.low + int(draw() * part.size)))
