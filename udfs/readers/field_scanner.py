"""Fields of delimited records of any dialect, line by line."""

from __future__ import annotations

import re
from collections.abc import Callable

from udfs.readers.dialects import Dialect

_C_STYLE = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "0": "\0", "Z": "\x1a"}


def _same(text: str) -> str:
    return text


def _without_backslashes(quote: str) -> Callable[[str], str]:
    pattern = re.compile(r"\\([\\" + re.escape(quote) + "])")
    return lambda text: pattern.sub(r"\1", text) if "\\" in text else text


def _c_style(text: str) -> str:
    if "\\" not in text:
        return text
    return re.sub(r"\\([\s\S])", lambda match: _C_STYLE.get(match[1], match[1]), text)


class FieldScanner:
    """Takes the lines of one record after another.

    Attributes:
        fields: Of the record so far; None is a null.
        sound: Whether nothing but a delimiter or the line's end followed a closing quote.
        quoted: The fields, by their places, that were quoted; those of them that need no quotes.
        inside: Whether a quoted field is open.
    """

    def __init__(self, dialect: Dialect, delimiter: str) -> None:
        self._dialect, self._delimiter, self._quote = dialect, delimiter, dialect.quote
        self._nulls = frozenset(dialect.null)
        first, quote = re.escape(delimiter), re.escape(dialect.quote or "\0")  # without a quote no field is ever inside
        other = f"[^{first}" if len(delimiter) == 1 else f"(?!{first})[^"
        if dialect.escape == "c_style":
            self._plain = re.compile(rf"(?:{other}\\]|\\[\s\S])*")
            self._unescaped: Callable[[str], str] = _c_style
            self._quoted_unescaped: Callable[[str], str] = _c_style
        else:
            self._plain = re.compile(rf"(?:{other}])*" if len(delimiter) == 1 else rf"(?:(?!{first})[\s\S])*")
            self._unescaped = _same
            backslash = dialect.escape == "backslash" and bool(quote)
            self._quoted_unescaped = _without_backslashes(dialect.quote) if backslash else _same
        self._within = re.compile(rf"[^{quote}]*" if dialect.escape == "double" else rf"(?:[^{quote}\\]|\\[\s\S])*")
        self.begin()

    def begin(self) -> None:
        """Begin another record."""
        self.fields: list[str | None] = []
        self.sound = True
        self.quoted: dict[int, bool] = {}
        self.inside = False
        self._begin_field()

    def _begin_field(self) -> None:
        self._pieces: list[str] = []
        self._raw: list[str] = []
        self._fresh, self._closed = True, False

    def feed(self, line: str) -> bool:
        """Take the next line, with its end if it has one; whether the record ended with it."""
        content = line.removesuffix("\n").removesuffix("\r") if line.endswith("\n") else line
        end = line[len(content) :]
        at = 0
        while True:
            if self.inside:
                at = self._feed_quoted(content, at, end)
                if self.inside:
                    return False
            elif self._fresh and self._quote and content.startswith(self._quote, at):
                self._fresh, self.inside, at = False, True, at + 1
            else:
                match = self._plain.match(content, at)
                assert match is not None  # it matches nothing, too
                self._add_plain(match[0])
                at = match.end()
                if content.startswith(self._delimiter, at) and at < len(content):
                    self._end_field()
                    at += len(self._delimiter)
                elif at < len(content) and end:  # a last backslash takes the line's end
                    self._pieces.append("\n")
                    return False
                else:
                    self._pieces.append(content[at:])
                    self._end_field()
                    return True

    def _feed_quoted(self, content: str, at: int, end: str) -> int:
        """Take a quoted field from its inside on, to its end or the line's; the place behind it."""
        while True:
            match = self._within.match(content, at)
            assert match is not None  # it matches nothing, too
            self._pieces.append(self._quoted_unescaped(match[0]))
            at = match.end()
            if not content.startswith(self._quote, at):
                self._pieces.append(content[at:] + end)
                return len(content)
            at += 1
            if self._dialect.escape != "double" or not content.startswith(self._quote, at):
                self.inside, self._closed = False, True
                return at
            self._pieces.append(self._quote)
            at += 1

    def _add_plain(self, text: str) -> None:
        if self._closed and text:
            self.sound = False
        self._fresh = False
        self._raw.append(text)
        self._pieces.append(self._unescaped(text))

    def _end_field(self) -> None:
        field = "".join(self._pieces)
        if self._closed:
            needed = any(sign in field for sign in (self._delimiter, self._quote, "\n", "\r"))
            self.quoted[len(self.fields)] = not needed
            self.fields.append(field)
        else:
            self.fields.append(None if "".join(self._raw) in self._nulls else field)
        self._begin_field()
