"""An executor of another build is told apart before it does anything."""

from __future__ import annotations

import pyarrow as pa
import pytest

from models.errors import EnvError
from udfs import build
from udfs.build import check, code_version, same_build


def test_the_same_build_passes_and_the_batches_with_it() -> None:
    batch = pa.RecordBatch.from_pydict({"a": [1]})
    assert list(same_build(lambda batches: batches)(iter([batch]))) == [batch]


def test_every_difference_is_named_and_what_to_do() -> None:
    other = build.build() | {"pingti": "0123", "numpy": "1.0"}
    with pytest.raises(EnvError, match=rf"numpy .* \(driver: 1.0\), pingti {code_version()} \(driver: 0123\); ship"):
        check(other)


def test_a_package_that_only_one_side_has_is_no_difference() -> None:
    check(build.build() | {"a-package-of-the-driver": "1.0"})


def test_a_worker_of_another_build_reads_no_batch() -> None:
    touched: list[int] = []

    def function(batches: build.Batches) -> build.Batches:
        touched.append(1)
        return batches

    checked = same_build(function)
    wanted = build.build()
    wanted["pingti"], before = "older", wanted["pingti"]  # the driver's, as the closure carries it
    try:
        build.build.cache_clear()
        with pytest.raises(EnvError, match="another build than the driver"):
            checked(iter([]))
    finally:
        wanted["pingti"] = before
    assert not touched
