"""A torch module as an ONNX graph with free sizes; the same module always gives the same bytes."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import onnx
import torch
from torch import Tensor, nn

from models.errors import BundleError
from models.export.onnx_graph import OPSET


def to_graph(module: nn.Module, example: Mapping[str, Tensor], outputs: Sequence[str]) -> onnx.ModelProto:
    """The graph of a module in evaluation mode; every dimension of its inputs is free.

    Args:
        module: What is called by keywords.
        example: Its inputs, by name: of sizes unlike 0 and 1 (which the exporter takes for constants) and unlike each
            other.
        outputs: What its results are called.

    Raises:
        BundleError: torch makes no graph.
    """
    free = torch.export.Dim.DYNAMIC
    with _quiet():
        program = torch.onnx.export(
            module,
            kwargs=dict(example),
            input_names=list(example),
            output_names=list(outputs),
            dynamic_shapes={name: dict.fromkeys(range(value.ndim), free) for name, value in example.items()},
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    if program is None:
        raise BundleError("export: torch made no ONNX program, expected one; install onnxscript")
    model = program.model_proto
    _drop_traces(model)
    return model


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
