"""From a trained student to a sealed bundle: ONNX graph, parity checks, seal.

The checks come before the seal: a student whose graph differs from its network is never sealed.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from models import digests
from models.errors import BundleError
from models.export import parity
from models.export.folded_graph import fold, folded_graph, quantised
from models.export.network_graph import can_draw, network_graph
from models.export.onnx_graph import OPSET, OUTPUT
from models.export.parity import Grid
from models.export.torch_export import to_graph
from models.serving.bundle import BundleFacts, Folding, Parity, Precision, seal
from models.serving.onnx_engine import inference_session
from models.students.architectures import export_form
from models.students.bow import BOW
from models.students.student import Student, as_probabilities
from models.students.textcnn import TextCNN
from models.tasks import TaskKind
from models.text.word_vocabulary import AnyVocabulary

_log = logging.getLogger(__name__)


class _Probabilities(nn.Module):
    """A student as it is served: its logits as probabilities, nothing else."""

    def __init__(self, student: Student, outcome: TaskKind) -> None:
        super().__init__()
        self.student = student
        self.outcome = outcome

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        logits, _ = self.student(ids, lengths)
        return as_probabilities(logits, self.outcome)


def export_student(
    student: Student,
    *,
    folder: Path,
    task: str,
    kind: str,
    labels: tuple[str, ...],
    vocabulary: AnyVocabulary,
    max_length: int,
    clean_version: str,
    model_id: str | None = None,
    extra: Mapping[str, Any] | None = None,
    precision: Precision = "int16",
    outcome: TaskKind = "multi_label",
) -> Path:
    """Export a student and seal it: a TextCNN or BOW as tables, any other student as the graph of its network.

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
        outcome: The task's kind: how its logits become probabilities.
        precision: Of the tables; where integers change the probabilities too much, the bundle gets float tables.

    Returns:
        `folder`.

    Raises:
        BundleError: The graph cannot be made, differs from the network, or `folder` holds another bundle.
    """
    student = student.cpu().eval()
    if len(labels) != student.labels:
        raise BundleError(f"{folder}: got {len(labels)} label names, the student has {student.labels} logits")
    grid = Grid(len(vocabulary), student.min_length, max_length, outcome)
    if export_form(student) == "tables":
        assert isinstance(student, TextCNN | BOW)  # what `fold` knows
        model, compared, folding = _folded_form(student, grid, precision, str(folder))
    else:
        model, compared, folding = _network_form(student, grid, str(folder))
    facts = BundleFacts(
        model_id=model_id
        or model_id_of(student, task=task, kind=kind, labels=labels, vocabulary=vocabulary, precision=precision),
        task=task,
        kind=kind,
        labels=labels,
        outcome=outcome,
        max_length=max_length,
        min_length=student.min_length,
        clean_version=clean_version,
        opset=OPSET,
        parity=compared,
        folding=folding,
        extra=dict(extra or {}),
    )
    return seal(folder, model=model, vocabulary=vocabulary, facts=facts)


_Exported = tuple[bytes, Parity, Folding | None]


def _network_form(student: Student, grid: Grid, where: str) -> _Exported:
    model = network_graph(student, grid.outcome) if can_draw(student) else to_onnx(student, grid.outcome)
    network, graph = parity.network_scorer(student, grid.outcome), parity.session_scorer(inference_session(model))
    return model, parity.check_parity(grid, network, graph, where=where), None


def _folded_form(student: TextCNN | BOW, grid: Grid, precision: Precision, where: str) -> _Exported:
    """The graph with the tables asked for where it passes parity, else the one with float tables."""
    exact = fold(student)
    model = folded_graph(exact, "float32", grid.outcome)
    graph = parity.session_scorer(inference_session(model))
    compared = parity.check_parity(grid, parity.network_scorer(student, grid.outcome), graph, where=where)
    precision_loss = parity.Compared(0.0, "", 0.0, grid.compare(graph, graph).decisions)
    if precision != "float32":
        smaller = folded_graph(quantised(exact, precision), precision, grid.outcome)
        smaller_loss = grid.compare(graph, parity.session_scorer(inference_session(smaller)))
        if smaller_loss.difference <= parity.PRECISION_TOLERANCE and smaller_loss.changed <= parity.MAX_CHANGED:
            model, precision_loss = smaller, smaller_loss
        else:
            _log.warning(
                "%s: %s tables move a probability by %.2g and change %.2g of the decisions (allowed %g and %g): "
                "sealed with float tables",
                where, precision, smaller_loss.difference, smaller_loss.changed, parity.PRECISION_TOLERANCE,
                parity.MAX_CHANGED,
            )  # fmt: skip
            precision = "float32"
    folding = Folding(
        precision=precision,
        widths=exact.widths,
        filters=exact.filters,
        max_difference=precision_loss.difference,
        changed=precision_loss.changed,
        decisions=precision_loss.decisions,
        pooling=exact.pooling,
    )
    parity.check_engines(grid, model, folding, labels=student.labels, where=where)
    return model, compared, folding


def model_id_of(
    student: Student,
    *,
    task: str,
    kind: str,
    labels: tuple[str, ...],
    vocabulary: AnyVocabulary,
    precision: Precision = "int16",
) -> str:
    """task/kind/digest of weights, labels and vocabulary: equal models get equal names.

    So does the precision of the tables that were asked for, unless it is the usual one: it moves the scores.
    """
    weights = digests.of_weights(student.state_dict())
    content: dict[str, Any] = {"weights": weights, "labels": labels, "vocabulary": vocabulary.digest}
    if precision != "int16":
        content["precision"] = precision
    return f"{task}/{kind}/{digests.of_json(content, chars=12)}"


def to_onnx(student: Student, outcome: TaskKind = "multi_label") -> bytes:
    """The served graph, with free batch and length; the same student always gives the same bytes."""
    example = {"ids": torch.zeros(3, student.min_length + 5, dtype=torch.int64), "lengths": torch.tensor([1, 4, 7])}
    model = to_graph(_Probabilities(student, outcome).eval(), example, (OUTPUT,))
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))
