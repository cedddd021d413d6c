"""Reads the constants of an ONNX file without the `onnx` package, which executors do not have.

Only what our own export writes is understood: tensors in the file itself, as raw little-endian bytes. The numbers of
the fields are those of `onnx.proto3` (https://github.com/onnx/onnx/blob/main/onnx/onnx.proto3).
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from models.errors import BundleError

_GRAPH, _INITIALIZER = 7, 5  # ModelProto.graph, GraphProto.initializer
_DIMS, _TYPE, _NAME, _RAW = 1, 2, 8, 9  # of TensorProto
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types of a field
_FIXED = {_FIXED64: 8, _FIXED32: 4}
_DTYPES: dict[int, np.dtype[Any]] = {1: np.dtype("<f4"), 3: np.dtype("<i1"), 5: np.dtype("<i2"), 7: np.dtype("<i8")}

_Field: TypeAlias = "tuple[int, Any]"  # the field's number, and its value: an int or a memoryview


def read_initializers(model: bytes, where: str) -> dict[str, NDArray[Any]]:
    """The graph's constants by name, as read-only views of `model`.

    Args:
        model: The whole ONNX file.
        where: What errors call the file.

    Raises:
        BundleError: The file is no ONNX model, or a constant is stored in another way; the message names it.
    """
    try:
        graph = b"".join(value for number, value in _fields(memoryview(model)) if number == _GRAPH)
        tensors = [list(_fields(value)) for number, value in _fields(memoryview(graph)) if number == _INITIALIZER]
    except (IndexError, ValueError, TypeError) as error:
        raise BundleError(f"{where}: not an ONNX model ({error}); export the model again") from None
    return dict(_tensor(fields, where) for fields in tensors)


def _tensor(fields: list[_Field], where: str) -> tuple[str, NDArray[Any]]:
    single = dict(fields)
    name = bytes(single.get(_NAME, b"")).decode("utf-8", "replace")
    raw, kind = single.get(_RAW), _DTYPES.get(single.get(_TYPE, 0))
    if kind is None or not isinstance(raw, memoryview):
        raise BundleError(f"{where}: initializer {name} is not stored as raw int8, int16, int64 or float32 numbers")
    shape = tuple(size for number, value in fields if number == _DIMS for size in _sizes(value))
    if prod(shape) * kind.itemsize != len(raw):
        raise BundleError(f"{where}: initializer {name} has {len(raw)} bytes, expected {kind} of shape {shape}")
    return name, np.frombuffer(raw, kind).reshape(shape)


def _sizes(value: int | memoryview) -> list[int]:
    """One dimension, or several packed together."""
    if isinstance(value, int):
        return [value]
    sizes, at = [], 0
    while at < len(value):
        size, at = _varint(value, at)
        sizes.append(size)
    return sizes


def _fields(data: memoryview) -> Iterator[_Field]:
    """Number and value of each field of a protobuf message; of fixed-size numbers, which we do not read, the bytes."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield number, value
            continue
        if wire == _BYTES:
            size, at = _varint(data, at)
        elif wire in _FIXED:
            size = _FIXED[wire]
        else:
            raise ValueError(f"wire type {wire} at byte {at}")
        if at + size > len(data):
            raise ValueError(f"a field of {size} bytes ends beyond the file")
        yield number, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """A number of seven bits a byte, lowest first, and where it ends."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError(f"a number of more than 64 bits at byte {at}")
