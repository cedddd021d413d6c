"""Human labels out of files, on the executors: each record becomes its annotations, or is set aside with its reason."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from models import digests
from models.text.rules import Cleaner, CleaningSettings
from udfs.annotation_settings import COLUMNS, AnnotationFiles, AnnotationSettings
from udfs.annotation_shapes import Answer, Said, Shaping, answers
from udfs.annotation_values import day_of, label_names, spoken_at, string
from udfs.cleaning import cleaner_of
from udfs.readers.formats import DELIMITED, FORMATS
from udfs.readers.reading import in_batches, read_spans
from udfs.readers.record_spans import RejectedError
from udfs.readers.records import check_characters
from udfs.readers.sources import RecordLimits
from udfs.readers.spreadsheet_cells import unescaped
from udfs.set_aside import ANNOTATION

ANNOTATION_FILES_DDL = "file string, format string"
PARSED = pa.schema([
    ("file", pa.string()), ("position", pa.int64()), ("length", pa.int64()), ("sha256", pa.string()),
    ("raw", pa.binary()), ("reason", pa.string()), ("detail", pa.string()), ("part", pa.int64()),
    ("task", pa.string()), ("label", pa.string()), ("value", pa.bool_()), ("annotator", pa.string()),
    ("annotated_at", pa.timestamp("us", tz="UTC")), ("text_id", pa.string()), ("source", pa.string()),
    ("source_id", pa.string()), ("text_hash", pa.string()), ("day", pa.date32()),
])  # fmt: skip
"""A row an annotation; `part` counts those of a record. A record that is set aside, or says nothing, has one row
without a label; only the former has a `reason`."""
REASON_PREFIX = ANNOTATION
"""What the reasons in `rejected` begin with where an annotation was set aside, not a text."""
_STRINGS = tuple(name for name in COLUMNS if name not in ("label", "value", "annotated_at", "dt", "event_time"))
Batches = Iterator[pa.RecordBatch]


@dataclass(frozen=True, slots=True)
class AnnotationRules:
    """What makes a record annotations.

    Attributes:
        settings: The files' names for ours.
        labels: Of each task.
        timezone: Of times without an offset, and of days.
        limits: What times are taken: a wrong clock would speak against every later answer.
    """

    settings: AnnotationSettings
    labels: Mapping[str, Collection[str]]
    timezone: str
    limits: RecordLimits

    def layout(self, file_format: str) -> AnnotationFiles:
        """How files of a format lie."""
        return AnnotationFiles(file_format, self.settings, frozenset().union(*self.labels.values()))


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
    """The rows of a file, at least one a record; `position` is the record's number."""
    layout = rules.layout(file_format)
    surrogate_reason = FORMATS[file_format].surrogate_reason(layout.encoding)
    headed = file_format in DELIMITED or not FORMATS[file_format].is_text
    for number, span in enumerate(read_spans(path, layout)):
        row = {"file": path, "position": number, "length": span.length, "sha256": span.sha256, "raw": span.head}
        try:
            record = span.parse()
            if file_format in DELIMITED:
                record = {name: unescaped(value) if value else value for name, value in record.items()}
            parts = parse_record(record, rules, cleaner, surrogate_reason, headed=headed)
            for part, annotation in enumerate(parts or [{}]):
                # A record of many annotations is kept with the first.
                yield row | {"part": part, "raw": row["raw"] if not part else None} | annotation
        except RejectedError as rejected:
            yield row | {"part": 0, "reason": f"{REASON_PREFIX}{rejected.reason}", "detail": rejected.detail}


def parse_record(
    record: Mapping[str, Any], rules: AnnotationRules, cleaner: Cleaner, surrogate_reason: str, *, headed: bool = False
) -> list[dict[str, Any]]:
    """The columns of a record's annotations, each label once an answer; none where it says nothing.

    Raises:
        RejectedError: for the whole record, with `unknown_label`, `wrong_value`, `wrong_time`, `incomplete` or
            `label_of_part`; or, for values that no column can take, `wrong_type`, `nul_character` or the reason given
            for surrogates.
    """
    shaping = Shaping(rules.settings, rules.labels, headed)
    for name, value in shaping.named(record).items():
        if isinstance(value, str):
            check_characters(name, value, surrogate_reason)
    rows: list[dict[str, Any]] = []
    for answer in answers(record, shaping):
        if labels := _labels(answer, rules, surrogate_reason):
            told = _told(answer, rules, cleaner, surrogate_reason)
            rows += [{"task": task, "label": label, "value": value} | told for (task, label), value in labels.items()]
    return rows


