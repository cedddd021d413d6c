"""Which GPU of the process a task's address is."""

from __future__ import annotations

import pytest

from models.errors import EnvError
from models.training.devices import gpu_place, scoring_device

IDS = ["GPU-aaaa-1", "GPU-bbbb-2"]


@pytest.mark.parametrize(
    ("gpus", "visible", "ids", "place"),
    [
        ((), None, (), 0),
        ((), "3", (), 0),
        (("1",), None, (), 1),
        (("3",), "2,3", (), 1),
        (("3",), " 3 ", (), 0),
        (("GPU-bbbb-2",), None, IDS, 1),
        (("GPU-bbbb",), "GPU-bbbb-2,GPU-aaaa-1", IDS[::-1], 0),
        (("1",), "GPU-aaaa-1,GPU-bbbb-2", IDS, 1),
        (("5",), "GPU-aaaa-1", (), 0),  # a container's only one
    ],
)
def test_an_address_is_found_among_the_visible(
    gpus: tuple[str, ...], visible: str | None, ids: tuple[str, ...], place: int
) -> None:
    assert gpu_place(gpus, visible, ids) == place


@pytest.mark.parametrize(
    ("gpus", "visible"), [(("0",), "2,3"), (("7",), "GPU-a,GPU-b"), (("GPU-x",), "0,1"), (("GPU-x",), None)]
)
def test_an_address_that_may_not_be_seen_is_an_error(gpus: tuple[str, ...], visible: str | None) -> None:
    with pytest.raises(EnvError, match="which is not among those that it may see"):
        gpu_place(gpus, visible, ["GPU-a", "GPU-b"])


def test_the_cpu_is_asked_for_by_name() -> None:
    assert scoring_device("cpu", ("0",)).type == "cpu"
