"""ONNX graphs by hand: nodes and constants in the order they were added, so that equal networks give equal bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from models.tasks import TaskKind
from models.text.vocabulary import SEPARATOR

OPSET = 20
IR_VERSION = 10  # fixed, so that another version of onnx writes the same bytes
INPUTS = ("ids", "lengths")
OUTPUT = "probabilities"
END = np.iinfo(np.int64).max  # of a slice: up to the end


class Graph:
    """A graph that grows node by node; what a node gives is named by its kind and number."""

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
        name = f"number.{'end' if value == END else value}{'.scalar' if shape == () else ''}"
        return self.constant(name, np.full(shape, value, np.int64))

    def slice(self, name: str, begin: int, end: int) -> str:
        """`name[:, begin:end]`."""
        return self.add("Slice", name, self.number(begin), self.number(end), self.number(1))

    def columns(self, ids: str) -> str:
        """0, 1, 2 and so on, as many as there are columns: (length,)."""
        length = self.add("Squeeze", self.add("Shape", ids, start=1, end=2))
        return self.add("Range", self.number(0, shape=()), length, self.number(1, shape=()))

    def inside(self, ids: str, lengths: str, min_length: int) -> str:
        """Bool (batch, length): True at a text's own characters, and its fillings up to `min_length`."""
        columns = self.columns(ids)
        ends = self.add("Unsqueeze", self.add("Max", lengths, self.number(min_length)), self.number(1))
        return self.add("Less", columns, ends)

    def mask(self, ids: str, lengths: str, min_length: int) -> str:
        """(batch, length, 1): 0 at a text's own characters and fillings, minus infinity beyond."""
        inside = self.inside(ids, lengths, min_length)
        zero, beyond = (
            self.constant(name, np.float32(value).reshape(1)) for name, value in (("own", 0), ("beyond", -np.inf))
        )
        return self.add("Unsqueeze", self.add("Where", inside, zero, beyond), self.number(2))

    def masked(self, name: str, ids: str, lengths: str, min_length: int, value: float) -> str:
        """`name` (batch, length, width) with this value beyond a text's own characters."""
        inside = self.add("Unsqueeze", self.inside(ids, lengths, min_length), self.number(2))
        return self.add("Where", inside, name, self.constant(f"beyond.{value}", np.float32(value).reshape(1)))

    def split(self, ids: str, lengths: str, min_length: int) -> tuple[tuple[str, str], tuple[str, str]]:
        """Rows of `first SEPARATOR second` as two of ids and lengths: `models.students.pair.split_pair`."""
        zero, one = self.number(0), self.number(1)
        pads = self.constant(f"pads.{min_length}", np.array([0, 0, 0, min_length], np.int64))
        wide = self.add("Pad", ids, pads, self.number(0, shape=()))
        columns = self.columns(wide)
        inside = self.add("Less", columns, self.add("Unsqueeze", lengths, one))
        separators = self.add("And", self.add("Equal", wide, self.number(SEPARATOR)), inside)
        counted = self.add("Cast", separators, to=TensorProto.INT64)
        there = self.add("Cast", self.add("ReduceMax", counted, one, keepdims=0), to=TensorProto.BOOL)
        at = self.add("Where", there, self.add("ArgMax", counted, axis=1, keepdims=0), lengths)
        rest = self.add("Max", self.add("Sub", self.add("Sub", lengths, at), one), zero)
        upright = self.add("Unsqueeze", at, one)
        last = self.add("Sub", self.add("Shape", wide, start=1, end=2), one)
        places = self.add("Min", self.add("Add", self.add("Add", columns, upright), one), last)
        shifted = self.add("GatherElements", wide, places, axis=1)
        first = self.add("Where", self.add("Less", columns, upright), wide, zero)
        second = self.add("Where", self.add("Less", columns, self.add("Unsqueeze", rest, one)), shifted, zero)
        return (first, at), (second, rest)

    def finished(
        self, features: str, head: str, weight: NDArray[Any], head_bias: str, bias: NDArray[Any], outcome: TaskKind
    ) -> bytes:
        """The last layer over the features, probabilities, and the whole as an ONNX file."""
        constants = self.constant(head, weight), self.constant(head_bias, bias)
        logits = self.add("Gemm", features, *constants, transB=1)
        if outcome == "multi_class":
            self.add("Softmax", logits, output=OUTPUT, axis=1)
        else:
            self.add("Sigmoid", logits, output=OUTPUT)
        inputs = [
            helper.make_tensor_value_info(name, TensorProto.INT64, shape)
            for name, shape in zip(INPUTS, (["batch", "length"], ["batch"]), strict=True)
        ]
        output = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", len(weight)])
        graph = helper.make_graph(self.nodes, "folded", inputs, [output], list(self.constants.values()))
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString(deterministic=True))
