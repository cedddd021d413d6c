"""Cleaning on the executors: raw texts in Arrow batches, clean texts out, a row for a row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache

import pyarrow as pa

from models import digests
from models.text.rules import Cleaner, CleaningSettings

SETTLED = pa.list_(
    pa.struct([("task", pa.string()), ("label", pa.string()), ("outcome", pa.string()), ("rule", pa.string())])
)
CLEANED = pa.schema([
    ("text_id", pa.string()), ("dt", pa.date32()), ("source", pa.string()), ("source_id", pa.string()),
    ("scene", pa.string()), ("text", pa.string()), ("text_b", pa.string()), ("text_hash", pa.string()),
    ("length", pa.int32()), ("event_time", pa.timestamp("us", tz="UTC")), ("clean_version", pa.string()),
    ("settled", SETTLED),
])  # fmt: skip
"""The columns of clean texts."""
_CARRIED = ("text_id", "dt", "source", "source_id", "scene")

Batches = Iterator[pa.RecordBatch]


@lru_cache(maxsize=4)
def cleaner_of(settings_json: str) -> Cleaner:
    """The cleaner of some settings, its patterns compiled once a process."""
    return Cleaner(CleaningSettings.model_validate_json(settings_json))


def text_cleaner(settings: CleaningSettings) -> Callable[[Batches], Batches]:
    """A batch function from raw texts to clean ones; the patterns are compiled once per worker."""
    settings_json = settings.model_dump_json()

    def clean(batches: Batches) -> Batches:
        for batch in batches:
            yield clean_batch(batch, cleaner_of(settings_json))

    return clean


def clean_batch(batch: pa.RecordBatch, cleaner: Cleaner) -> pa.RecordBatch:
    """Clean one batch. A null `text_b` stays null; what the rules say is about the first text."""
    texts = [cleaner.clean(text) for text in batch.column("text").to_pylist()]
    others = [None if text is None else cleaner.clean(text) for text in batch.column("text_b").to_pylist()]
    hashes = [digests.of_text(text, other) for text, other in zip(texts, others, strict=True)]
    settled = [
        [{"task": s.task, "label": s.label, "outcome": s.outcome, "rule": s.rule} for s in cleaner.settle(text)]
        for text in texts
    ]
    columns = {name: batch.column(name) for name in _CARRIED}
    columns |= {
        "text": pa.array(texts, pa.string()),
        "text_b": pa.array(others, pa.string()),
        "text_hash": pa.array(hashes, pa.string()),
        "length": pa.array([len(text) for text in texts], pa.int32()),
        "event_time": batch.column("event_time"),
        "clean_version": pa.repeat(pa.scalar(cleaner.version), len(texts)),
        "settled": pa.array(settled, SETTLED),
    }
    return pa.RecordBatch.from_pydict(columns)
