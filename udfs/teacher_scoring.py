"""Scoring with a teacher on the executors: whole buckets, in batches of like length: a resumed run is bit-equal."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa

from models.errors import BundleError
from udfs.ahead import Item, made_ahead
from udfs.list_arrays import FLOAT_LIST, to_lists
from udfs.model_files import ModelFiles

if TYPE_CHECKING:
    from models.teachers.batch_scoring import TextScores
    from models.teachers.text_scorer import Prepared, TextScorer

TEACHER_SCORES = pa.schema([
    ("model_id", pa.string()), ("text_hash", pa.string()), ("bucket", pa.int32()),
    ("logits", FLOAT_LIST), ("cls", FLOAT_LIST), ("projection_version", pa.string()),
    ("error", pa.string()), ("computed_by", pa.string()),
])  # fmt: skip
"""The columns of a teacher's scores. Of a text with an `error` the lists are empty."""
PROJECTION_SEED = 20260301

Batches = Iterator[pa.RecordBatch]
Gpus: TypeAlias = Callable[[], Sequence[str]]
"""Tells, on the executor, the addresses of the GPUs that a task was given."""

_BUCKETS_AHEAD = 2


@dataclass(frozen=True, slots=True)
class Compute:
    """By what a teacher scores. The driver decides it, so that all tasks of a run, and of its restart, do alike.

    Attributes:
        device: Where.
        engine: By what.
        precision: Of the large matrix products.
        tokens: Of a batch, padding included.
    """

    device: Literal["cpu", "cuda"] = "cpu"
    engine: Literal["torch", "onnxruntime"] = "torch"
    precision: Literal["float32", "bfloat16", "int8"] = "float32"
    tokens: int = 512

    def named(self, tokens: int) -> str:
        """What `computed_by` says of scores that were made in batches of so many tokens."""
        return f"{self.engine} {self.device} {self.precision} {tokens}"


@dataclass(frozen=True, slots=True)
class Bucket:
    """The texts that are scored together."""

    number: int
    hashes: list[str]
    texts: list[str]
    second: list[str] | None


_OPEN: dict[tuple[Path, str, Compute, tuple[str, ...]], TextScorer] = {}


def scorer_of(folder: Path, digest: str, compute: Compute, gpus: Sequence[str] = (), threads: int = 1) -> TextScorer:
    """A teacher, opened once a process, and the one before let go: a worker outlives the runs that it serves.

    Raises:
        BundleError: Its content has another digest.
        EnvError: A GPU is asked for and there is none.
    """
    key = (folder, digest, compute, tuple(gpus))
    if key not in _OPEN:
        _OPEN.clear()
        _OPEN[key] = _opened(folder, digest, compute, gpus, threads)
    return _OPEN[key]


def _opened(folder: Path, digest: str, compute: Compute, gpus: Sequence[str], threads: int) -> TextScorer:
    import torch

    from models.teachers.teacher import Teacher
    from models.teachers.torch_runner import TorchRunner
    from models.training.devices import scoring_device

    where = scoring_device(compute.device, gpus)
    if threads > 1:  # a GPU waits for token ids: the cores that its task has beside it make them
        os.environ["RAYON_NUM_THREADS"] = str(threads)
        os.environ["TOKENIZERS_PARALLELISM"] = "true"
    if compute.device == "cpu":
        torch.set_num_threads(1)  # a task has one core; the executors' other cores have tasks of their own
    if compute.engine == "onnxruntime":
        from models.teachers.sealed_graph import open_graph

        return open_graph(folder, digest, compute.tokens)
    teacher = Teacher.open(folder, where)
    if teacher.digest != digest:
        raise BundleError(
            f"{folder}: its content has the digest {teacher.digest[:12]}…, its row in models says {digest[:12]}…; "
            "copy the teacher again or train it again"
        )
    assert compute.precision != "int8"  # which is a graph's
    return teacher.scorer(TorchRunner(teacher.model, teacher.tokenizer, compute.precision), compute.tokens)


