"""A TextCNN or BOW as tables: what a sealed folded graph holds, read and checked.

A filter's response to a window is linear in its characters: the sum, over the window's places, of a number that depends
on the character and the place alone. Those numbers are the tables; they replace the embedding and the convolution.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.errors import BundleError
from models.serving.bundle import Folding, Precision
from models.serving.onnx_initializers import read_initializers

SCALE, BIAS, HEAD, HEAD_BIAS = "scale", "bias", "head.weight", "head.bias"
DTYPES: Mapping[Precision, np.dtype[Any]] = {
    "int16": np.dtype("<i2"), "int8": np.dtype("<i1"), "float32": np.dtype("<f4"),
}  # fmt: skip
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Folded:
    """The numbers of a folded graph.

    Attributes:
        widths: Characters in a window, by filter width.
        filters: Filters of each width.
        tables: By width and place in the window: (vocabulary, filters), int16, int8 or float32.
        scale: (widths * filters,), what one step of a filter's tables is worth; ones for float tables.
        bias: (widths * filters,).
        head: (labels, widths * filters), the last layer.
        head_bias: (labels,).
        pooling: What is kept of a filter's responses to a text's windows: the largest, or their sum (width 1 alone).
    """

    widths: tuple[int, ...]
    filters: int
    tables: tuple[tuple[NDArray[Any], ...], ...]
    scale: Floats
    bias: Floats
    head: Floats
    head_bias: Floats
    pooling: Literal["max", "sum"] = "max"


def table_name(width: int, place: int) -> str:
    """What the graph calls the table of one place in the windows of one width."""
    return f"table.{width}.{place}"


def head_room(precision: Precision, width: int) -> int:
    """The largest number of a table of integers: the sum over a window still fits 16 bits."""
    return 127 if precision == "int8" else 32767 // width


def read_folded(model: bytes, folding: Folding, *, vocabulary_size: int, labels: int, where: str) -> Folded:
    """The numbers of a folded graph, each checked for name, type, shape and range.

    Args:
        model: The ONNX file.
        folding: What its manifest says of it.
        vocabulary_size: Ids the student knows.
        labels: Probabilities a text.
        where: What errors call the file.

    Raises:
        BundleError: A constant is missing, of another type or shape, out of range, or not a number; it is named.
    """
    if folding.pooling == "sum" and folding.widths != (1,):
        raise BundleError(f"{where}: sums over windows of {folding.widths}, expected (1,); export the model again")
    initializers = read_initializers(model, where)
    width_filters = len(folding.widths) * folding.filters

    def take(name: str, kind: np.dtype[Any], *shape: int) -> NDArray[Any]:
        return _checked(initializers, name, kind, shape, where)

    def table(width: int, place: int) -> NDArray[Any]:
        name = table_name(width, place)
        numbers = take(name, DTYPES[folding.precision], vocabulary_size, folding.filters)
        if folding.precision != "float32":
            _check_room(numbers, head_room(folding.precision, width), f"{where}: initializer {name}")
        return numbers

    single = np.dtype("<f4")
    exact = folding.precision == "float32"
    return Folded(
        folding.widths,
        folding.filters,
        tuple(tuple(table(width, place) for place in range(width)) for width in folding.widths),
        np.ones(width_filters, single) if exact else take(SCALE, single, width_filters),
        take(BIAS, single, width_filters),
        take(HEAD, single, labels, width_filters),
        take(HEAD_BIAS, single, labels),
        folding.pooling,
    )


def _checked(
    initializers: Mapping[str, NDArray[Any]], name: str, kind: np.dtype[Any], shape: tuple[int, ...], where: str
) -> NDArray[Any]:
    if name not in initializers:
        raise BundleError(f"{where}: has no initializer {name}, which a folded graph needs; export the model again")
    numbers = initializers[name]
    if (numbers.dtype, numbers.shape) != (kind, shape):
        raise BundleError(
            f"{where}: initializer {name} is {numbers.dtype} of shape {numbers.shape}, "
            f"expected {kind} of shape {shape}; export the model again"
        )
    if not np.isfinite(numbers).all():
        raise BundleError(f"{where}: initializer {name} holds something that is no number; train the model again")
    return numbers


def _check_room(numbers: NDArray[Any], limit: int, where: str) -> None:
    """Larger numbers would wrap round in a sum of 16 bits, and turn a strong response into a weak one."""
    if numbers.max(initial=0) > limit or numbers.min(initial=0) < -limit:
        raise BundleError(f"{where} goes beyond ±{limit}, so that sums would overflow; export the model again")
