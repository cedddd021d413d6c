"""What a record's values must be to be taken; those of another kind are rejected with a reason, never with content."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from udfs.readers.sources import IngestSettings, SourceSettings

_MILLISECONDS_FROM = 100_000_000_000  # epoch numbers from here on are milliseconds (seconds reach it in the year 5138)
# 20260301 is a day, not a second of 1970; 20260301080000 an hour of it, not a millisecond of 2612.
_COMPACT = re.compile(r"((?:19|20)\d{6})(\d{4}(?:\d{2})?)?", re.ASCII)


class RejectedError(Exception):
    """A record that cannot be taken, with its reason code; never its content."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


def values_of(record: Mapping[str, Any], source: SourceSettings, limits: IngestSettings) -> dict[str, Any]:
    """Our columns of a source's record: text, text_b and source_id (may be null), scene, source, event_time (in UTC).

    Raises:
        RejectedError: with `no_text`, `wrong_type`, `not_utf8` (or the source's other encoding), `lone_surrogate`,
            `nul_character` or `too_long`.
    """
    found: dict[str, Any] = {ours: value for ours, value in source.constants.items()}
    for ours, theirs in source.columns.items():
        found[ours] = record.get(theirs)
    text = found["text"]
    if text is None or text == "":
        raise RejectedError("no_text", "the text is missing, null or empty")
    other = found.get("text_b")
    if "text_b" in source.columns and (other is None or other == ""):
        raise RejectedError("no_text", "the second text is missing, null or empty")
    identifier = found.get("source_id")
    if isinstance(identifier, int) and not isinstance(identifier, bool):
        identifier = str(identifier)
    identifier = identifier or None  # CSV writes a missing id as an empty one
    strings = {
        "text": text,
        "scene": found["scene"],
        "source": found["source"],
        "source_id": identifier,
        "text_b": other,
    }
    for name, value in strings.items():
        if not isinstance(value, str) and not (name in ("source_id", "text_b") and value is None):
            raise RejectedError("wrong_type", f"{name} is {type(value).__name__}, expected a string")
        _check_characters(name, value, "lone_surrogate" if source.format == "jsonl" else source.undecodable)
    if (length := max(len(text), len(other or ""))) > limits.max_text_chars:
        raise RejectedError("too_long", f"{length} characters, at most {limits.max_text_chars} are taken")
    return strings | {"event_time": _moment(found["event_time"], source.timezone)}


def _check_characters(name: str, value: str | None, of_surrogates: str) -> None:
    """Refuse NUL, and surrogates: halves escaped in JSON, elsewhere what stands for bytes that were no characters."""
    if value is None:
        return
    if "\0" in value:
        raise RejectedError("nul_character", f"{name}, character {value.index(chr(0))}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RejectedError(of_surrogates, f"{name}, character {error.start}") from None


def _compact(value: Any) -> str | None:
    """A day, or a day and a time to the minute or second, in nothing but digits, as ISO 8601 has it."""
    found = _COMPACT.fullmatch(str(value)) if isinstance(value, str | int) else None
    return "T".join(part for part in found.groups() if part) if found else None


def _moment(value: Any, zone: str) -> datetime:
    try:
        if written := _compact(value):
            value = datetime.fromisoformat(written)
        elif isinstance(value, str):
            number = value.replace(".", "", 1).isdigit()
            value = float(value) if number else datetime.fromisoformat(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            value = datetime.fromtimestamp(value / 1000 if abs(value) >= _MILLISECONDS_FROM else value, UTC)
        if isinstance(value, datetime):
            aware = value if value.tzinfo else value.replace(tzinfo=ZoneInfo(zone))
            return aware.astimezone(UTC)  # fails here, and not in Arrow, for the first and last hours of all years
    except (ValueError, OverflowError, OSError):
        raise RejectedError("wrong_type", "event_time is not a time") from None
    raise RejectedError("wrong_type", f"event_time is {type(value).__name__}, expected a time")
