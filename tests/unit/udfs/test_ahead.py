"""What is made ahead comes in order, with its errors, and ends when nobody asks any more."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from udfs.ahead import made_ahead


def test_items_come_in_order_and_ahead_of_who_asks() -> None:
    made, third = [], threading.Event()

    def items() -> Iterator[int]:
        for number in range(5):
            made.append(number)
            if number == 2:
                third.set()
            yield number

    ahead = made_ahead(items(), 2)
    assert next(ahead) == 0
    assert third.wait(10)  # the first was taken, so the third is made
    assert list(ahead) == [1, 2, 3, 4]
    assert made == [0, 1, 2, 3, 4]


def test_an_error_comes_in_its_place() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("the second")

    ahead = made_ahead(items(), 3)
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="the second"):
        next(ahead)


def test_no_items_and_an_early_end() -> None:
    assert list(made_ahead(iter([]), 2)) == []
    ahead = made_ahead(iter(range(10**9)), 2)
    assert next(ahead) == 0
    ahead.close()
    assert list(ahead) == []
