"""List columns of Arrow as matrices, and matrices as list columns; no Python object is made for a row."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

FLOAT_LIST = pa.list_(pa.float32())


def to_matrix(column: pa.Array | pa.ChunkedArray, width: int) -> NDArray[np.float32]:
    """Lists of `width` values as (rows, width) float32, NaN where a value or a whole list is null."""
    matrix = np.full((len(column), width), np.nan, np.float32)
    there = ~column.is_null().to_numpy(**({} if isinstance(column, pa.ChunkedArray) else {"zero_copy_only": False}))
    kept = column.drop_null()
    flat = (kept.combine_chunks() if isinstance(kept, pa.ChunkedArray) else kept).flatten()
    matrix[there] = flat.to_numpy(zero_copy_only=False).astype(np.float32).reshape(-1, width)
    return matrix


def to_lists(values: NDArray[np.float32], null_rows: NDArray[np.bool_]) -> pa.ListArray:
    """(rows, width) as `list<float>`; the rows of the mask are null."""
    offsets = pa.array(_offsets(*values.shape))
    mask = pa.array(null_rows) if null_rows.any() else None
    flat = pa.array(values.reshape(-1), pa.float32())
    return pa.ListArray.from_arrays(offsets, flat, type=FLOAT_LIST, mask=mask)


def to_lists_with_nulls(values: NDArray[np.float32]) -> pa.ListArray:
    """(rows, width) as `list<float>`, a null inside a list for every NaN."""
    flat = pa.array(values.reshape(-1), pa.float32(), mask=np.isnan(values).reshape(-1))
    return pa.ListArray.from_arrays(pa.array(_offsets(*values.shape)), flat)


def _offsets(rows: int, width: int) -> NDArray[np.int32]:
    return np.arange(0, (rows + 1) * width, width, dtype=np.int32) if width else np.zeros(rows + 1, np.int32)
