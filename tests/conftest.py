"""Fixtures of the whole suite. Nothing here imports Spark before a test asks for a session."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from jobs.lake.store import Lake
    from jobs.lake.tables import Table

_NUMBERS = itertools.count()
# For a handful of rows it takes longer to compile a query than to interpret it.
_QUICK = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkSession]:
    """The one session, as production starts it, only smaller."""
    from jobs.runtime import session
    from jobs.settings import SessionSettings

    # The classes are Spark's own: there is nothing in them to verify.
    os.environ["SPARK_SUBMIT_OPTS"] = "-Xms1g -XX:+UnlockDiagnosticVMOptions -XX:-BytecodeVerificationRemote"
    folder = tmp_path_factory.mktemp("catalog")
    settings = SessionSettings(
        master="local[2,4]",
        driver_memory="2g",
        shuffle_partitions=2,
        conf={"spark.sql.warehouse.dir": str(folder), **_QUICK},
    )
    started = session.start(settings)
    yield started
    started.stop()


@pytest.fixture
def lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Lake]]:
    """Makes lakes of a test's own, each with the tables asked for and nothing in them."""
    yield from _lakes(spark, tmp_path_factory)


@pytest.fixture(scope="module")
def shared_lake(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Lake]]:
    """Makes lakes for all tests of a module, which only read them or write apart from each other."""
    yield from _lakes(spark, tmp_path_factory)


@pytest.fixture
def bare_lake(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Lake]:
    """Makes lakes without a session, each with the tables asked for: whoever asks for one fails."""
    return _maker(tmp_path_factory, _no_session, [])


@pytest.fixture(scope="module")
def shared_bare_lake(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Lake]:
    """Makes lakes without a session for all tests of a module."""
    return _maker(tmp_path_factory, _no_session, [])


def _no_session() -> SparkSession:
    raise AssertionError("a session was asked for where none is needed")


def _lakes(spark: SparkSession, factory: pytest.TempPathFactory) -> Iterator[Callable[..., Lake]]:
    made: list[Lake] = []
    yield _maker(factory, lambda: spark, made)
    for one in made:
        spark.sql(f"DROP SCHEMA IF EXISTS {one.catalog.schema_name} CASCADE")


def _maker(
    factory: pytest.TempPathFactory, session: Callable[[], SparkSession], made: list[Lake]
) -> Callable[..., Lake]:
    from jobs.lake.store import Lake
    from jobs.settings import LakeSettings

    def make(*wanted: Table) -> Lake:
        folder = factory.mktemp("lake")
        settings = LakeSettings(
            schema_name=f"t{next(_NUMBERS)}", location=str(folder / "warehouse"), bundles=str(folder / "bundles")
        )
        new = Lake(session, settings, "Asia/Shanghai")
        made.append(new)
        new.catalog.make(wanted)
        return new

    return make
