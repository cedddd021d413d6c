"""What speech recognisers leave in texts: marks of their own, and one phrase over and over where nobody spoke."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise

from models.text.characters import FOLDING, compatible, has_newer

Step = Callable[[str], str]

# As of SenseVoice and Whisper: <|zh|>, <|HAPPY|>, <|0.00|>. Possessive, and begun at the first bracket of a run alone:
# linear in the text's length, whatever the text.
_TAG = re.compile(r"(?<!<\|)(?:<\|)++[^<>|]{0,32}+(?:\|>)++")
_LONGEST_PHRASE = 32
# What may stand between two of the same; a phrase that holds a digit is never folded, for 10101010 is a number.
_BETWEEN = r"[,.!?;:~-]? ?"
_ORDINARY = "[^0-9]"


def tag_stripper() -> Step:
    """A step that makes every `<|...|>` a space."""
    return lambda text: _TAG.sub(" ", text) if "|>" in text else text


def bracket_stripper(names: Sequence[str]) -> Step:
    """A step that makes these words a space where they stand in brackets of any kind, alone."""
    words = "|".join(re.escape(_plain(name)) for name in names)
    pattern = re.compile("|".join(rf"{opening} ?(?:{words}) ?{closing}" for opening, closing in _BRACKETS))
    return lambda text: pattern.sub(" ", text)


_BRACKETS = ((r"\[", r"\]"), (r"\(", r"\)"), ("<", ">"), (r"\{", r"\}"))


def repeat_folder(times: int) -> Step:
    """A step that keeps a phrase of 2 to 32 characters at most so many times in a row, with what stands between."""
    phrase = f"({_ORDINARY}{{2,{_LONGEST_PHRASE}}}?)"
    kept = rf"({phrase}(?:{_BETWEEN}\2){{{times - 1}}})"
    pattern = re.compile(rf"{kept}(?:{_BETWEEN}\2)+")

    def fold(text: str) -> str:
        # Each repetition has a pair of neighbours that stood before: most texts have too few, and the pattern is slow.
        if len(text) - 1 - len(set(pairwise(text))) < times:
            return text
        return pattern.sub(r"\1", text)

    return fold


def _plain(name: str) -> str:
    folded = name.translate(FOLDING)
    return compatible(folded, newer=has_newer(folded)).strip()
