"""Times as files write them: ISO 8601, a spreadsheet's, days of digits, epoch numbers, or a form that is declared."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import AfterValidator

from udfs.readers.record_spans import RejectedError

_FIRST, _LAST = (datetime(year, 1, 1, tzinfo=UTC).timestamp() for year in (1990, 2100))
_EXCEL_EPOCH = datetime(1899, 12, 30)  # its day 60 is a 29 February that never was
_EXCEL_LAST = 2_958_465  # 9999-12-31

# 20260301 is a day, 202603010830 a minute of it, 20260301080000 a second of it.
_COMPACT = re.compile(r"((?:19|20)\d{6})(\d{4}(?:\d{2})?)?", re.ASCII)
_NUMBER = re.compile(r"-?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?", re.ASCII)
_NOON = {"am": 0, "上午": 0, "早上": 0, "凌晨": 0, "清晨": 0, "pm": 12, "下午": 12, "晚上": 12, "傍晚": 12, "中午": 12}
_HALF = "|".join(_NOON)
# The year first, so that no day is taken for a month: 2026/3/1 15:06, 2026-3-1 下午 3:06, 2026年3月1日15时6分.
_YEAR_FIRST = re.compile(
    r"(?P<year>\d{4})\s*[-/.年]\s*(?P<month>\d{1,2})\s*[-/.月]\s*(?P<day>\d{1,2})\s*日?"
    rf"(?:[T\s]*(?:星期.|周.)?\s*(?P<before>{_HALF})?\s*"
    r"(?P<hour>\d{1,2})\s*(?:[时点]整?(?=$)|[:时点]\s*(?P<minute>\d{1,2})\s*(?:分|[:]\s*|(?=$|\s|[ap+zZ-])))"
    r"(?:(?P<second>\d{1,2})(?P<fraction>\.\d+)?\s*秒?)?\s*(?P<after>am|pm)?"
    r"\s*(?P<offset>z|[+-]\d{2}:?\d{2})?)?",
    re.ASCII | re.IGNORECASE,
)

EXCEL = "excel"
EPOCHS: Mapping[str, int] = {
    "epoch_seconds": 1, "epoch_milliseconds": 10**3, "epoch_microseconds": 10**6, "epoch_nanoseconds": 10**9,
}  # fmt: skip
"""Names of numbers since 1970 in UTC, with how many make a second."""


def _known(form: str) -> str:
    if form in EPOCHS or form == EXCEL:
        return form
    moment = datetime(2026, 12, 31, 13, 58, 59)
    try:
        known = datetime.strptime(moment.strftime(form), form).date() == moment.date()
    except (ValueError, re.error):
        known = False
    if not known:
        raise ValueError(
            f"neither {EXCEL}, {', '.join(EPOCHS)} nor a form that tells year, month and day, such as %Y/%m/%d %H:%M"
        )
    return form


TimeForm = Annotated[str, AfterValidator(_known)]
TIME_FORMS = (
    "How their times are written: a form such as `%Y/%m/%d %H:%M` (`%p` takes 上午 and 下午 too), "
    "`excel` (days since 1899-12-30), `epoch_seconds`, `epoch_milliseconds`, `epoch_microseconds` or "
    "`epoch_nanoseconds`. "
    "Without it: ISO 8601, year-first dates as spreadsheets write them, days of digits (`20260301`), and epoch "
    "numbers whose unit their size tells, of the years 1990 to 2099."
)
"""What the setting `time_format` may say."""


def moment(name: str, value: Any, zone: str, form: str | None = None) -> datetime:
    """A time in UTC; one without an offset is of the zone, and a day alone begins it.

    Args:
        name: Of the column, for the error.
        value: A string, a number, a date or a time.
        zone: Of the tz database.
        form: How strings and numbers are written (`TimeForm`); None: in one of the forms that cannot be mistaken.

    Raises:
        RejectedError: with `wrong_type`, for what is no time in any of these forms. No number is a time by a guess.
    """
    try:
        read = _declared(value, form) if form and isinstance(value, str | int | float) else _undeclared(value)
        if read is not None:
            aware = read if read.tzinfo else read.replace(tzinfo=ZoneInfo(zone))
            return aware.astimezone(UTC)  # fails here, and not in Arrow, for the first and last hours of all years
    except (ValueError, OverflowError, OSError):
        pass
    kind = type(value).__name__
    told = f"{name} is not a time" + (f" of the form {form}" if form else "")
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        told = f"{name} is {kind}, expected a time"
    raise RejectedError("wrong_type", told)


def _undeclared(value: Any) -> datetime | None:
    if isinstance(value, datetime):
        return value
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    if isinstance(value, str):
        return _of_text(value)
    return _of_number(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _of_text(value: str) -> datetime | None:
    try:
        if not value.isdigit():  # the form of most, and the quickest to read
            return datetime.fromisoformat(value)
    except ValueError:
        pass
    text = unicodedata.normalize("NFKC", value).strip()
    if _NUMBER.fullmatch(text):
        return _of_number(text)
    return _year_first(text) or datetime.fromisoformat(text)


def _of_number(value: str | float) -> datetime | None:
    """Of a day of digits, or an epoch number of a year that is likely."""
    digits = _digits(value)
    if digits and (compact := _COMPACT.fullmatch(digits)):
        return datetime.fromisoformat("T".join(part for part in compact.groups() if part))
    for ticks in EPOCHS.values():
        if _FIRST <= float(value) / ticks < _LAST:
            return _since_1970(value, ticks)
    return None


def _digits(value: str | float) -> str | None:
    """A whole number as its digits, however it is written (`20260301.0`); None for another."""
    text = str(value)
    if text.isdigit():
        return text
    number = float(text)
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else None


def _year_first(text: str) -> datetime | None:
    match = _YEAR_FIRST.fullmatch(text)
    if match is None:
        return None
    parts = match.groupdict()
    half = (parts["before"] or parts["after"] or "").lower()
    hour = _of_24(int(parts["hour"] or 0), half)
    read = datetime(int(parts["year"]), int(parts["month"]), int(parts["day"]), hour, int(parts["minute"] or 0))
    read += timedelta(seconds=int(parts["second"] or 0), microseconds=round(float(parts["fraction"] or 0) * 1e6))
    if parts["offset"] is None:
        return read
    offset = "+0000" if parts["offset"].lower() == "z" else parts["offset"]
    return datetime.strptime(f"{read:%Y-%m-%dT%H:%M:%S.%f}{offset}", "%Y-%m-%dT%H:%M:%S.%f%z")


def _of_24(hour: int, half: str) -> int:
    """An hour of the clock of 24 from one of 12; 下午 15 is 15 all the same."""
    if not half:
        return hour
    if hour == 12:
        return 0 if _NOON[half] == 0 else 12
    later = _NOON[half] if half != "中午" or hour < 3 else 0  # 中午 11:30 is before noon
    return hour + later if hour < 12 else hour


def _declared(value: str | float, form: str) -> datetime | None:
    if isinstance(value, bool):
        return None
    text = unicodedata.normalize("NFKC", str(value)).strip()
    if form in EPOCHS:
        return _since_1970(text, EPOCHS[form]) if _NUMBER.fullmatch(text) else None
    if form == EXCEL:
        days = float(text) if _NUMBER.fullmatch(text) else math.nan
        # To the millisecond: a double of some 45,000 days has no more.
        return _EXCEL_EPOCH + timedelta(milliseconds=round(days * 86_400_000)) if 0 <= days <= _EXCEL_LAST else None
    digits = _digits(text) if _NUMBER.fullmatch(text) else None
    for spelling in dict.fromkeys((text, _with_halves_of_english(text), str(value), digits or text)):
        try:
            return datetime.strptime(spelling, form)
        except ValueError:
            continue
    return None


def _with_halves_of_english(text: str) -> str:
    return re.sub("上午|早上|凌晨|清晨", "AM", re.sub("下午|晚上|傍晚|中午", "PM", text))


def _since_1970(value: str | float, ticks: int) -> datetime:
    text = str(value)
    if text.lstrip("-").isdigit():  # whole numbers of nanoseconds are more than a double holds
        seconds, rest = divmod(int(text), ticks)
        return datetime.fromtimestamp(seconds, UTC) + timedelta(microseconds=rest * 10**6 // ticks)
    return datetime.fromtimestamp(float(text) / ticks, UTC)
