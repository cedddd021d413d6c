"""Human labels out of files, on the executors: each record becomes an annotation, or is set aside with its reason."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

import pyarrow as pa
from pydantic import Field

from models import digests
from models.settings_base import Frozen, Name
from models.text.rules import Cleaner, CleaningSettings
from udfs.cleaning import cleaner_of
from udfs.readers.dialects import DIALECTS, Dialect, DialectSetting
from udfs.readers.formats import DELIMITED, FORMATS
from udfs.readers.reading import in_batches, read_spans
from udfs.readers.record_spans import RejectedError
from udfs.readers.records import check_characters
from udfs.readers.sources import RecordLimits
from udfs.readers.spreadsheet_cells import unescaped
from udfs.readers.text_encoding import UTF_8, Encoding
from udfs.readers.times import TIME_FORMS, TimeForm, moment

ANNOTATION_FILES_DDL = "file string, format string"
PARSED = pa.schema([
    ("file", pa.string()), ("position", pa.int64()), ("length", pa.int64()), ("sha256", pa.string()),
    ("raw", pa.binary()), ("reason", pa.string()), ("detail", pa.string()), ("task", pa.string()),
    ("label", pa.string()), ("value", pa.bool_()), ("annotator", pa.string()),
    ("annotated_at", pa.timestamp("us", tz="UTC")), ("text_id", pa.string()), ("source", pa.string()),
    ("source_id", pa.string()), ("text_hash", pa.string()),
])  # fmt: skip
REASON_PREFIX = "annotation_"
"""What the reasons in `rejected` begin with where an annotation was set aside, not a text."""
_VALUES = {"1": True, "true": True, "yes": True, "y": True, "是": True} | {
    "0": False, "false": False, "no": False, "n": False, "否": False,
}  # fmt: skip

AnnotationColumn = Literal[
    "task", "label", "value", "annotator", "annotated_at", "text_id", "source", "source_id", "text", "text_b"
]
_COLUMNS: tuple[AnnotationColumn, ...] = get_args(AnnotationColumn)
_STRINGS = tuple(name for name in _COLUMNS if name not in ("value", "annotated_at"))
Batches = Iterator[pa.RecordBatch]


class AnnotationSettings(Frozen):
    """What files of human labels look like, where their columns are not called as ours.

    A row needs a `value` (true or false): in the file, or here.
    """

    columns: Mapping[AnnotationColumn, str] = Field(
        default_factory=dict, description="Our name of a column to the file's; a column that is named has to be there."
    )
    constants: Mapping[AnnotationColumn, str] = Field(default_factory=dict, description="Fixed values of ours.")
    labels: Mapping[str, Name] = Field(default_factory=dict, description="The file's name of a label to ours.")
    time_format: TimeForm | None = Field(None, description=TIME_FORMS)
    dialect: DialectSetting | None = Field(None, description=DIALECTS)
    encoding: Encoding = Field(UTF_8, description="The encoding of files of text.")


@dataclass(frozen=True, slots=True)
class AnnotationFiles:
    """Files of annotations in one format, as the settings describe them (a `FileLayout`).

    A column that the settings name has to be there; one that is called as ours is read where it is.
    """

    format: str
    settings: AnnotationSettings

    @property
    def encoding(self) -> Encoding:
        """That of the settings, but for a format that has one of its own."""
        return self.settings.encoding if FORMATS[self.format].is_text else UTF_8

    @property
    def dialect(self) -> Dialect | None:
        """That of the settings."""
        return self.settings.dialect

    @property
    def required_columns(self) -> Sequence[str]:
        """The columns that the settings name."""
        return [theirs for ours, theirs in self.settings.columns.items() if ours not in self.settings.constants]

    @property
    def optional_columns(self) -> Sequence[str]:
        """Our own names of what the settings do not speak of."""
        return [name for name in _COLUMNS if name not in {*self.settings.columns, *self.settings.constants}]


@dataclass(frozen=True, slots=True)
class AnnotationRules:
    """What makes a record an annotation.

    Attributes:
        settings: The files' names for ours.
        labels: Of each task.
        timezone: Of times without an offset.
        limits: What times are taken: a wrong clock would speak against every later answer.
    """

    settings: AnnotationSettings
    labels: Mapping[str, Collection[str]]
    timezone: str
    limits: RecordLimits


def annotation_parser(rules: AnnotationRules, cleaning: CleaningSettings) -> Callable[[Batches], Batches]:
    """A batch function from files (`ANNOTATION_FILES_DDL`) to their records, parsed (`PARSED`)."""
    cleaning_json = cleaning.model_dump_json()

    def parse(batches: Batches) -> Batches:
        for batch in batches:
            for row in batch.to_pylist():
                records = parse_file(row["file"], row["format"], rules, cleaner_of(cleaning_json))
                yield from in_batches(records, PARSED)

    return parse


def parse_file(path: str, file_format: str, rules: AnnotationRules, cleaner: Cleaner) -> Iterator[dict[str, Any]]:
    """The rows of a file, one a record; `position` is the record's number."""
    layout = AnnotationFiles(file_format, rules.settings)
    surrogate_reason = FORMATS[file_format].surrogate_reason(layout.encoding)
    for number, span in enumerate(read_spans(path, layout)):
        row = {"file": path, "position": number, "length": span.length, "sha256": span.sha256, "raw": span.head}
        try:
            record = span.parse()
            if file_format in DELIMITED:
                record = {name: unescaped(value) for name, value in record.items()}
            yield row | parse_record(record, rules, cleaner, surrogate_reason)
        except RejectedError as rejected:
            yield row | {"reason": f"{REASON_PREFIX}{rejected.reason}", "detail": rejected.detail}


