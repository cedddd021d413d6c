"""What stands between what was meant and what arrives: keyboards, speech and character recognition.

Truth is settled before any of this. Every function is pure but for the numbers it draws.
"""

from __future__ import annotations

from collections.abc import Mapping

from jobs.demo.confusions import glyphs, homophones
from jobs.demo.corpus_settings import ChatNoise, PhotoNoise, SpeechNoise
from jobs.demo.grammar import Draw

MARKS = ("!!!!", "！！", "!!!", "???", "？？", "。。。", "~~~", "……", "!", "。", "？", "，，，")
FILLERS = ("嗯", "那个", "就是", "呃", "啊", "就是说", "这个", "对吧", "是吧", "然后")
ZERO_WIDTH = ("\u200b", "\u200c", "\u200d", "\ufeff")
_FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
_PAUSES = str.maketrans("", "", "，。！？、,!?…~～")  # speech has none


def _how_many(expected: float, draw: Draw) -> int:
    """A whole number whose mean is `expected`."""
    return int(expected + draw())


def substitute(text: str, table: Mapping[str, str], times: int, draw: Draw) -> str:
    """Up to `times` characters drawn at random replaced by one they are taken for; others stay."""
    chars = list(text)
    for _ in range(times if chars else 0):
        at = int(draw() * len(chars))
        if others := table.get(chars[at]):
            chars[at] = others[int(draw() * len(others))]
    return "".join(chars)


def chat_noise(text: str, rates: ChatNoise, draw: Draw) -> str:
    """A text as a pupil types it."""
    if draw() < rates.typo:
        text = substitute(text, homophones(), 1, draw)
    if draw() < rates.upper_case:
        text = text.upper()
    if draw() < rates.full_width:
        text = text.translate(_FULL_WIDTH)
    if draw() < rates.repeated_marks:
        text += MARKS[int(draw() * len(MARKS))]
    if draw() < rates.zero_width:
        at = int(draw() * (len(text) + 1))
        text = text[:at] + ZERO_WIDTH[int(draw() * len(ZERO_WIDTH))] + text[at:]
    return text


def speech_noise(text: str, rates: SpeechNoise, draw: Draw) -> str:
    """A text as speech recognition writes it down: no marks, wrong homophones, fillers."""
    text = text.translate(_PAUSES)
    text = substitute(text, homophones(), _how_many(len(text) * rates.homophone_char, draw), draw)
    if len(text) > 3 and draw() < rates.drop_char * len(text):
        at = int(draw() * len(text))
        text = text[:at] + text[at + 1 :]
    if draw() < rates.double_char * len(text):
        at = int(draw() * len(text))
        text = text[: at + 1] + text[at:]
    if draw() < rates.filler:
        at = int(draw() * 2) * int(draw() * len(text))  # half of them in front
        text = text[:at] + FILLERS[int(draw() * len(FILLERS))] + text[at:]
    return _formatted(text, draw) if draw() < rates.marks else text


def _formatted(text: str, draw: Draw) -> str:
    """What some recognisers add: a comma, quotes, or a line break. All three need quoting in CSV."""
    at = int(draw() * len(text))
    mark = int(draw() * 3)
    if mark == 0:
        return f"{text[:at]},{text[at:]}"
    return f'"{text[:at]}"{text[at:]}' if mark == 1 else f"{text[:at]}\n{text[at:]}"


def photo_noise(text: str, rates: PhotoNoise, draw: Draw) -> str:
    """A text as character recognition reads it: wrong glyphs, stray spaces, broken lines."""
    text = substitute(text, glyphs(), _how_many(len(text) * rates.glyph_char, draw), draw)
    if draw() < rates.stray_space:
        at = int(draw() * len(text))
        text = f"{text[:at]} {text[at:]}"
    if len(text) > 5 and draw() < rates.broken_line:
        at = len(text) // 3 + int(draw() * len(text) / 2)
        text = f"{text[:at]}\n{text[at:]}"
    return text
