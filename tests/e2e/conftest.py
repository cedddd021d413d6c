"""The main job at a small size: once undisturbed, once killed at four places and finished.

Places of the jobs that a night runs are the fortnight's (`test_fortnight.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.running import Ran, demo

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from jobs.lake.store import Lake

STOPS = (
    "ingest:raw_texts:after_commit",
    "train-teacher:models:after_commit",
    "score-teacher:teacher_scores:after_commit",
    "distil:evaluations:after_commit",
)


@pytest.fixture(scope="session")
def under_way(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Future[Ran] | None]:
    """The chain of killed runs, begun before the first test and beside it; None where no test asks for it."""
    if not any("disturbed" in getattr(item, "fixturenames", ()) for item in request.session.items):
        yield None
        return
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(_kill_and_finish, tmp_path_factory.mktemp("disturbed"))


def _kill_and_finish(folder: Path) -> Ran:
    for stop in STOPS:
        killed = demo(folder, stop)
        assert killed.returncode == -9, f"{stop}: the run was to die there, it ended with {killed.returncode}"
    done = demo(folder)
    assert done.returncode == 0, done.stderr[-4000:]
    return Ran(folder, done.stdout + done.stderr)


@pytest.fixture(scope="session")
def undisturbed(under_way: Future[Ran] | None, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("undisturbed")
    done = demo(folder)
    assert done.returncode == 0, done.stderr[-4000:]
    return Ran(folder, done.stdout + done.stderr)


@pytest.fixture(scope="session")
def disturbed(under_way: Future[Ran]) -> Ran:
    return under_way.result()


@pytest.fixture(scope="session")
def open_lake(spark: SparkSession) -> Callable[[Ran, str], Lake]:
    from jobs.lake.store import Lake
    from jobs.settings import LakeSettings

    def make(ran: Ran, name: str) -> Lake:
        folder = ran.folder / "demo"
        settings = LakeSettings(schema_name=name, location=str(folder / "warehouse"), bundles=str(folder / "bundles"))
        return Lake(lambda: spark, settings, "Asia/Shanghai")

    return make
