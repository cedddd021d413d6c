"""What a text looks like before any model sees it: one spelling of everything that means the same.

Every step that changes a text's length happens here, so that after it one character is one id. Cleaning is
idempotent, never raises on any string, and never rejects: a text of which nothing is left becomes empty.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from models.text.characters import FOLDING, NEWER_DIGITS, NEWER_WORDS, compatible, has_newer
from models.text.speech import Step

CLEANER_VERSION = 2
"""Part of every `clean_version`. Raise it with any change of what a text becomes: the golden file's test asks for it,
and every day is then cleaned again."""

MAX_PASSES = 10  # two or three settle every text met so far; the bound is there for the one nobody has met

# Most texts are already clean. One scan finds them: no character that any step below would touch, and none three
# times in a row. The characters are those that NFKC and lower-casing leave alone for sure.
_CLEAN = re.compile(r"(?:([一-龥0-9a-z,.?!:;'+=/%-])(?!\1\1))*", re.ASCII)
_DOUBLED_SYMBOL = re.compile(r"([^\w\s])\1+")
_SPACES = re.compile(r" {2,}")
# Between two Chinese characters, or beside Chinese punctuation, a space is a broken line or a recogniser's pause.
_CJK = "\u2e80-\u303f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_CJK_SPACE = re.compile(f"(?<=[{_CJK}]) | (?=[{_CJK}])")
_REPEATED_SYMBOL = re.compile(r"((?:\[[^\[\]\s]{1,8}\])|[^\w\s\[\]])\1+")
_REPEATED_LETTER = re.compile(r"([^\W\d])\1{3,}")
# The same where a letter may be newer than Python: `\w` and `\d` of every Python, and what one of them may not know.
_REPEATED_NEWER_SYMBOL = re.compile(rf"((?:\[[^\[\]\s]{{1,8}}\])|[^\w{NEWER_WORDS}\s\[\]])\1+")
_REPEATED_NEWER_LETTER = re.compile(rf"((?![\d{NEWER_DIGITS}])[\w{NEWER_WORDS}])\1{{3,}}")


def clean(text: str, max_chars: int, steps: Sequence[Step] = ()) -> str:
    """The clean form of a text, at most `max_chars` characters.

    Steps, repeated until nothing changes (folding can bring up a new case of an earlier step): lone surrogates,
    control, zero-width and direction marks, fillers and all else that says nothing out; radicals to their characters;
    Chinese punctuation to its plain sibling; NFKC (width and compatibility forms, Unicode Annex 15) and lower case;
    the further `steps`; runs of spaces to one, and none beside Chinese characters; repeated symbols, emoji and
    bracketed emoticons to one; a letter or character repeated more than three times to three. Digits are never
    touched: 10000 stays.
    """
    plain = len(text) <= max_chars and _CLEAN.fullmatch(text) and not _DOUBLED_SYMBOL.search(text)
    if plain and all(step(text) == text for step in steps):
        return text
    text = text[: 8 * max_chars]  # nothing below needs more, and a hostile text must not cost its full length
    for _ in range(MAX_PASSES):
        once = _pass(text, steps)[:max_chars].rstrip()
        if once == text:
            break
        text = once
    return text


def _pass(text: str, steps: Sequence[Step]) -> str:
    text = text.translate(FOLDING)
    newer = has_newer(text)
    text = compatible(text, newer=newer)
    for step in steps:
        text = step(text)
    text = _CJK_SPACE.sub("", _SPACES.sub(" ", text)).strip()
    text = (_REPEATED_NEWER_SYMBOL if newer else _REPEATED_SYMBOL).sub(r"\1", text)
    text = (_REPEATED_NEWER_LETTER if newer else _REPEATED_LETTER).sub(r"\1\1\1", text)
    return compatible(text, newer=newer)
