"""From a trained student to a sealed bundle: ONNX graph, parity check, seal.

The check comes before the seal: a student whose graph answers otherwise than its network never leaves here.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models import digests
from models.bundle import BundleFacts, Parity, seal
from models.engine import session_of
from models.errors import BundleError
from models.training.students import Student
from models.vocabulary import Vocabulary

OPSET = 20
TOLERANCE = 1e-4  # largest difference of a probability between network and graph
BATCHES = (1, 2, 7, 64)
INPUTS = ("ids", "lengths")
OUTPUT = "probabilities"


class _Probabilities(nn.Module):
    """A student as it is served: its logits through a sigmoid, nothing else."""

    def __init__(self, student: Student) -> None:
        super().__init__()
        self.student = student

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        logits, _ = self.student(ids, lengths)
        return torch.sigmoid(logits)


def export_student(
    student: Student,
    *,
    folder: Path,
    task: str,
    kind: str,
    labels: tuple[str, ...],
    vocabulary: Vocabulary,
    max_length: int,
    clean_version: str,
    model_id: str | None = None,
    extra: Mapping[str, Any] | None = None,
) -> Path:
    """Export a student and seal it.

    Args:
        student: The trained network; comes back on the CPU and in evaluation mode.
        folder: Where the bundle shall be; may exist if it holds the same.
        task: The task's name.
        kind: The student's kind, as in the settings.
        labels: Label names in the order of the logits.
        vocabulary: What the student's ids mean.
        max_length: Texts were cut to this many characters.
        clean_version: Version of the cleaner whose texts it learnt from.
        model_id: Name of the model; None makes it from the content (`model_id_of`).
        extra: Lineage for the manifest, JSON-like.

    Returns:
        `folder`.

    Raises:
        BundleError: The graph cannot be made, differs from the network, or `folder` holds another bundle.
    """
    student = student.cpu().eval()
    if len(labels) != student.labels:
        raise BundleError(f"{folder}: got {len(labels)} label names, the student has {student.labels} logits")
    model = to_onnx(student)
    facts = BundleFacts(
        model_id=model_id or model_id_of(student, task=task, kind=kind, labels=labels, vocabulary=vocabulary),
        task=task,
        kind=kind,
        labels=labels,
        max_length=max_length,
        min_length=student.min_length,
        clean_version=clean_version,
        opset=OPSET,
        parity=check_parity(student, model, vocabulary_size=len(vocabulary), max_length=max_length, where=str(folder)),
        extra=dict(extra or {}),
    )
    return seal(folder, model=model, vocabulary=vocabulary, facts=facts)


def model_id_of(student: Student, *, task: str, kind: str, labels: tuple[str, ...], vocabulary: Vocabulary) -> str:
    """task/kind/digest of weights, labels and vocabulary: equal models get equal names."""
    weights = {
        name: digests.of_bytes(tensor.detach().cpu().contiguous().numpy().tobytes())
        for name, tensor in student.state_dict().items()
    }
    content = {"weights": weights, "labels": labels, "vocabulary": vocabulary.digest}
    return f"{task}/{kind}/{digests.of_json(content, chars=12)}"


def to_onnx(student: Student) -> bytes:
    """The served graph, with free batch and length; the same student always gives the same bytes."""
    # Sizes unlike 0 and 1 (which the exporter takes for constants) and unlike each other.
    example = (torch.zeros(3, student.min_length + 5, dtype=torch.int64), torch.tensor([1, 4, 7]))
    free = torch.export.Dim.DYNAMIC
    with _quiet():
        program = torch.onnx.export(
            _Probabilities(student).eval(),
            example,
            input_names=INPUTS,
            output_names=(OUTPUT,),
            dynamic_shapes=({0: free, 1: free}, {0: free}),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise BundleError("export: torch made no ONNX program, expected one; install onnxscript")
    model = program.model_proto
    _drop_traces(model)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))


def check_parity(
    student: Student,
    model: bytes,
    *,
    vocabulary_size: int,
    max_length: int,
    where: str,
    tolerance: float = TOLERANCE,
) -> Parity:
    """Compare network and graph on random texts over a grid of batch sizes and lengths.

    Every batch size meets every length, and a mixture of all lengths. The texts depend on the arguments only.

    Raises:
        BundleError: A probability differs by more than `tolerance` or is not a number; the message starts
            with `where` and names the batch.
    """
    session = session_of(model)
    random = np.random.default_rng(0)
    widest = student.min_length
    lengths = tuple(sorted({1, max(widest - 1, 1), widest, 5, 24, max(max_length, widest)}))
    worst = 0.0
    for batch, length in itertools.product(BATCHES, (*lengths, 0)):
        # Length 0 stands for the mixture, which has an empty text in it where there is room.
        sizes = random.choice([0, *lengths], batch) if length == 0 else np.full(batch, length)
        ids, sizes = _random_batch(sizes.astype(np.int64), widest, vocabulary_size, random)
        difference = _difference(student, session, ids, sizes)
        if not difference <= tolerance:
            raise BundleError(
                f"{where}: network and ONNX graph differ by {difference:.2g} in a batch of {batch} texts of "
                f"{length or 'mixed'} characters, expected at most {tolerance:g}; nothing was sealed: "
                "look for an operation whose result depends on the shape of the batch"
            )
        worst = max(worst, difference)
    return Parity(max_difference=worst, grid={"batches": BATCHES, "lengths": lengths})


def _random_batch(
    lengths: NDArray[np.int64], at_least: int, vocabulary_size: int, random: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    ids = random.integers(1, vocabulary_size, (len(lengths), max(int(lengths.max()), at_least)))
    ids[np.arange(ids.shape[1]) >= lengths[:, None]] = 0
    return ids, lengths


def _difference(student: Student, session: Any, ids: NDArray[np.int64], lengths: NDArray[np.int64]) -> float:
    with torch.inference_mode():
        wanted = torch.sigmoid(student(torch.from_numpy(ids), torch.from_numpy(lengths))[0]).numpy()
    try:
        got = session.run([OUTPUT], dict(zip(INPUTS, (ids, lengths), strict=True)))[0]
    except Exception:  # onnxruntime's errors have no common base; a batch that cannot be run has no parity
        return float("inf")
    if got.shape != wanted.shape:
        return float("inf")
    return float(np.abs(got - wanted).max())


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter warns of every optional package it could have translated; none of them is ours."""
    logger = logging.getLogger("torch.onnx")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _drop_traces(model: onnx.ModelProto) -> None:
    """Remove what the exporter notes about source lines and paths: it differs between machines."""
    del model.metadata_props[:]
    model.producer_version = ""
    model.doc_string = ""
    graph = model.graph
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.doc_string = ""
        if hasattr(part, "metadata_props"):
            del part.metadata_props[:]
