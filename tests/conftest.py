"""Fixtures of the whole suite. Nothing here imports Spark before a test asks for a session."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
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


@pytest.fixture(scope="session")
def empty_tables(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Callable[[Table], Path]:
    """Folders of tables as `init` makes them, each made once: a copy takes a hundredth of the time."""
    from jobs.lake.store import Lake
    from jobs.settings import LakeSettings

    folder = tmp_path_factory.mktemp("empty")
    settings = LakeSettings(schema_name="empty", location=str(folder), bundles=str(folder / "bundles"))
    maker = Lake(spark, settings, "Asia/Shanghai")

    def find(table: Table) -> Path:
        maker.catalog.make([table])
        return folder / table.name

    return find


@pytest.fixture
def lake(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, empty_tables: Callable[[Table], Path]
) -> Iterator[Callable[..., Lake]]:
    """Makes lakes of a test's own, each with the tables asked for and nothing in them."""
    yield from _lakes(spark, tmp_path_factory, empty_tables)


@pytest.fixture(scope="module")
def shared_lake(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory, empty_tables: Callable[[Table], Path]
) -> Iterator[Callable[..., Lake]]:
    """Makes lakes for all tests of a module, which only read them or write apart from each other."""
    yield from _lakes(spark, tmp_path_factory, empty_tables)


def _lakes(
    spark: SparkSession, factory: pytest.TempPathFactory, empty_tables: Callable[[Table], Path]
) -> Iterator[Callable[..., Lake]]:
    from jobs.lake.store import Lake
    from jobs.settings import LakeSettings

    made: list[Lake] = []

    def make(*wanted: Table) -> Lake:
        folder = factory.mktemp("lake")
        settings = LakeSettings(
            schema_name=f"t{next(_NUMBERS)}", location=str(folder / "warehouse"), bundles=str(folder / "bundles")
        )
        new = Lake(spark, settings, "Asia/Shanghai")
        made.append(new)
        for table in wanted:
            shutil.copytree(empty_tables(table), folder / "warehouse" / table.name)
        return new

    yield make
    for one in made:
        spark.sql(f"DROP SCHEMA IF EXISTS {one.catalog.schema_name} CASCADE")
