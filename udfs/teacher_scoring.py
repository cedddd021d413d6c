"""Scoring with a teacher on the executors: whole buckets, in fixed batches, so that a resumed run is bit-equal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from models.errors import BundleError
from udfs.model_files import ModelFiles

if TYPE_CHECKING:
    from models.teachers.teacher import Teacher

TEACHER_SCORES = pa.schema([
    ("model_id", pa.string()), ("text_hash", pa.string()), ("bucket", pa.int32()),
    ("logits", pa.list_(pa.float32())), ("cls", pa.list_(pa.float32())), ("projection_version", pa.string()),
])  # fmt: skip
"""The columns of a teacher's scores."""
PROJECTION_SEED = 20260301

Batches = Iterator[pa.RecordBatch]


@lru_cache(maxsize=2)
def _teacher(folder: Path, digest: str) -> Teacher:
    import torch

    from models.teachers.teacher import Teacher

    torch.set_num_threads(1)  # a task has one core; the executors' other cores have tasks of their own
    teacher = Teacher.open(folder)
    if teacher.digest != digest:
        raise BundleError(
            f"{folder}: its content has the digest {teacher.digest[:12]}…, its row in models says {digest[:12]}…; "
            "copy the teacher again or train it again"
        )
    return teacher


def teacher_scorer(
    files: ModelFiles, model_id: str, digest: str, *, batch: int, projection: int, pairs: bool = False
) -> Callable[[Batches], Batches]:
    """A batch function from (text_hash, bucket, text) sorted by bucket, length and hash to `TEACHER_SCORES`.

    Of `pairs` the batches also have `text_b`.

    A bucket is scored as a whole, whatever the sizes of the Arrow batches it comes in: which texts share a forward
    pass, and so the last bits of their logits, depends on the bucket's texts alone. A worker that opens a teacher of
    another digest raises `BundleError`.
    """

    def score(batches: Batches) -> Batches:
        for bucket, hashes, texts, others in _buckets(batches, pairs):
            teacher, second = _teacher(files.local(), digest), others if pairs else None
            yield score_bucket(teacher, model_id, bucket, hashes, texts, second, batch=batch, projection=projection)

    return score


def score_bucket(
    teacher: Teacher,
    model_id: str,
    bucket: int,
    hashes: list[str],
    texts: list[str],
    others: list[str] | None,
    *,
    batch: int,
    projection: int,
) -> pa.RecordBatch:
    """Score the texts of one bucket, or pairs of them, in their order."""
    from models.teachers.projection import PROJECTION_VERSION, project

    logits, states = teacher.score(texts, second=others, batch=batch)
    projected = project(states, projection, PROJECTION_SEED)
    rows = len(hashes)
    columns: dict[str, Any] = {
        "model_id": [model_id] * rows,
        "text_hash": hashes,
        "bucket": [bucket] * rows,
        "logits": list(logits),
        "cls": list(projected),
        "projection_version": [PROJECTION_VERSION] * rows,
    }
    return pa.RecordBatch.from_pydict(columns, TEACHER_SCORES)


def _buckets(batches: Batches, pairs: bool) -> Iterator[tuple[int, list[str], list[str], list[str]]]:
    current: int | None = None
    hashes: list[str] = []
    texts: list[str] = []
    others: list[str] = []
    for batch in batches:
        for row in batch.to_pylist():
            if row["bucket"] != current and current is not None:
                yield current, hashes, texts, others
                hashes, texts, others = [], [], []
            current = row["bucket"]
            hashes.append(row["text_hash"])
            texts.append(row["text"])
            if pairs:
                others.append(row["text_b"])
    if current is not None:
        yield current, hashes, texts, others
