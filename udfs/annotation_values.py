"""Values of annotations as people and tools write them: truths, names, lists of names, times."""

from __future__ import annotations

import ast
import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from udfs.readers.record_spans import RejectedError
from udfs.readers.sources import RecordLimits
from udfs.readers.times import moment

_TRUE = ("1", "true", "t", "yes", "y", "是", "对", "有", "√", "✓", "✔", "☑", "✅")
_FALSE = ("0", "false", "f", "no", "n", "否", "错", "无", "×", "✗", "✘", "❌")
_VALUES = dict.fromkeys(_TRUE, True) | dict.fromkeys(_FALSE, False)
_WHOLE = re.compile(r"(-?\d+)\.0*", re.ASCII)
_SEPARATORS = "|,;#、，；"
_LITERAL_CHARS = 64 << 10
_EMOJI_STYLE = "\ufe0f"
Pairs = Sequence[tuple[Any, bool]]


def truth(value: Any) -> bool:
    """Whether a value says that a label holds; full-width characters are as narrow ones.

    Raises:
        RejectedError: with `wrong_value`.
    """
    text = "" if isinstance(value, list | dict) else unicodedata.normalize("NFKC", str(value))
    text = text.replace(_EMOJI_STYLE, "").strip().lower()
    said = _VALUES.get(_without_fraction(text))
    if value is None or said is None:
        raise RejectedError("wrong_value", f"value is none of {', '.join(_VALUES)}")
    return said


def is_blank(value: Any) -> bool:
    """Whether nothing is there: null, NaN (a data frame's null), or blanks alone."""
    return value is None or value != value or (isinstance(value, str) and not value.strip())


def label_names(value: Any) -> Sequence[str]:
    """How a name of a label may be spelt, the likeliest first; none for what is no name.

    A number names a label too, and `1.0` is what a table of floats makes of 1. Names of the settings are in NFC.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ()
    text = str(value).strip()
    spelt = (text, unicodedata.normalize("NFC", text), _without_fraction(text))
    return tuple(dict.fromkeys(name for name in spelt if name))


def _without_fraction(text: str) -> str:
    match = _WHOLE.fullmatch(text)
    return match[1] if match else text


def listed(cell: Any, separator: str | None, known: Callable[[str], bool]) -> Pairs | None:
    """The labels in a cell, each with whether it holds; None where the cell is empty.

    Args:
        cell: A list; a mapping of labels to values, or one with `choices`; either of them as JSON (or as Python
            writes a list); one label; or several with a separator between them.
        separator: Between several; None: any of the usual ones, where all that it separates is known.
        known: Whether a name is a label's.

    Raises:
        RejectedError: with `label_of_part` for labels of parts of a text, `wrong_value` for a mapping's values.
    """
    if is_blank(cell):
        return None
    if isinstance(cell, str):
        spelt = parsed_list(cell)
        cell = _separated(cell, separator, known) if spelt is None else spelt
    if isinstance(cell, Mapping):
        if "choices" not in cell:
            refuse_parts([cell])
            return [(name, truth(value)) for name, value in cell.items()]
        cell = cell["choices"]
    cell = cell if isinstance(cell, list) else [cell]
    refuse_parts(cell)
    return [(name, True) for name in cell]


def refuse_parts(labels: Sequence[Any]) -> None:
    """Refuse labels of parts of a text: `[start, end, name]`, or mappings with offsets.

    Raises:
        RejectedError: with `label_of_part`.
    """
    offsets = {"start", "start_offset"}
    if any(isinstance(label, list) or (isinstance(label, Mapping) and offsets & {*label}) for label in labels):
        raise RejectedError("label_of_part", "a label of a part of the text; only labels of whole texts are taken")


def parsed_list(cell: str) -> list[Any] | dict[str, Any] | None:
    """The list or mapping that a cell spells; None where it spells none."""
    text = cell.strip()
    if text[:1] + text[-1:] not in ("[]", "{}"):
        return None
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = _literal(text)
    return value if isinstance(value, list | dict) else None


def _literal(text: str) -> Any:
    if len(text) > _LITERAL_CHARS:
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _separated(cell: str, separator: str | None, known: Callable[[str], bool]) -> list[str]:
    if separator is not None:
        return [name.strip() for name in cell.split(separator) if name.strip()]
    if not known(cell):
        for mark in _SEPARATORS:
            names = [name.strip() for name in cell.split(mark) if name.strip()]
            if len(names) > 1 and all(known(name) for name in names):
                return names
    return [cell]


def several(cell: Any, known: Callable[[str], bool]) -> bool:
    """Whether a cell cannot be one label: it is a list, or spells one."""
    if isinstance(cell, str):
        return parsed_list(cell) is not None or len(_separated(cell, None, known)) > 1
    return isinstance(cell, list | dict)


def string(name: str, value: Any) -> str | None:
    """A string, or a number that names something; None for what is empty, as CSV has no other way to say it.

    Raises:
        RejectedError: with `wrong_type`.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is not None and not isinstance(value, str):
        raise RejectedError("wrong_type", f"{name} is {type(value).__name__}, expected a string")
    return value or None


def spoken_at(value: Any, zone: str, form: str | None, limits: RecordLimits) -> datetime | None:
    """When the annotator spoke; None where that is not told.

    Raises:
        RejectedError: with `wrong_time`: what is there is no time, or none that can be.
    """
    if value is None or value == "":
        return None
    when = _moment("annotated_at", value, zone, form)
    if not limits.earliest <= when <= limits.latest:
        raise RejectedError("wrong_time", "annotated_at is before ingest.earliest, or in the future")
    return when


def day_of(dt: Any, event_time: Any, zone: str, form: str | None) -> date | None:
    """The day of the text that is meant, in the zone; None where that is not told.

    Raises:
        RejectedError: with `wrong_time`.
    """
    if not is_blank(dt):
        try:
            when = moment("dt", dt, zone)
        except RejectedError:
            when = _moment("dt", dt, zone, form)
    elif not is_blank(event_time):
        when = _moment("event_time", event_time, zone, form)
    else:
        return None
    return when.astimezone(ZoneInfo(zone)).date()


def _moment(name: str, value: Any, zone: str, form: str | None) -> datetime:
    try:
        return moment(name, value, zone, form)
    except RejectedError as rejected:
        raise RejectedError("wrong_time", rejected.detail) from None
