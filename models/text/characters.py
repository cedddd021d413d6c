"""What single characters become, by one pinned version of Unicode, whatever version the running Python has.

Python's tables grow with every Python: an emoji of 2022 is unassigned to Python 3.11. What all supported Pythons share
(lower case, NFKC, and which characters are letters, up to Unicode 14) is taken from them, for Unicode never changes it;
what came later, and which characters say nothing, comes from `unicode_table`.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right

from models.text import unicode_table as table
from models.text.radicals import EQUIVALENT

UNICODE_VERSION = table.UNICODE_VERSION


def _pairs(pairs: str) -> dict[int, str]:
    """`from=to+to ...`, in hexadecimal, by the code point to be replaced."""
    split = (pair.partition("=") for pair in pairs.split())
    return {int(left, 16): "".join(chr(int(code, 16)) for code in right.split("+")) for left, _, right in split}


def _spans(ranges: str) -> list[tuple[int, int]]:
    """`first-last first ...`, in hexadecimal, as first and last code points."""
    split = (span.partition("-") for span in ranges.split())
    return [(int(first, 16), int(last or first, 16)) for first, _, last in split]


def _members(ranges: str) -> str:
    """The same as the inside of a regular expression's brackets."""
    return "".join(f"\\U{first:08x}-\\U{last:08x}" for first, last in _spans(ranges))


_SPACES = _spans("9-d 1c-20 85 a0 1680 2000-200a 2028-2029 202f 205f 3000")
_PUNCTUATION = {
    "。": ".",
    "、": ",",
    "“": '"',
    "”": '"',
    "‘": "'",
    "’": "'",
    "—": "-",
    "…": ".",
    "～": "~",
    "《": "<",
    "》": ">",
    "【": "[",
    "】": "]",
}


class _Folding(dict[int, int | str | None]):
    """For `str.translate`: nothing for what says nothing, a plain space for spaces, one spelling for the rest.

    Every character is looked up once and kept, itself too: a hit is several times quicker than a miss. What lies
    beyond the planes of text and emoji is not kept, so that no text can fill the memory.
    """

    def __init__(self) -> None:
        super().__init__({code: " " for first, last in _SPACES for code in range(first, last + 1)})
        self.update({ord(char): plain for char, plain in _PUNCTUATION.items()})
        self.update(_pairs(EQUIVALENT))
        self.update(_pairs(table.NEWER_MAPPED))
        spans = _spans(table.SILENT)
        self._firsts = [first for first, _ in spans]
        self._lasts = [last for _, last in spans]

    def __missing__(self, code: int) -> int | None:
        at = bisect_right(self._firsts, code) - 1
        becomes = None if code <= self._lasts[at] else code
        if code < 0x20000:
            self[code] = becomes
        return becomes


FOLDING = _Folding()
NEWER_WORDS = _members(table.NEWER_WORDS)
"""Letters and numbers newer than Unicode 14, for the inside of a regular expression's brackets."""
NEWER_DIGITS = _members(table.NEWER_DIGITS)
"""The decimal digits of them."""
_NEWER = re.compile(f"([{_members(table.NEWER)}]+)")
# What is asked of every text must be few ranges: all beyond the first plane but the emoji that most texts have.
_FIRST_PLANE = "".join(f"\\u{first:04x}-\\u{last:04x}" for first, last in _spans(table.NEWER) if last < 0x10000)
_PERHAPS_NEWER = re.compile(f"[{_FIRST_PLANE}\U00010000-\U0001f1ae\U0001f6d8-\U0010ffff]")


def has_newer(text: str) -> bool:
    """Whether a text has a character newer than Unicode 14, which a supported Python may not know."""
    return bool(_PERHAPS_NEWER.search(text)) and bool(_NEWER.search(text))


def compatible(text: str, *, newer: bool) -> str:
    """NFKC (Unicode Annex 15) and lower case of a folded text; `newer` is what `has_newer` says of it.

    A newer character is what `FOLDING` made of it, and neither joins nor reorders what is beside it: Pythons that know
    it would, others would not.
    """
    if not newer:
        return unicodedata.normalize("NFKC", text).lower()
    parts = _NEWER.split(text)
    parts[::2] = [unicodedata.normalize("NFKC", part).lower() for part in parts[::2]]
    return "".join(parts)
