"""Writes models/text/unicode_table.py, what Unicode says of characters, from packages that hold Unicode's data.

Run it with the oldest Python that pingti supports, whose own tables are those that every supported Python shares:

    pip install unicodedata2==18.0.0 regex==2026.11.19 && python .ci/unicode_table.py

Another version of Unicode is another version of `unicodedata2`, and a higher `CLEANER_VERSION`.
"""

from __future__ import annotations

import sys
import textwrap
import unicodedata
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import regex
import unicodedata2

PLACE = Path(__file__).parents[1] / "models" / "text" / "unicode_table.py"
OLDEST = "14.0.0"
SILENT = {"Cc", "Cf", "Cs", "Co", "Cn"}
BRAILLE_BLANK = 0x2800  # a symbol by its category, and nothing to see
EVERY = range(sys.maxunicode + 1)


def ranges(codes: Iterable[int]) -> str:
    """Rising code points as `first-last` in hexadecimal, a single code point as itself."""
    spans: list[list[int]] = []
    for code in codes:
        if spans and spans[-1][1] == code - 1:
            spans[-1][1] = code
        else:
            spans.append([code, code])
    return " ".join(f"{first:x}" if first == last else f"{first:x}-{last:x}" for first, last in spans)


def is_silent(code: int) -> bool:
    """Whether a character says nothing: by its category, Default_Ignorable_Code_Point, or to the eye."""
    char = chr(code)
    ignorable = regex.match(r"\p{Default_Ignorable_Code_Point}", char) is not None
    silent = unicodedata2.category(char) in SILENT or ignorable or code == BRAILLE_BLANK
    return silent and not char.isspace()


def is_newer(code: int) -> bool:
    """Whether the oldest supported Python does not know an assigned character."""
    return unicodedata.category(chr(code)) == "Cn" and unicodedata2.category(chr(code)) != "Cn"


def is_word(char: str, table: Any) -> bool:
    """Whether a Python with these tables counts a character among letters and numbers."""
    return table.category(char)[0] == "L" or table.numeric(char, None) is not None


def lower(char: str) -> str:
    """The small letter of a capital letter newer than the interpreter: Unicode names it so."""
    name = unicodedata2.name(char, "")
    if unicodedata2.category(char) != "Lu":
        return char
    return str(unicodedata2.lookup(name.replace("CAPITAL", "SMALL")))


def mapped(char: str) -> str:
    """NFKC and lower case of a newer character."""
    form = unicodedata2.normalize("NFKC", char)
    return "".join(lower(part) if is_newer(ord(part)) else part.lower() for part in form)


def check_the_rest() -> None:
    """Of characters that every supported Python knows, the pinned version must say what the oldest Python does."""
    known = [chr(code) for code in EVERY if unicodedata.category(chr(code)) != "Cn"]
    for char in known:
        where = f"U+{ord(char):04X}"
        assert unicodedata.normalize("NFKC", char) == unicodedata2.normalize("NFKC", char), where
        assert unicodedata.combining(char) == unicodedata2.combining(char), where
        assert is_word(char, unicodedata) == is_word(char, unicodedata2), where
        assert (unicodedata.category(char) == "Nd") == (unicodedata2.category(char) == "Nd"), where


def main() -> None:
    """Check what is assumed, and write the module."""
    assert unicodedata.unidata_version == OLDEST, f"run it with a Python of Unicode {OLDEST}"
    check_the_rest()
    newer = [code for code in EVERY if is_newer(code)]
    silent = [code for code in EVERY if is_silent(code)]
    words = [code for code in newer if is_word(chr(code), unicodedata2)]
    digits = [code for code in words if unicodedata2.category(chr(code)) == "Nd"]
    mappings = {code: mapped(chr(code)) for code in newer if mapped(chr(code)) != chr(code)}
    pairs = " ".join(f"{code:x}={'+'.join(f'{ord(c):x}' for c in to)}" for code, to in mappings.items())
    constants = (
        ("SILENT", ranges(silent), "Say nothing: control, format, surrogate, private, unassigned, ignorable, blank."),
        ("NEWER", ranges(newer), f"Assigned after Unicode {OLDEST}: a supported Python may not know them."),
        ("NEWER_WORDS", ranges(words), "Those of them that are letters or numbers."),
        ("NEWER_DIGITS", ranges(digits), "Those of them that are decimal digits."),
        ("NEWER_MAPPED", pairs, "Those of them that NFKC or lower case changes, with what becomes of them."),
    )
    blocks = [f'{name} = """\n{textwrap.fill(value, 118)}\n"""\n"""{doc}"""\n' for name, value, doc in constants]
    head = (
        '"""What Unicode says of characters, whatever Python runs. Written by .ci/unicode_table.py; do not edit.\n\n'
        'Ranges of code points in hexadecimal.\n"""\n\n'
        f'UNICODE_VERSION = "{unicodedata2.unidata_version}"\n\n'
    )
    PLACE.write_text(head + "\n".join(blocks), "ascii")


if __name__ == "__main__":
    main()
