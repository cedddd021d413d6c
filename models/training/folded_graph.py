"""A trained TextCNN as tables, and the ONNX graph that looks them up; its bytes depend on the numbers alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models.bundle import Precision
from models.folded import BIAS, DTYPES, HEAD, HEAD_BIAS, SCALE, Folded, head_room, table_name
from models.tasks import TaskKind
from models.training.students import TextCNN

OPSET = 20
IR_VERSION = 10  # fixed, so that another version of onnx writes the same bytes
INPUTS = ("ids", "lengths")
OUTPUT = "probabilities"
_END = np.iinfo(np.int64).max  # of a slice: up to the end


def fold(student: TextCNN) -> Folded:
    """Each filter's answer to each character at each place of its window, PAD's included; summed in doubles."""
    vectors = student.embedding.weight.detach().double()
    layers = [(layer.weight.detach().double(), layer.bias.detach()) for layer in student.filters]  # type: ignore[operator]
    filters, size = len(layers[0][0]), vectors.shape[1]

    def places(weight: torch.Tensor, width: int) -> tuple[NDArray[np.float32], ...]:
        by_place = weight.view(filters, width, size).unbind(1)
        return tuple((vectors @ own.T).float().numpy() for own in by_place)

    return Folded(
        student.widths,
        filters,
        tuple(places(weight, width) for (weight, _), width in zip(layers, student.widths, strict=True)),
        np.ones(filters * len(layers), np.float32),
        torch.cat([bias for _, bias in layers]).numpy(),
        student.head.weight.detach().numpy(),
        student.head.bias.detach().numpy(),
    )


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
    """The served graph: ids (batch, length) and lengths (batch,) to probabilities (batch, labels).

    A text is as long as its characters, but at least as long as the widest filter. Windows that end beyond it are
    masked by minus infinity in floating point, where it is absorbing; whole numbers would wrap round.
    """
    graph = _Graph()
    mask = graph.mask(max(folded.widths))
    maxima = [
        graph.strongest(width, places, mask, precision)
        for width, places in zip(folded.widths, folded.tables, strict=True)
    ]
    answers = graph.add("Concat", *maxima, axis=1)
    if precision != "float32":
        answers = graph.add("Mul", answers, graph.constant(SCALE, folded.scale))
    answers = graph.add("Relu", graph.add("Add", answers, graph.constant(BIAS, folded.bias)))
    head, head_bias = graph.constant(HEAD, folded.head), graph.constant(HEAD_BIAS, folded.head_bias)
    logits = graph.add("Gemm", answers, head, head_bias, transB=1)
    if outcome == "multi_label":
        graph.add("Sigmoid", logits, output=OUTPUT)
    else:
        graph.add("Softmax", logits, output=OUTPUT, axis=1)
    return graph.model(len(folded.head))


class _Graph:
    """Nodes and constants in the order they were added, named by number."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, onnx.TensorProto] = {}

    def add(self, kind: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """A node; the name of what it gives."""
        name = output or f"{kind.lower()}.{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """A constant; its name."""
        little = np.ascontiguousarray(value, value.dtype.newbyteorder("<"))
        self.constants.setdefault(name, numpy_helper.from_array(little, name))
        return name

    def number(self, value: int, *, shape: tuple[int, ...] = (1,)) -> str:
        """A whole number as a constant."""
        name = f"number.{'end' if value == _END else value}{'.scalar' if shape == () else ''}"
        return self.constant(name, np.full(shape, value, np.int64))

    def slice(self, name: str, begin: int, end: int) -> str:
        """`name[:, begin:end]`."""
        return self.add("Slice", name, self.number(begin), self.number(end), self.number(1))

    def mask(self, least: int) -> str:
        """(batch, length, 1): 0 at a text's own characters and fillings, minus infinity beyond."""
        ids, lengths = INPUTS
        length = self.add("Squeeze", self.add("Shape", ids, start=1, end=2))
        columns = self.add("Range", self.number(0, shape=()), length, self.number(1, shape=()))
        ends = self.add("Unsqueeze", self.add("Max", lengths, self.number(least)), self.number(1))
        own, beyond = (
            self.constant(name, np.float32(value).reshape(1)) for name, value in (("own", 0), ("beyond", -np.inf))
        )
        return self.add("Unsqueeze", self.add("Where", self.add("Less", columns, ends), own, beyond), self.number(2))

    def strongest(self, width: int, places: tuple[NDArray[Any], ...], mask: str, precision: Precision) -> str:
        """The strongest answers of one width's filters, without scale and bias: (batch, filters)."""
        total = ""
        for place, table in enumerate(places):
            ids = self.slice(INPUTS[0], place, place - width + 1 or _END)
            part = self.add("Gather", self.constant(table_name(width, place), table), ids)
            if precision == "int8":  # whose sums need more bits
                part = self.add("Cast", part, to=TensorProto.INT16)
            total = self.add("Add", total, part) if total else part
        if precision != "float32":
            total = self.add("Cast", total, to=TensorProto.FLOAT)
        # A window is the text's own if its last character is.
        masked = self.add("Add", total, self.slice(mask, width - 1, _END))
        return self.add("ReduceMax", masked, self.number(1), keepdims=0)

    def model(self, labels: int) -> bytes:
        """The whole as an ONNX file."""
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.INT64, shape)
            for name, shape in zip(INPUTS, (["batch", "length"], ["batch"]), strict=True)
        ]
        output = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", labels])
        graph = helper.make_graph(self.nodes, "folded", inputs, [output], list(self.constants.values()))
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))
