"""Work done ahead, in order, by a thread of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")


def made_ahead(items: Iterator[Item], many: int) -> Iterator[Item]:
    """The items, up to so many of them made before they are asked for.

    An error of theirs is raised here, in its place. Nothing is begun any more once this iterator is closed.
    """
    end = object()
    maker = ThreadPoolExecutor(1, thread_name_prefix="ahead")
    try:
        made = deque(maker.submit(next, items, end) for _ in range(many))
        while (item := made.popleft().result()) is not end:
            made.append(maker.submit(next, items, end))
            yield item  # type: ignore[misc]
    finally:
        maker.shutdown(wait=False, cancel_futures=True)
