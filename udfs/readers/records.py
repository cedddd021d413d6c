"""What a record's values must be to be taken; those of another kind are rejected with a reason, never with content."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from udfs.readers.formats import FORMATS
from udfs.readers.record_spans import RejectedError
from udfs.readers.sources import RecordLimits, SourceSettings
from udfs.readers.times import moment


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
    return strings | {"event_time": _event_time(values["event_time"], source, limits)}


def _event_time(value: Any, source: SourceSettings, limits: RecordLimits) -> datetime:
    event_time = moment("event_time", value, source.timezone, source.time_format)
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
