"""A trained TextCNN or BOW as tables, and the ONNX graph that looks them up; its bytes depend on the numbers alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import TensorProto
from torch import nn

from models.export.onnx_graph import END, INPUTS, Graph
from models.serving.bundle import Precision
from models.serving.folded_tables import BIAS, DTYPES, HEAD, HEAD_BIAS, SCALE, Folded, head_room, table_name
from models.students.bow import BOW
from models.students.textcnn import TextCNN
from models.tasks import TaskKind


def fold(student: TextCNN | BOW) -> Folded:
    """Each filter's response to each character at each place of its window, PAD's included; summed in doubles."""
    vectors = student.embedding.weight.detach().double()
    widths: tuple[int, ...] = (1,)
    if isinstance(student, BOW):
        layers = [(student.layer.weight.detach().double(), student.layer.bias.detach())]
    else:
        filters = [(layer.weight.detach().double(), layer.bias.detach()) for layer in student.filters]  # type: ignore[operator]
        layers, widths = filters, student.widths
    many, size = len(layers[0][0]), vectors.shape[1]

    def places(weight: torch.Tensor, width: int) -> tuple[NDArray[np.float32], ...]:
        by_place = weight.view(many, width, size).unbind(1)
        return tuple((vectors @ at_place.T).float().numpy() for at_place in by_place)

    return Folded(
        widths,
        many,
        tuple(places(weight, width) for (weight, _), width in zip(layers, widths, strict=True)),
        np.ones(many * len(layers), np.float32),
        torch.cat([bias for _, bias in layers]).numpy(),
        *_head(student.head),
        "sum" if isinstance(student, BOW) else "max",
    )


def _head(head: nn.Module) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """The last layer; nothing of a student that is one of a pair."""
    if isinstance(head, nn.Linear):
        return head.weight.detach().numpy(), head.bias.detach().numpy()
    return np.zeros((0, 0), np.float32), np.zeros(0, np.float32)


def quantised(folded: Folded, precision: Precision) -> Folded:
    """The same with tables of integers: each filter's largest number becomes the largest that leaves head-room."""
    if precision == "float32":
        return folded
    tables, scales = [], []
    for width, places in zip(folded.widths, folded.tables, strict=True):
        limit = head_room(precision, width)
        largest = np.max([np.abs(table).max(axis=0) for table in places], axis=0).astype(np.float64)
        scale = np.where(largest > 0, largest / limit, 1).astype(np.float32)  # a filter without numbers stays without
        steps = [np.rint(table / scale.astype(np.float64)).clip(-limit, limit) for table in places]
        tables.append(tuple(step.astype(DTYPES[precision]) for step in steps))
        scales.append(scale)
    return replace(folded, tables=tuple(tables), scale=np.concatenate(scales))


def folded_graph(folded: Folded, precision: Precision, outcome: TaskKind = "multi_label") -> bytes:
    """The served graph: ids (batch, length) and lengths (batch,) to probabilities (batch, labels)."""
    graph = Graph()
    features = folded_features(graph, folded, precision, *INPUTS)
    return graph.finished(features, HEAD, folded.head, HEAD_BIAS, folded.head_bias, outcome)


def folded_features(graph: Graph, folded: Folded, precision: Precision, ids: str, lengths: str) -> str:
    """The nodes from ids (batch, length) and lengths (batch,) to features (batch, width), which are named.

    A text is as long as its characters, but at least as long as the widest filter. Windows that end beyond it are
    masked in floating point: by minus infinity, which is absorbing for a maximum, or by 0 for a sum; whole numbers
    would wrap round.
    """
    min_length = max(folded.widths)
    if folded.pooling == "sum":
        (table,) = folded.tables[0]
        looked_up = graph.add("Gather", graph.constant(table_name(1, 0), table), ids)
        if precision != "float32":
            looked_up = graph.add("Cast", looked_up, to=TensorProto.FLOAT)
        masked = graph.masked(looked_up, ids, lengths, min_length, 0.0)
        responses = graph.add("ReduceSum", masked, graph.number(1), keepdims=0)
    else:
        mask = graph.mask(ids, lengths, min_length)
        responses = graph.add(
            "Concat",
            *[
                _strongest(graph, ids, width, places, mask, precision)
                for width, places in zip(folded.widths, folded.tables, strict=True)
            ],
            axis=1,
        )
    if precision != "float32":
        responses = graph.add("Mul", responses, graph.constant(SCALE, folded.scale))
    return graph.add("Relu", graph.add("Add", responses, graph.constant(BIAS, folded.bias)))


def _strongest(
    graph: Graph, ids: str, width: int, places: tuple[NDArray[Any], ...], mask: str, precision: Precision
) -> str:
    """The largest responses of one width's filters, without scale and bias: (batch, filters)."""
    total = ""
    for place, table in enumerate(places):
        part = graph.slice(ids, place, place - width + 1 or END)
        part = graph.add("Gather", graph.constant(table_name(width, place), table), part)
        if precision == "int8":  # whose sums need more bits
            part = graph.add("Cast", part, to=TensorProto.INT16)
        total = graph.add("Add", total, part) if total else part
    if precision != "float32":
        total = graph.add("Cast", total, to=TensorProto.FLOAT)
    # A window is the text's own if its last character is.
    masked = graph.add("Add", total, graph.slice(mask, width - 1, END))
    return graph.add("ReduceMax", masked, graph.number(1), keepdims=0)
