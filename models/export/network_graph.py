"""The ONNX graphs of students that are no tables: recurrent ones, and pairs of any kind.

torch's exporter has no packed sequences; ONNX's LSTM and GRU take the texts' lengths as an input instead, so that the
way back begins at a text's own end, as in training.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import TensorProto
from torch import nn

from models.export.folded_graph import fold, folded_features
from models.export.onnx_graph import INPUTS, Graph
from models.serving.folded_tables import HEAD, HEAD_BIAS
from models.students.bow import BOW
from models.students.pair import Pair
from models.students.recurrent import Recurrent
from models.students.student import Student
from models.students.textcnn import TextCNN
from models.tasks import TaskKind

# Where torch has its gates, in ONNX's order: input, output, forget, cell; update, reset, new.
_GATES = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2)}


def can_draw(student: Student) -> bool:
    """Whether this module draws its graph; of a class derived from ours it does not, for that may compute otherwise."""
    return type(student) in {Recurrent, TextCNN, BOW} or (type(student) is Pair and can_draw(student.encoder))


def network_graph(student: Student, outcome: TaskKind) -> bytes:
    """The served graph: ids (batch, length) and lengths (batch,) to probabilities (batch, labels)."""
    graph = Graph()
    features = _features(graph, student, *INPUTS)
    return graph.finished(
        features, HEAD, student.head.weight.detach().numpy(), HEAD_BIAS, student.head.bias.detach().numpy(), outcome
    )


def _features(graph: Graph, student: Student, ids: str, lengths: str) -> str:
    if isinstance(student, Pair):
        parts = graph.split(ids, lengths, student.encoder.min_length)
        first, second = (_features(graph, student.encoder, *part) for part in parts)
        distance = graph.add("Abs", graph.add("Sub", first, second))
        return graph.add("Concat", first, second, distance, graph.add("Mul", first, second), axis=1)
    if isinstance(student, Recurrent):
        return _largest_states(graph, student, ids, lengths)
    assert isinstance(student, TextCNN | BOW)
    return folded_features(graph, fold(student), "float32", ids, lengths)


def _largest_states(graph: Graph, student: Recurrent, ids: str, lengths: str) -> str:
    effective = graph.add("Max", lengths, graph.number(1))
    embedded = graph.add("Gather", graph.constant("embedding", student.embedding.weight.detach().numpy()), ids)
    steps = graph.add("Transpose", embedded, perm=(1, 0, 2))  # ONNX counts time first
    kind = "LSTM" if isinstance(student.cell, nn.LSTM) else "GRU"
    weights = [graph.constant(f"cell.{name}", value) for name, value in _weights(student.cell, kind)]
    ends = graph.add("Cast", effective, to=TensorProto.INT32)
    options: dict[str, Any] = {"linear_before_reset": 1} if kind == "GRU" else {}  # torch's GRU
    states = graph.add(
        kind, steps, *weights, ends, direction="bidirectional", hidden_size=student.cell.hidden_size, **options
    )
    flat = graph.add("Reshape", graph.add("Transpose", states, perm=(2, 0, 1, 3)), graph.constant("flat", _FLAT))
    masked = graph.masked(flat, ids, lengths, 1, float("-inf"))
    return graph.add("ReduceMax", masked, graph.number(1), keepdims=0)


_FLAT = np.array([0, 0, -1], np.int64)  # (batch, length, ways, hidden) -> (batch, length, ways * hidden)


def _weights(cell: nn.RNNBase, kind: str) -> list[tuple[str, NDArray[np.float32]]]:
    """W, R and B of both ways, their gates in ONNX's order."""

    def ordered(name: str) -> torch.Tensor:
        parts = getattr(cell, name).detach().chunk(len(_GATES[kind]))
        return torch.cat([parts[at] for at in _GATES[kind]])

    ways = ("", "_reverse")
    stacked = {
        "input": torch.stack([ordered(f"weight_ih_l0{way}") for way in ways]),
        "state": torch.stack([ordered(f"weight_hh_l0{way}") for way in ways]),
        "bias": torch.stack([torch.cat([ordered(f"bias_ih_l0{way}"), ordered(f"bias_hh_l0{way}")]) for way in ways]),
    }
    return [(name, value.numpy()) for name, value in stacked.items()]
