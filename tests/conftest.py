"""Fixtures of the whole suite. Nothing here imports Spark before a test asks for a session."""

from __future__ import annotations

import itertools
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
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


@pytest.fixture(scope="module", params=["by the driver", "by Spark"])
def either_hand(request: pytest.FixtureRequest) -> Iterator[None]:
    """Loads are made by the driver alone, and once more by Spark."""
    from jobs.ingestion import driver_load

    with pytest.MonkeyPatch.context() as patch:
        if request.param == "by Spark":
            patch.setattr(driver_load, "fits", lambda *_: False)
        yield


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
    from jobs.lake import tables
    from jobs.lake.store import Lake
    from jobs.settings import LakeSettings

    def make(*wanted: Table) -> Lake:
        folder = factory.mktemp("lake")
        settings = LakeSettings(
            schema_name=f"t{next(_NUMBERS)}", location=str(folder / "warehouse"), bundles=str(folder / "bundles")
        )
        new = Lake(session, settings, "Asia/Shanghai")
        made.append(new)
        new.catalog.make((*wanted, tables.MADE_DAYS, tables.RAW_FILE_DAYS) if wanted else ())
        return new

    return make


@pytest.fixture(scope="session")
def object_store() -> Iterator[Mapping[str, str]]:
    """An S3 server on this machine with the bucket `texts`, and the options by which it is reached."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            endpoint = f"http://127.0.0.1:{port}"
            _answering(f"{endpoint}/")
            with urllib.request.urlopen(urllib.request.Request(f"{endpoint}/texts", method="PUT")):
                pass
            yield {
                "AWS_ENDPOINT_URL": endpoint, "AWS_ALLOW_HTTP": "true", "AWS_REGION": "us-east-1",
                "AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing",
            }  # fmt: skip
        finally:
            server.kill()


def _answering(url: str) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(url).close()
            return
        except urllib.error.URLError:
            time.sleep(0.1)
    raise RuntimeError(f"{url} does not answer")
