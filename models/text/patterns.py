r"""Patterns of the settings by the pinned version of Unicode: `\w` and `\d` also of characters newer than Python's."""

from __future__ import annotations

import re

from models.text.characters import NEWER_DIGITS, NEWER_WORDS

_NEWER = {"w": NEWER_WORDS, "d": NEWER_DIGITS}
# Flags that make `\w` ASCII's own: those patterns are of no version.
_ASCII = re.compile(r"\(\?[a-zA-Z]*a[a-zA-Z]*[-:)]")


def by_pinned_unicode(pattern: str) -> str:
    r"""The pattern with `\w`, `\d` and, outside brackets, `\W` and `\D` as the pinned version of Unicode has them.

    `\b`, and `\W` and `\D` within brackets, stay the interpreter's. It has the same groups as before.
    """
    if _ASCII.search(pattern):
        return pattern
    pieces: list[str] = []
    within = False
    at = 0
    while at < len(pattern):
        character = pattern[at]
        token = pattern[at : at + 2] if character == "\\" else character
        at += len(token)
        if character == "[" and not within:
            within = True
            # A bracket that comes first is one of the set.
            first = re.compile(r"\^?\]?").match(pattern, at)
            token += first[0] if first else ""
            at += len(token) - 1
        elif character == "]":
            within = False
        pieces.append(_pinned(token, within))
    return "".join(pieces)


def _pinned(token: str, within: bool) -> str:
    newer = _NEWER.get(token[1:].lower(), "") if token[0] == "\\" else ""
    if not newer:
        return token
    plain = token.lower()
    if within:
        return f"{token}{newer}" if token == plain else token
    return f"[{'' if token == plain else '^'}{plain}{newer}]"
