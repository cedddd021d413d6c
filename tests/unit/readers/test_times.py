"""Times are read in every form that cannot be mistaken, in a declared one, and never by a guess."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from udfs.readers.record_spans import RejectedError
from udfs.readers.times import EPOCHS, TimeForm, moment

ZONE = "Etc/GMT-8"  # eight hours before Greenwich all the year, as Shanghai is since 1991
LIKELY = st.datetimes(datetime(1990, 1, 2), datetime(2099, 12, 30))


def read(value: Any, form: str | None = None) -> datetime:
    """A time in Shanghai, without its zone."""
    return (moment("at", value, ZONE, form) + timedelta(hours=8)).replace(tzinfo=None)


UNDECLARED = [
    (1772323200, datetime(2026, 3, 1, 8)),
    (1772323200.25, datetime(2026, 3, 1, 8, 0, 0, 250_000)),
    ("1772323200", datetime(2026, 3, 1, 8)),
    ("1772323200123", datetime(2026, 3, 1, 8, 0, 0, 123_000)),
    (1772323200123456, datetime(2026, 3, 1, 8, 0, 0, 123_456)),
    ("1772323200123456789", datetime(2026, 3, 1, 8, 0, 0, 123_456)),
    ("1.7723232e9", datetime(2026, 3, 1, 8)),
    ("2026-03-01T00:00:00Z", datetime(2026, 3, 1, 8)),
    ("2026-03-01 08:00:00", datetime(2026, 3, 1, 8)),
    ("2026-03-01", datetime(2026, 3, 1)),
    (date(2026, 3, 1), datetime(2026, 3, 1)),
    (20260301, datetime(2026, 3, 1)),
    ("20260301.0", datetime(2026, 3, 1)),
    (20260301.0, datetime(2026, 3, 1)),
    ("202603010830.0", datetime(2026, 3, 1, 8, 30)),
    ("20260301083015", datetime(2026, 3, 1, 8, 30, 15)),
    ("２０２６０３０１", datetime(2026, 3, 1)),
    ("２０２６－０３－０１　０８：３０", datetime(2026, 3, 1, 8, 30)),
    ("2026/3/1 15:06", datetime(2026, 3, 1, 15, 6)),
    ("2026/3/1 9:07:05", datetime(2026, 3, 1, 9, 7, 5)),
    ("2026/3/2", datetime(2026, 3, 2)),
    ("2026.3.2", datetime(2026, 3, 2)),
    ("2026-3-1 9:07", datetime(2026, 3, 1, 9, 7)),
    ("2026/3/1 下午 3:06", datetime(2026, 3, 1, 15, 6)),
    ("2026年3月1日 下午3点", datetime(2026, 3, 1, 15)),
    ("2026年3月1日15时整", datetime(2026, 3, 1, 15)),
    ("2026/3/1 下午3:06:07", datetime(2026, 3, 1, 15, 6, 7)),
    ("2026/3/1 上午 12:00", datetime(2026, 3, 1)),
    ("2026/3/1 中午 12:30", datetime(2026, 3, 1, 12, 30)),
    ("2026/3/1 3:06 PM", datetime(2026, 3, 1, 15, 6)),
    ("2026年3月1日", datetime(2026, 3, 1)),
    ("2026年3月1日15时6分", datetime(2026, 3, 1, 15, 6)),
    ("2026年3月1日 星期日 15:06:07", datetime(2026, 3, 1, 15, 6, 7)),
    ("2026/3/1 15:06:07.5 +0900", datetime(2026, 3, 1, 14, 6, 7, 500_000)),
    (" 2026/3/1 15:06 ", datetime(2026, 3, 1, 15, 6)),
]


@pytest.mark.parametrize(("value", "wanted"), UNDECLARED)
def test_what_cannot_be_mistaken_is_read_without_a_setting(value: Any, wanted: datetime) -> None:
    assert read(value) == wanted


@pytest.mark.parametrize(
    "value",
    [
        0, -5, 1, 45145.629166666666, "45145.629166666666", 46081, 20261301, "20260230", "2026", 2026.5, 99999999,
        1e300, float("nan"), float("inf"), "03/01/2026", "1/3/26", "2026/13/1",
        "2026/3/1 25:00", "2026/3/1 下午", "yesterday", "",
        True, None, [], {}, b"2026-03-01", "1" * 400, "-", ".", "²",
    ],
)  # fmt: skip
def test_what_could_be_something_else_is_no_time(value: Any) -> None:
    with pytest.raises(RejectedError) as caught:
        read(value)
    assert caught.value.reason == "wrong_type"


DECLARED = [
    ("excel", "45145.629166666666", datetime(2023, 8, 7, 15, 6)),
    ("excel", 46081, datetime(2026, 2, 28)),
    ("epoch_seconds", 5, datetime(1970, 1, 1, 8, 0, 5)),
    ("epoch_milliseconds", "1772323200123", datetime(2026, 3, 1, 8, 0, 0, 123_000)),
    ("epoch_nanoseconds", 1772323200123456789, datetime(2026, 3, 1, 8, 0, 0, 123_456)),
    ("%d/%m/%Y %H:%M", "01/03/2026 15:06", datetime(2026, 3, 1, 15, 6)),
    ("%Y/%m/%d %I:%M %p", "2026/03/01 下午3:06".replace("午3", "午 3"), None),
    ("%Y/%m/%d %p %I:%M", "2026/03/01 下午 3:06", datetime(2026, 3, 1, 15, 6)),
    ("%y%m%d", 260301, datetime(2026, 3, 1)),
    ("%Y%m%d", 20260301.0, datetime(2026, 3, 1)),
    ("%Y年%m月%d日", "2026年3月1日", datetime(2026, 3, 1)),
    ("%Y-%m-%d %H:%M:%S %z", "2026-03-01 00:00:00 +0000", datetime(2026, 3, 1, 8)),
]


@pytest.mark.parametrize(("form", "value", "wanted"), DECLARED)
def test_a_declared_form_is_the_only_one(form: str, value: Any, wanted: datetime | None) -> None:
    if wanted is None:
        with pytest.raises(RejectedError, match="wrong_type"):
            read(value, form)
        return
    assert read(value, form) == wanted
    assert read(datetime(2026, 3, 1, 8), form) == datetime(2026, 3, 1, 8), "a column of times needs no form"
    with pytest.raises(RejectedError) as caught:
        read("2026-03-01T08:00:00", form)
    assert form in caught.value.detail


@pytest.mark.parametrize("form", ["%H:%M", "%m/%d", "epoch", "", "%Y", "yyyy-MM-dd", "%"])
def test_a_form_that_tells_no_day_is_refused(form: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(TimeForm).validate_python(form)


@given(LIKELY)
def test_every_spelling_of_a_time_is_the_same_time(when: datetime) -> None:
    instant = when.replace(tzinfo=UTC)
    ticks = (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    wanted = when + timedelta(hours=8)
    assert read(ticks * 1000) == read(str(ticks * 1000)) == wanted
    assert read(ticks * 1000, "epoch_nanoseconds") == read(ticks, "epoch_microseconds") == wanted
    for name, unit in EPOCHS.items():
        whole = instant.replace(microsecond=0)
        assert read(round(whole.timestamp()) * unit, name) == whole.replace(tzinfo=None) + timedelta(hours=8)
    half = "上午" if when.hour < 12 else "下午"
    spreadsheet = f"{when.year}/{when.month}/{when.day} {half}{when.hour % 12 or 12}:{when:%M:%S}"
    assert read(spreadsheet) == when.replace(microsecond=0)


@given(st.text(max_size=30) | st.floats() | st.integers())
def test_anything_is_a_time_of_a_likely_year_or_none(value: Any) -> None:
    try:
        found = moment("at", value, ZONE)
    except RejectedError:
        return
    if not isinstance(value, str) or value.replace(".", "").isdigit():
        assert 1899 <= found.year <= 2100
