"""Sources that cannot be read are refused, and each is named by how its files are read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from udfs.readers.sources import SourceSettings

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
