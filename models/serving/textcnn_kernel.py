"""The fused engine's kernel: from ids to logits, by tables. Compiled by Numba; one thread, no Python lock.

Where the time goes: a text of 24 characters makes 24 * 9 * 128 additions of 16 bits (widths 2, 3, 4; 128 filters), all
read from tables. So the tables are cut into parts of 128 bytes a character: a part with the characters in use fits the
core's second-level cache, a block of texts is run through one part after the other, and the running maxima of a part
stay in vector registers. Compilers do not find that from loops over arrays (half the speed at best), so that innermost
loop is written in LLVM's vector instructions, which every processor LLVM knows has in some form.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import literal_unroll, njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

LANE_BYTES = 128  # of sums, the registers of one part: four of AVX2
BLOCK = 256  # texts at a time: their maxima stay in the second-level cache beside a part of the tables


@intrinsic  # type: ignore[untyped-decorator]
def _strongest(typing: Any, places: Any, base: Any, steps: Any, at: Any, windows: Any, out: Any, to: Any) -> Any:
    """Write the strongest sums over a text's windows, for one part of the filters, to `out[to:]`.

    `places` is a tuple of tables (parts, vocabulary, lanes), one for each place in a window; `base` is where the part
    begins in each of them, `steps[at:]` where each of the text's characters begins in the part. The sums of the
    windows are made and compared in registers.
    """
    signature = types.void(places, base, steps, at, windows, out, to)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def data(kind: Any, value: Any) -> Any:
            return cgutils.create_struct_proxy(kind)(context, builder, value).data

        places, steps, out = signature.args[0], signature.args[2], signature.args[5]
        stored, summed = (context.get_value_type(array.dtype) for array in (places.dtype, out))
        lanes = LANE_BYTES * 8 // out.dtype.bitwidth
        exact = isinstance(out.dtype, types.Float)
        index = args[3].type
        tables = [data(places.dtype, builder.extract_value(args[0], nth)) for nth in range(places.count)]
        tables = [builder.gep(table, [args[1]]) for table in tables]
        first = builder.gep(data(steps, args[2]), [args[3]])
        read, vector = ir.VectorType(stored, lanes), ir.VectorType(summed, lanes)
        lowest = float("-inf") if exact else -(2 ** (out.dtype.bitwidth - 1))

        before, loop, after = builder.block, builder.append_basic_block(), builder.append_basic_block()
        builder.branch(loop)
        builder.position_at_end(loop)
        window, best = builder.phi(index), builder.phi(vector)
        total = None
        for nth, table in enumerate(tables):
            step = builder.load(builder.gep(first, [builder.add(window, ir.Constant(index, nth))]))
            numbers = builder.bitcast(builder.gep(table, [builder.sext(step, index)]), read.as_pointer())
            part = builder.load(numbers, align=places.dtype.dtype.bitwidth // 8)
            part = part if stored == summed else builder.sext(part, vector)
            add = builder.fadd if exact else builder.add
            total = part if total is None else add(total, part)
        compare = builder.fcmp_ordered if exact else builder.icmp_signed
        stronger = builder.select(compare(">", best, total), best, total)
        following = builder.add(window, ir.Constant(index, 1))
        window.add_incoming(ir.Constant(index, 0), before)
        window.add_incoming(following, loop)
        best.add_incoming(ir.Constant(vector, [ir.Constant(summed, lowest)] * lanes), before)
        best.add_incoming(stronger, loop)
        builder.cbranch(builder.icmp_signed("<", following, args[4]), loop, after)
        builder.position_at_end(after)
        target = builder.bitcast(builder.gep(data(out, args[5]), [args[6]]), vector.as_pointer())
        builder.store(stronger, target, align=out.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return signature, generate


def textcnn_logits(
    ids: NDArray[np.int32],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    min_length: int,
    tables: tuple[tuple[NDArray[Any], ...], ...],
    maxima: NDArray[Any],
    scale: NDArray[np.float32],
    bias: NDArray[np.float32],
    head: NDArray[np.float32],
    head_bias: NDArray[np.float32],
    logits: NDArray[np.float32],
) -> bool:
    """Logits of texts that are ids; False if there is an id that the tables do not have.

    Args:
        ids: All texts' ids.
        starts: Where each text starts among the ids.
        ends: Where it ends.
        min_length: The widest filter; shorter texts are filled up to it with PAD, which is id 0.
        tables: By width and place: (parts, vocabulary, lanes).
        maxima: Room for a block of texts, (block, features) flattened.
        scale: (features,), as the others: filters that only fill up a part have zeros everywhere.
        bias: (features,).
        head: (labels, features).
        head_bias: (labels,).
        logits: (texts, labels), written.
    """
    features, size, lanes = len(scale), tables[0][0].shape[1], tables[0][0].shape[2]
    block = len(maxima) // features
    steps = np.empty(block * max(min_length, _longest(starts, ends)), np.int32)
    at = np.zeros(block + 1, np.int64)
    active = np.empty(features, np.float32)
    fine = True  # no early return: Numba cannot type an unrolled loop beside one
    for first in range(0, len(starts), block):
        last = min(first + block, len(starts))
        fine &= _lay(ids, starts[first:last], ends[first:last], min_length, size, lanes, steps, at)
        column = np.int64(0)
        for places in literal_unroll(tables):
            _max_pool(places, steps, at[: last - first + 1], maxima, features, column)
            column += features // len(tables)
        for row in range(last - first):
            activate(maxima[row * features : (row + 1) * features], scale, bias, active)
            dense(active, head, head_bias, logits[first + row])
    return fine


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _longest(starts: NDArray[np.int64], ends: NDArray[np.int64]) -> int:
    longest = 0
    for row in range(len(starts)):
        longest = max(longest, ends[row] - starts[row])
    return longest


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _lay(
    ids: NDArray[np.int32],
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
    min_length: int,
    size: int,
    lanes: int,
    steps: NDArray[np.int32],
    at: NDArray[np.int64],
) -> bool:
    """Lay a block's texts end to end, filled up to `min_length`: `steps[at[row]:at[row + 1]]`.

    False if there was a strange id, which is read as PAD.
    """
    fill, fine = 0, True
    for row in range(len(starts)):
        length = ends[row] - starts[row]
        for place in range(length):
            character = ids[starts[row] + place]
            usual = (character >= 0) & (character < size)
            fine &= usual
            steps[fill + place] = character * lanes if usual else 0
        for place in range(length, min_length):
            steps[fill + place] = 0
        fill += max(length, min_length)
        at[row + 1] = fill
    return fine


@njit(nogil=True)  # type: ignore[untyped-decorator]
def _max_pool(
    places: tuple[NDArray[Any], ...],
    steps: NDArray[np.int32],
    at: NDArray[np.int64],
    maxima: NDArray[Any],
    features: int,
    column: int,
) -> None:
    """The strongest sums of one width's filters, for a block of texts, part by part."""
    parts, size, lanes = places[0].shape
    for part in range(parts):
        for row in range(len(at) - 1):
            windows = at[row + 1] - at[row] - len(places) + 1
            to = row * features + column + part * lanes
            _strongest(places, part * size * lanes, steps, at[row], windows, maxima, to)


@njit(nogil=True)  # type: ignore[untyped-decorator]
def activate(
    sums: NDArray[Any], scale: NDArray[np.float32], bias: NDArray[np.float32], active: NDArray[np.float32]
) -> None:
    """Scale, bias and ReLU."""
    for feature in range(len(active)):
        response = np.float32(sums[feature]) * scale[feature] + bias[feature]
        active[feature] = response if response > 0 else np.float32(0)


# Sums over features may be taken in any order, as the matrix product of any other engine does.
@njit(nogil=True, fastmath={"reassoc", "contract"})  # type: ignore[untyped-decorator]
def dense(
    active: NDArray[np.float32],
    head: NDArray[np.float32],
    head_bias: NDArray[np.float32],
    logits: NDArray[np.float32],
) -> None:
    """One text's logits from its features."""
    for label in range(len(head)):
        total = np.float32(0)
        for feature in range(len(active)):
            total += active[feature] * head[label, feature]
        logits[label] = total + head_bias[label]
