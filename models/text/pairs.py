"""Two texts as one column: how a student of a `pair` task reads them. Both are cut alike, then joined."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from models.text.vocabulary import SEPARATOR_CHAR, Texts, as_large_string


def joined(first: Texts, second: Texts, max_length: int) -> pa.LargeStringArray:
    """`first SEPARATOR second`, each cut so that both fit into `max_length`; null where either is."""
    most = (max_length - 1) // 2
    missing = pc.or_(pc.is_null(first), pc.is_null(second))
    # What separates pairs may not come from a text: the cleaner drops it, a caller's raw text may hold it.
    sides = [
        pc.utf8_slice_codeunits(pc.replace_substring(as_large_string(side), SEPARATOR_CHAR, " "), 0, most)
        for side in (first, second)
    ]
    both = pc.binary_join_element_wise(*sides, pa.scalar(SEPARATOR_CHAR, pa.large_string()))
    column = pc.if_else(missing, pa.scalar(None, pa.large_string()), both)
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
