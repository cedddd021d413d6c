"""Sources that cannot be read are refused, and each is named by how its files are read."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from udfs.readers.record_spans import RejectedError
from udfs.readers.records import values_of
from udfs.readers.sources import IngestSettings, SourceSettings

SOURCE: dict[str, Any] = {
    "path": "x",
    "format": "csv",
    "columns": {"text": "t", "event_time": "e"},
    "constants": {"scene": "chat", "source": "app"},
}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"columns": {"text": "t"}}, "neither columns nor constants give event_time"),
        ({"constants": {"scene": "chat"}}, "give source"),
        ({"columns": {"text": "t", "event_time": "e", "scene": "s"}}, "both columns and constants give scene"),
        ({"columns": {"text": "t", "event_time": "e", "author": "a"}}, "author"),
        ({"timezone": "Mars"}, "not a time zone"),
        ({"format": "xml"}, "format"),
        ({"encoding": "latin-1"}, "encoding"),
        ({"format": "parquet", "encoding": "gbk"}, "a Parquet file's strings are UTF-8"),
    ],
)
def test_a_source_that_cannot_be_read_is_refused(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        SourceSettings.model_validate(SOURCE | change)


def test_the_digest_names_how_a_file_is_read_not_where_it_lies() -> None:
    one = SourceSettings.model_validate(SOURCE)
    assert one.digest == SourceSettings.model_validate(SOURCE | {"path": "y"}).digest
    assert one.digest != SourceSettings.model_validate(SOURCE | {"timezone": "UTC"}).digest
    assert one.digest == SourceSettings.model_validate(json.loads(one.model_dump_json())).digest


def test_naming_the_default_encoding_loads_no_file_again() -> None:
    one = SourceSettings.model_validate(SOURCE)
    assert one.digest == SourceSettings.model_validate(SOURCE | {"encoding": "utf-8"}).digest
    assert one.digest != SourceSettings.model_validate(SOURCE | {"encoding": "gbk"}).digest


@pytest.mark.parametrize(
    ("change", "path", "splits"),
    [
        ({"format": "jsonl"}, "a.jsonl", True),
        ({"format": "jsonl"}, "a.jsonl.gz", False),
        ({"format": "jsonl", "encoding": "gbk"}, "a.jsonl", False),
        ({}, "a.csv", False),
    ],
)
def test_only_plain_lines_of_utf8_are_read_from_any_byte(change: dict[str, Any], path: str, splits: bool) -> None:
    assert SourceSettings.model_validate(SOURCE | change).splits(path) is splits


@pytest.mark.parametrize(
    ("at", "taken"),
    [
        ("2009-12-31T23:59:59Z", False),
        ("2010-01-01T00:00:00Z", True),
        ("2026-03-03T08:00:00Z", True),
        ("2026-03-03T08:00:01Z", False),
        ("2031-01-01T00:00:00Z", False),
    ],
)
def test_event_times_are_taken_from_a_set_day_to_a_day_after_the_arrival(at: str, taken: bool) -> None:
    source = SourceSettings.model_validate(SOURCE)
    limits = IngestSettings(earliest=date(2010, 1, 1)).limits(datetime(2026, 3, 2, 8, tzinfo=UTC))
    record = {"t": "好", "e": at}
    if taken:
        assert values_of(record, source, limits)["event_time"] == datetime.fromisoformat(at)
        return
    with pytest.raises(RejectedError) as rejected:
        values_of(record, source, limits)
    assert rejected.value.reason == "event_time_out_of_range"