def _labels(answer: Answer, rules: AnnotationRules, surrogate_reason: str) -> dict[tuple[str, str], bool]:
    """Which labels of which tasks hold, by an answer, and which do not."""
    task = string("task", answer.values["task"])
    found: dict[tuple[str, str], bool] = {}
    for said in answer.said:
        for name in label_names(said.label)[:1]:
            check_characters("label", name, surrogate_reason)
        key = _resolved(said, task, rules)
        if key is not None and found.setdefault(key, said.holds) != said.holds:
            raise RejectedError("wrong_value", "a label is said to hold and not to hold")
    if answer.whole and rules.settings.unlisted == "denied":
        for key in _asked(answer, task, found, rules):
            found.setdefault(key, False)
    return found


def _resolved(said: Said, task: str | None, rules: AnnotationRules) -> tuple[str, str] | None:
    """Task and label by our names; None for a label that the settings leave out."""
    mapped = rules.settings.labels
    known = task or said.task
    for name in label_names(said.label):
        if name in mapped and mapped[name] is None:
            return None
        label = mapped.get(name, name)
        holders = [holder for holder, labels in rules.labels.items() if label in labels and known in (None, holder)]
        if label is not None and len(holders) == 1:
            return holders[0], label
        if len(holders) > 1:
            raise RejectedError("unknown_label", "a label of several tasks: a column task, or constants, says of which")
    raise RejectedError("unknown_label", "no such label of such a task is in the settings")


def _asked(
    answer: Answer, task: str | None, found: Mapping[tuple[str, str], bool], rules: AnnotationRules
) -> Iterator[tuple[str, str]]:
    """The labels that an answer speaks of by leaving them out."""
    if answer.asked is not None:
        keys = (_resolved(Said(name, False), task, rules) for name in answer.asked)
        yield from (key for key in keys if key is not None)
        return
    tasks = {task} if task else {told for told, _ in found} or {*rules.labels}
    if len(tasks) > 1 and not found:
        raise RejectedError("unknown_label", "an empty list of no task: a column task, or constants, says of which")
    for name in sorted(filter(None, tasks)):
        yield from ((name, label) for label in sorted(rules.labels.get(name, ())))


def _told(answer: Answer, rules: AnnotationRules, cleaner: Cleaner, surrogate_reason: str) -> dict[str, Any]:
    """What an answer tells beside its labels: by whom, when, and of which text."""
    values = answer.values
    strings = {name: string(name, values[name]) for name in _STRINGS}
    for name, value in strings.items():
        check_characters(name, value, surrogate_reason)
    if not strings["annotator"]:
        theirs = rules.settings.columns.get("annotator", "annotator")
        raise RejectedError("incomplete", f"no annotator, by a column {theirs} or annotations.constants.annotator")
    by_text = strings["text"] and not strings["source_id"]
    if not (strings["text_id"] or (strings["source"] and strings["source_id"]) or by_text):
        raise RejectedError("incomplete", "neither text_id, nor source with source_id, nor text")
    text, other = (cleaner.clean(raw) if raw else None for raw in (strings["text"], strings["text_b"]))
    form = rules.settings.time_format
    day = None
    if by_text and not strings["text_id"]:
        day = day_of(values["dt"], values["event_time"], rules.timezone, form)
    return {
        "annotator": strings["annotator"],
        "annotated_at": spoken_at(values["annotated_at"], rules.timezone, form, rules.limits),
        "text_id": strings["text_id"], "source": strings["source"], "source_id": strings["source_id"],
        "text_hash": digests.of_text(text, other) if text else None, "day": day,
    }  # fmt: skip
