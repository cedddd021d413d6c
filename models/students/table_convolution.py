"""A convolution over characters trained by tables: a filter's products with each character, computed once a batch.

A filter's response to a window is the sum, over the window's characters, of its product with each at that place. A
batch has far fewer distinct characters than characters, so the products are made once a distinct character and added by
look-up. Backwards, the maximum over time lets one window a filter through: the rest has no gradient, and gets no work.
The same sums as the convolution itself, in another order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor, nn

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


def strongest(embedding: nn.Embedding, filters: Sequence[nn.Linear], ids: Tensor, effective: Tensor) -> Tensor:
    """The largest response of each filter over a text's own windows, on the CPU.

    Args:
        embedding: Characters to vectors (vocabulary, d).
        filters: One layer a width w, from w neighbouring vectors (w * d) to its filters; equally many each.
        ids: int64 (batch, length).
        effective: int64 (batch,), each text's characters, at least the widest w.

    Returns:
        (batch, all filters), by width.
    """
    size, many = embedding.embedding_dim, filters[0].out_features
    widths = tuple(layer.in_features // size for layer in filters)
    by_place = [
        layer.weight.view(many, width, size).transpose(0, 1) for layer, width in zip(filters, widths, strict=True)
    ]
    weights = torch.cat(by_place).reshape(sum(widths) * many, size)
    distinct, local = np.unique(ids.numpy(), return_inverse=True)
    table = embedding(torch.from_numpy(distinct)) @ weights.t()
    maxima: Tensor = _TableMaxPool.apply(table, local.reshape(ids.shape).astype(np.int32), effective.numpy(), widths)
    return maxima + torch.cat([layer.bias for layer in filters])


class _TableMaxPool(torch.autograd.Function):
    """Look up, add, keep the largest: (distinct, places * filters) and a batch's rows -> (batch, widths * filters)."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, rows: Ints, ends: NDArray[np.int64], widths: tuple[int, ...]) -> Tensor:
        many = table.shape[1] // sum(widths)
        maxima = np.empty((len(rows), many * len(widths)), np.float32)
        winners = np.empty(maxima.shape, np.int32)
        _max_pool(table.numpy(), rows, ends, widths, maxima, winners)
        ctx.forwarded = rows, widths, winners, table.shape
        return torch.from_numpy(maxima)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        rows, widths, winners, shape = ctx.forwarded
        grad = np.zeros(shape, np.float32)
        _max_pool_backward(grads[0].contiguous().numpy(), rows, widths, winners, grad)
        return torch.from_numpy(grad), None, None, None


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _max_pool(
    table: Floats, rows: Ints, ends: NDArray[np.int64], widths: tuple[int, ...], maxima: Floats, winners: Ints
) -> None:
    many = maxima.shape[1] // len(widths)
    response = np.empty(many, np.float32)
    for row in range(len(rows)):
        place = 0
        for nth in range(len(widths)):
            width = widths[nth]
            best = maxima[row, nth * many : (nth + 1) * many]
            where = winners[row, nth * many : (nth + 1) * many]
            best[:] = -np.inf
            where[:] = 0
            for start in range(ends[row] - width + 1):
                response[:] = table[rows[row, start], place * many : (place + 1) * many]
                for step in range(1, width):
                    part = table[rows[row, start + step], (place + step) * many : (place + step + 1) * many]
                    for at in range(many):
                        response[at] += part[at]
                for at in range(many):  # selections, not branches: the compiler makes vectors of them
                    better = response[at] > best[at]
                    where[at] = start if better else where[at]
                    best[at] = response[at] if better else best[at]
            place += width


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _max_pool_backward(grads: Floats, rows: Ints, widths: tuple[int, ...], winners: Ints, grad: Floats) -> None:
    many = grads.shape[1] // len(widths)
    for row in range(len(rows)):
        place = 0
        for nth in range(len(widths)):
            width = widths[nth]
            for at in range(many):
                value = grads[row, nth * many + at]
                if value != 0:
                    start = winners[row, nth * many + at]
                    for step in range(width):
                        grad[rows[row, start + step], (place + step) * many + at] += value
            place += width
