"""Scores out of records of files and tables: each record becomes its text's key and its scores, or is set aside."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from models import digests
from models.text.rules import Cleaner
from udfs.annotation_values import is_blank, string
from udfs.readers.formats import DELIMITED, FORMATS
from udfs.readers.reading import read_spans
from udfs.readers.record_spans import RecordSpan, RejectedError
from udfs.readers.records import check_characters
from udfs.readers.spreadsheet_cells import unescaped
from udfs.score_settings import ScoreFiles
from udfs.score_values import ScoreRules, scored_labels
from udfs.set_aside import SCORE

PARSED = pa.schema([
    ("file", pa.string()), ("position", pa.int64()), ("length", pa.int64()), ("sha256", pa.string()),
    ("raw", pa.binary()), ("reason", pa.string()), ("detail", pa.string()), ("text_id", pa.string()),
    ("text_hash", pa.string()), ("scores", pa.list_(pa.float64())), ("by_name", pa.bool_()),
])  # fmt: skip
"""A row a record. `scores` are in the order of the task's labels, null where nothing is said; a record of another task
has none, and no reason. `by_name`: the record names what holds."""
_KEY = ("text_id", "source", "source_id", "text", "text_b")


def parse_file(path: str, layout: ScoreFiles, rules: ScoreRules, cleaner: Cleaner) -> Iterator[dict[str, Any]]:
    """The rows (`PARSED`) of a file."""
    surrogate_reason = FORMATS[layout.format].surrogate_reason(layout.encoding)
    cells = layout.format in DELIMITED
    return parse_spans(path, read_spans(path, layout), rules, cleaner, surrogate_reason, cells=cells)


def parse_spans(
    place: str, spans: Iterable[RecordSpan], rules: ScoreRules, cleaner: Cleaner, surrogate_reason: str, *,
    cells: bool = False,
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """The rows (`PARSED`) of records; `position` is a record's number.

    Args:
        place: Of the file or table.
        spans: Its records.
        rules: What makes them scores.
        cleaner: Of the task's texts.
        surrogate_reason: What a surrogate is called in these records.
        cells: Whether values are cells that were made harmless for spreadsheets.
    """
    for number, span in enumerate(spans):
        row = {"file": place, "position": number, "length": span.length, "sha256": span.sha256, "raw": span.head}
        try:
            record = span.parse()
            if cells:
                record = {name: unescaped(value) if value else value for name, value in record.items()}
            yield row | parse_record(record, rules, cleaner, surrogate_reason)
        except RejectedError as rejected:
            yield row | {"reason": f"{SCORE}{rejected.reason}", "detail": rejected.detail}


def parse_record(
    record: Mapping[str, Any], rules: ScoreRules, cleaner: Cleaner, surrogate_reason: str
) -> dict[str, Any]:
    """The key of a record's text and its scores; nothing where it is of another task.

    Raises:
        RejectedError: with what `scored_labels` says, `no_text`, `wrong_type`, `nul_character`, or the reason given for
            surrogates.
    """
    values = rules.named(record)
    if not is_blank(values["task"]) and values["task"] != rules.task:
        return {}
    strings = {name: string(name, values[name]) for name in _KEY}  # type: ignore[index]
    for name, value in strings.items():
        check_characters(name, value, surrogate_reason)
    key = _key(strings, rules, cleaner)
    scores, by_name = scored_labels(record, rules)
    return key | {"scores": [scores.get(label) for label in rules.labels], "by_name": by_name}


def _key(strings: Mapping[str, str | None], rules: ScoreRules, cleaner: Cleaner) -> dict[str, Any]:
    """`text_id` or `text_hash`: a text is named by its id, else by its source's id, else by its words."""
    if strings["text_id"]:
        return {"text_id": strings["text_id"]}
    if strings["source_id"]:
        if not strings["source"]:
            raise RejectedError("no_text", "source_id without source, by a column or outside_scores.constants.source")
        return {"text_id": digests.of_source(strings["source"], strings["source_id"])}
    if not strings["text"]:
        raise RejectedError("no_text", "neither text_id, nor source with source_id, nor text")
    if rules.kind == "pair" and not strings["text_b"]:
        raise RejectedError("no_text", "one text of a pair: text_b is missing")
    other = cleaner.clean(strings["text_b"]) if strings["text_b"] else None
    return {"text_hash": digests.of_text(cleaner.clean(strings["text"]), other)}
