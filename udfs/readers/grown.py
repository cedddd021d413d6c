"""Files of lines that have grown since they were loaded: where their new lines begin, and how many these are."""

from __future__ import annotations

from io import BufferedReader

from udfs.readers.counting import LineCounter
from udfs.readers.files import SMALL_BLOCK


def first_new_byte(file: BufferedReader, known: int) -> int:
    """Where the new lines begin in a file whose first `known` bytes were loaded.

    A last line that was loaded without its end may have been written on since. It is whole where a line's end follows;
    else it is read again from its beginning, and what was loaded of it stays as it was taken.
    """
    file.seek(max(known - 1, 0))
    around = file.read(2 if known else 0)
    if b"\n" in around or not around:
        return known
    end = known
    while end > 0:
        begin = max(0, end - SMALL_BLOCK)
        file.seek(begin)
        found = file.read(end - begin).rfind(b"\n")
        if found >= 0:
            return begin + found + 1
        end = begin
    return 0


def counted_from(file: BufferedReader, first: int, size: int) -> int:
    """The lines with anything but blanks in them, from a line's beginning to byte `size`."""
    counter = LineCounter()
    file.seek(first)
    while (left := size - first) > 0 and (block := file.read(min(SMALL_BLOCK, left))):
        counter.feed(block)
        first += len(block)
    return counter.records()
