"""A teacher's network as an ONNX graph, in floats or with weights of 8 bits."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn

from models.errors import BundleError
from models.export.torch_export import to_graph
from models.teachers.pooling import logits_and_states

OUTPUTS = ("logits", "state")
_LARGEST = 2 << 30
"""Bytes of a graph: protobuf holds no more."""


class _LogitsAndState(nn.Module):
    """A teacher as it is scored with: its logits and the pooled state."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, **inputs: Tensor) -> tuple[Tensor, Tensor]:
        return logits_and_states(self.model, inputs)


def teacher_graph(model: Any, *, types: bool) -> bytes:
    """The graph from what `inputs_of` makes, of any number of texts of any length, to `OUTPUTS`.

    Args:
        model: A classifier of Transformers, on the CPU, in evaluation mode.
        types: Whether it reads which text of a pair a token is of.

    Raises:
        BundleError: torch cannot draw this network, or it is larger than a graph can be.
    """
    size = sum(weights.numel() * weights.element_size() for weights in model.parameters())
    if size >= _LARGEST:
        raise BundleError(f"a teacher of {size / 2**30:.1f} GiB is no ONNX graph in one file, which holds less than 2")
    shape = (3, 7)
    example = {
        "input_ids": torch.ones(shape, dtype=torch.int64),
        "attention_mask": torch.ones(shape, dtype=torch.int64),
    }
    if types:
        example["token_type_ids"] = torch.zeros(shape, dtype=torch.int64)
    try:
        with _plain_attention(model), torch.no_grad():
            graph = to_graph(_LogitsAndState(model).eval(), example, OUTPUTS)
    except Exception as error:  # the exporter's errors have no common base
        raise BundleError(f"torch draws no ONNX graph of a {type(model).__name__} ({type(error).__name__})") from error
    return bytes(graph.SerializeToString(deterministic=True))


def with_small_weights(graph: bytes) -> bytes:
    """The graph with weights of 7 bits a channel and activations of 8 bits a tensor, chosen as it runs.

    7 bits, because pairs of products are added up in 16 bits where a processor has no VNNI, and would overflow.
    """
    model = onnx.load_from_string(graph)
    del model.graph.value_info[:]  # the exporter's shapes of weights that are transposed here would contradict
    with tempfile.TemporaryDirectory() as folder, _quiet():
        smaller = Path(folder) / "smaller.onnx"
        quantize_dynamic(
            model, smaller, op_types_to_quantize=["MatMul", "Gemm"], per_channel=True, reduce_range=True,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True, "DefaultTensorType": onnx.TensorProto.FLOAT},
        )  # fmt: skip
        return smaller.read_bytes()


@contextmanager
def _plain_attention(model: Any) -> Iterator[None]:
    """Attention as products and a softmax, which ONNX has; as before afterwards."""
    before: str | Mapping[str, str] = model.config._attn_implementation
    model.set_attn_implementation("eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """The quantiser warns of every tensor whose type it has to take for granted."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