def parse_record(
    record: Mapping[str, Any], rules: AnnotationRules, cleaner: Cleaner, surrogate_reason: str
) -> dict[str, Any]:
    """The columns of an annotation.

    Raises:
        RejectedError: with `unknown_label`, `wrong_value`, `wrong_time` or `incomplete`; or, for values that no column
            can take, `wrong_type`, `nul_character` or the reason given for surrogates.
    """
    values = _named(record, rules.settings)
    for name, value in values.items():
        if isinstance(value, str):
            check_characters(name, value, surrogate_reason)
    strings = {name: _string(name, values[name]) for name in _STRINGS}
    task, label = strings["task"], strings["label"]
    label = rules.settings.labels.get(label, label) if label else label
    if not task or label not in rules.labels.get(task, ()):
        raise RejectedError("unknown_label", "no such label of such a task is in the settings")
    value = None if isinstance(values["value"], list | dict) else _VALUES.get(str(values["value"]).strip().lower())
    if value is None:
        raise RejectedError("wrong_value", f"value is none of {', '.join(_VALUES)}")
    if not strings["annotator"]:
        raise RejectedError("incomplete", "no annotator")
    if not (strings["text_id"] or strings["source"]):
        raise RejectedError("incomplete", "neither text_id nor source")
    text, other = (cleaner.clean(raw) if raw else None for raw in (strings["text"], strings["text_b"]))
    return {
        "task": task, "label": label, "value": value, "annotator": strings["annotator"],
        "annotated_at": _time(values["annotated_at"], rules), "text_id": strings["text_id"],
        "source": strings["source"], "source_id": strings["source_id"],
        "text_hash": digests.of_text(text, other) if text else None,
    }  # fmt: skip


def _named(record: Mapping[str, Any], settings: AnnotationSettings) -> dict[AnnotationColumn, Any]:
    """A file's record under our names; what no mapping mentions keeps its name."""
    values = {ours: record.get(settings.columns.get(ours, ours)) for ours in _COLUMNS}
    return values | dict(settings.constants)


def _string(name: str, value: Any) -> str | None:
    """A string, or a number that names something; None for what is empty, as CSV has no other way to say it."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is not None and not isinstance(value, str):
        raise RejectedError("wrong_type", f"{name} is {type(value).__name__}, expected a string")
    return value or None


def _time(value: Any, rules: AnnotationRules) -> datetime | None:
    """When the annotator spoke; None where that is not told.

    Raises:
        RejectedError: with `wrong_time`: what is there is no time, or none that can be.
    """
    if value is None or value == "":
        return None
    try:
        when = moment("annotated_at", value, rules.timezone, rules.settings.time_format)
    except RejectedError as rejected:
        raise RejectedError("wrong_time", rejected.detail) from None
    if not rules.limits.earliest <= when <= rules.limits.latest:
        raise RejectedError("wrong_time", "annotated_at is before ingest.earliest, or in the future")
    return when