def teacher_scorer(
    files: ModelFiles, model_id: str, digest: str, compute: Compute, *, projection: int, pairs: bool = False,
    gpus: Gpus | None = None, threads: int = 1,
) -> Callable[[Batches], Batches]:  # fmt: skip
    """A batch function from (text_hash, bucket, text) sorted by bucket, length and hash to `TEACHER_SCORES`.

    The files are the teacher's, or for ONNX Runtime those of its sealed graph; the digest is the teacher's in both. Of
    `pairs` the batches also have `text_b`.

    A bucket is scored as a whole, whatever the sizes of the Arrow batches it comes in: which texts share a forward
    pass, and so the last bits of their logits, depends on the bucket's texts alone, and on `compute`. Only where a
    batch did not fit the memory are the following ones smaller; `computed_by` tells it. A text that cannot be scored
    has an `error`. A worker that opens a teacher of another digest raises `BundleError`, one without the GPU that is
    asked for `EnvError`.
    """

    def score(batches: Batches) -> Batches:
        given = tuple(gpus()) if gpus is not None else ()

        def opened() -> TextScorer:
            return scorer_of(files.local(), digest, compute, given, threads)

        yield from score_batches(batches, opened, model_id, compute, projection=projection, pairs=pairs)

    return score


def score_batches(
    batches: Batches, opened: Callable[[], TextScorer], model_id: str, compute: Compute, *, projection: int,
    pairs: bool = False,
) -> Batches:  # fmt: skip
    """What `teacher_scorer`'s function gives, by what `opened` opens; it is called with the first bucket, and on."""

    def prepared() -> Iterator[tuple[Bucket, Prepared]]:
        for bucket in buckets(batches, pairs):
            yield bucket, opened().prepare(bucket.texts, bucket.second)

    def computed() -> Iterator[tuple[Bucket, TextScores, str]]:
        for bucket, tokens in ahead(prepared()):
            scorer = opened()
            scores = scorer.score(tokens)
            yield bucket, scores, compute.named(scorer.budget.tokens)

    def ahead(items: Iterator[Item]) -> Iterator[Item]:
        # So that a GPU waits neither for ids nor for whoever takes the rows; a CPU's task has one core for all.
        return made_ahead(items, _BUCKETS_AHEAD) if compute.device == "cuda" else items

    for bucket, scores, computed_by in ahead(computed()):
        yield scored(bucket, scores, model_id, computed_by, projection)


def scored(bucket: Bucket, scores: TextScores, model_id: str, computed_by: str, projection: int) -> pa.RecordBatch:
    """The rows of a bucket, in its order."""
    from models.teachers.projection import PROJECTION_VERSION, project

    rows = len(bucket.hashes)
    errors = [scores.reasons.get(row) for row in range(rows)]
    good = np.array([error is None for error in errors], np.bool_)
    columns: dict[str, Any] = {
        "model_id": [model_id] * rows,
        "text_hash": bucket.hashes,
        "bucket": [bucket.number] * rows,
        "logits": _lists(scores.logits, good),
        "cls": _lists(project(scores.states, projection, PROJECTION_SEED), good),
        "projection_version": [PROJECTION_VERSION] * rows,
        "error": errors,
        "computed_by": [computed_by] * rows,
    }
    return pa.RecordBatch.from_pydict(columns, TEACHER_SCORES)


def _lists(values: np.ndarray, good: np.ndarray) -> pa.Array:
    if good.all():
        return to_lists(values, ~good)
    return pa.array([row if fine else [] for row, fine in zip(values, good, strict=True)], FLOAT_LIST)


def buckets(batches: Batches, pairs: bool) -> Iterator[Bucket]:
    """The buckets of sorted batches, each whole."""
    current: Bucket | None = None
    for batch in batches:
        numbers = batch.column("bucket").to_numpy(zero_copy_only=False)
        starts = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist()] if len(numbers) else []
        for start, end in zip(starts, [*starts[1:], len(numbers)], strict=False):
            part, number = batch.slice(start, end - start), int(numbers[start])
            if current is None or current.number != number:
                if current is not None:
                    yield current
                current = Bucket(number, [], [], [] if pairs else None)
            current.hashes.extend(part.column("text_hash").to_pylist())
            current.texts.extend(part.column("text").to_pylist())
            if current.second is not None:
                current.second.extend(part.column("text_b").to_pylist())
    if current is not None:
        yield current
