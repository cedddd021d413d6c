"""What a record's values must be to be taken; those of another kind are rejected with a reason, never with content."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from udfs.readers.formats import FORMATS
from udfs.readers.record_spans import RejectedError
from udfs.readers.sources import RecordLimits, SourceSettings

_MILLISECONDS_FROM = 100_000_000_000  # epoch numbers from here on are milliseconds (seconds reach it in the year 5138)
# 20260301 is a day, not a second of 1970; 20260301080000 an hour of it, not a millisecond of 2612.
_COMPACT = re.compile(r"((?:19|20)\d{6})(\d{4}(?:\d{2})?)?", re.ASCII)


def values_of(record: Mapping[str, Any], source: SourceSettings, limits: RecordLimits) -> dict[str, Any]:
    """Our columns of a source's record: text, text_b and source_id (may be null), scene, source, event_time (in UTC).

    Raises:
        RejectedError: with `no_text`, `wrong_type`, `not_utf8` (or the source's other encoding), `lone_surrogate`,
            `nul_character`, `too_long` or `event_time_out_of_range`.
    """
    values: dict[str, Any] = {ours: value for ours, value in source.constants.items()}
    for ours, theirs in source.columns.items():
        values[ours] = record.get(theirs)
    text = values["text"]
    if text is None or text == "":
        raise RejectedError("no_text", "the text is missing, null or empty")
    other = values.get("text_b")
    if "text_b" in source.columns and (other is None or other == ""):
        raise RejectedError("no_text", "the second text is missing, null or empty")
    identifier = values.get("source_id")
    if isinstance(identifier, int) and not isinstance(identifier, bool):
        identifier = str(identifier)
    identifier = identifier or None  # CSV writes a missing id as an empty one
    strings = {
        "text": text,
        "scene": values["scene"],
        "source": values["source"],
        "source_id": identifier,
        "text_b": other,
    }
    surrogate_reason = FORMATS[source.format].surrogate_reason(source.encoding)
    for name, value in strings.items():
        if not isinstance(value, str) and not (name in ("source_id", "text_b") and value is None):
            raise RejectedError("wrong_type", f"{name} is {type(value).__name__}, expected a string")
        check_characters(name, value, surrogate_reason)
    if (length := max(len(text), len(other or ""))) > limits.max_text_chars:
        raise RejectedError("too_long", f"{length} characters, at most {limits.max_text_chars} are taken")
    return strings | {"event_time": _event_time(values["event_time"], source.timezone, limits)}


def _event_time(value: Any, zone: str, limits: RecordLimits) -> datetime:
    event_time = moment("event_time", value, zone)
    if event_time < limits.earliest:
        raise RejectedError("event_time_out_of_range", "earlier than ingest.earliest")
    if event_time > limits.latest:
        raise RejectedError("event_time_out_of_range", "more than a day later than its arrival")
    return event_time


def check_characters(name: str, value: str | None, surrogate_reason: str) -> None:
    """Refuse NUL, and surrogates: halves escaped in JSON, elsewhere what stands for bytes that were no characters.

    Raises:
        RejectedError: with `nul_character`, or the reason given for surrogates.
    """
    if value is None:
        return
    if "\0" in value:
        raise RejectedError("nul_character", f"{name}, character {value.index(chr(0))}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RejectedError(surrogate_reason, f"{name}, character {error.start}") from None


def _compact(value: Any) -> str | None:
    """A day, or a day and a time to the minute or second, in nothing but digits, as ISO 8601 has it."""
    match = _COMPACT.fullmatch(str(value)) if isinstance(value, str | int) else None
    return "T".join(part for part in match.groups() if part) if match else None


def moment(name: str, value: Any, zone: str) -> datetime:
    """A time in UTC, of any of the forms that `SourceSettings` names; one without an offset is of the zone.

    Raises:
        RejectedError: with `wrong_type`.
    """
    try:
        if iso := _compact(value):
            value = datetime.fromisoformat(iso)
        elif isinstance(value, str):
            number = value.replace(".", "", 1).isdigit()
            value = float(value) if number else datetime.fromisoformat(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = datetime.fromtimestamp(value / 1000 if abs(value) >= _MILLISECONDS_FROM else value, UTC)
        if isinstance(value, datetime):
            aware = value if value.tzinfo else value.replace(tzinfo=ZoneInfo(zone))
            return aware.astimezone(UTC)  # fails here, and not in Arrow, for the first and last hours of all years
    except (ValueError, OverflowError, OSError):
        raise RejectedError("wrong_type", f"{name} is not a time") from None
    raise RejectedError("wrong_type", f"{name} is {type(value).__name__}, expected a time")
