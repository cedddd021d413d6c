"""The one place that builds a Spark session, and the guard that refuses an unsafe one."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from pyspark import SparkConf, SparkContext
from pyspark.sql import SparkSession

from jobs.runtime import environment, jars
from jobs.settings import SECRET_KEYS, SessionSettings
from models.errors import SettingsError
from models.folders import cache

# Every setting with its reason. They fill what is unset: property files and `session.conf` of the settings come first.
SAFE: dict[str, str] = {
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
    # Delta 4.4's parser leaves `:name` parameters unbound otherwise (UNBOUND_SQL_PARAMETER).
    "spark.sql.legacy.parameterSubstitution.constantsOnly": "true",
    # A bad cast is an error, a bad column order too, and so is an Arrow batch of another shape than declared.
    "spark.sql.ansi.enabled": "true",
    "spark.sql.execution.arrow.pyspark.validateSchema.enabled": "true",
    # Batches bounded by bytes as well as by rows: one may hold very long texts.
    "spark.sql.execution.arrow.maxRecordsPerBatch": "4096",
    "spark.sql.execution.arrow.maxBytesPerBatch": str(16 << 20),
    # A worker keeps its loaded model between tasks; one that crashes says where; one that hangs is killed.
    "spark.python.worker.reuse": "true",
    "spark.python.worker.faulthandler.enabled": "true",
    "spark.sql.execution.pyspark.udf.idleTimeoutSeconds": "900",
    "spark.sql.execution.pyspark.udf.killOnIdleTimeout": "true",
    # A statement is one statement: `BEGIN … END` would run what no check of it sees.
    "spark.sql.scripting.enabled": "false",
    # A second copy of a task would score twice for nothing.
    "spark.speculation": "false",
    # The list of a small table's files beside each commit: outside UTC Delta checks it against the whole log every
    # time, which doubles the time of a small commit.
    "spark.databricks.delta.allFilesInCrc.enabled": "false",
    # A commit without rows says that a day was done and had none; unrecorded, it would be done again every night.
    "spark.databricks.delta.skipRecordingEmptyCommits": "false",
    # Few partitions a task are written side by side; more are sorted first, as always.
    "spark.sql.maxConcurrentOutputFileWriters": "16",
    # ONNX Runtime ignores OMP_NUM_THREADS, the only cap Spark sets.
    "spark.executorEnv.ORT_INTRA_OP_NUM_THREADS": "1",
    "spark.executorEnv.TOKENIZERS_PARALLELISM": "false",
    "spark.redaction.regex": SECRET_KEYS,
}
# Probabilities and ids hardly repeat: Parquet would fill a dictionary, give it up, and have spent the time.
_PARQUET: dict[str, str] = {
    "parquet.enable.dictionary#probs.list.element": "false",
    "parquet.enable.dictionary#text_id": "false",
}
_LOCAL: dict[str, str] = {
    "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.sql.catalogImplementation": "in-memory",
    "spark.databricks.delta.snapshotPartitions": "2",
    "spark.ui.showConsoleProgress": "false",
}
# What would lose or change rows in silence, and the only value it may have.
_GUARDED: dict[str, str] = {
    "spark.sql.files.ignoreCorruptFiles": "false",
    "spark.sql.files.ignoreMissingFiles": "false",
    "spark.databricks.delta.schema.autoMerge.enabled": "false",
    "spark.sql.ansi.enabled": "true",
    "spark.speculation": "false",
    "spark.sql.sources.partitionOverwriteMode": "static",
    "spark.sql.execution.arrow.pyspark.validateSchema.enabled": "true",
}
_FORBIDDEN = ("spark.databricks.delta.write.txnAppId", "spark.databricks.delta.write.txnVersion")


def start(settings: SessionSettings) -> SparkSession:
    """The session: the running one under spark-submit or in a notebook, else a new one with our settings.

    Raises:
        EnvError: where Delta's JARs are not to be had.
        SettingsError: where the session has a setting that would lose rows in silence.
    """
    # Torch's threads spin while they wait for each other; beside one busy process on two cores a training step took
    # twenty times as long. A short spin keeps most of the speed, busy or quiet. Torch reads it when it is loaded.
    os.environ.setdefault("GOMP_SPINCOUNT", "10000")
    environment.set_utf8_locale()
    if "PYSPARK_GATEWAY_PORT" not in os.environ and settings.master.startswith("local"):
        os.environ["PYSPARK_PYTHON"] = sys.executable  # another Python would lack what this one has
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("PYSPARK_DRIVER_PYTHON", sys.executable)
    builder = SparkSession.builder.appName("pingti")
    conf = SAFE | {"spark.sql.session.timeZone": settings.timezone}
    if "PYSPARK_GATEWAY_PORT" not in os.environ:  # spark-submit decides these itself
        conf |= _local(settings)
    for key, value in (unset(conf) | dict(settings.conf)).items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    for key, value in _PARQUET.items():  # a new session would call them no settings of Spark's
        if spark.conf.get(key, None) is None:
            spark.conf.set(key, value)
    guard(spark, settings.timezone)
    return spark


def catalog_stays(settings: SessionSettings) -> bool:
    """Whether the session's catalog may outlive it: one that spark-submit or a cluster gives."""
    return "PYSPARK_GATEWAY_PORT" in os.environ or not settings.master.startswith("local")


def unset(conf: Mapping[str, str]) -> dict[str, str]:
    """Those settings of ours that nobody made yet: a property file, `--conf` or a running session comes first.

    What is unsafe among theirs is not overwritten in silence either: `guard` refuses it.
    """
    running = SparkSession.getActiveSession()
    if running is not None:
        return {key: value for key, value in conf.items() if running.conf.get(key, None) is None}
    if "PYSPARK_GATEWAY_PORT" in os.environ:
        SparkContext._ensure_initialized()  # without the JVM behind it a SparkConf is empty
        submitted = SparkConf()  # what spark-submit read, from its files and its command line
        return {key: value for key, value in conf.items() if not submitted.contains(key)}
    return dict(conf)


def _local(settings: SessionSettings) -> dict[str, str]:
    options = f"-XX:+UseParallelGC -Dlog4j2.configurationFile={Path(__file__).with_name('log4j2.properties')}"
    if unpacked := environment.temporary_folder():
        unpacked.mkdir(parents=True, exist_ok=True)
        options += f" -Djava.io.tmpdir={unpacked}"
    at_home: dict[str, str] = {}
    if settings.master.startswith("local"):  # only there may the driver hide from other machines
        os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
        at_home = _LOCAL
    return at_home | {
        "spark.driver.extraJavaOptions": options,
        "spark.master": settings.master,
        # Tables have places of their own; else a folder `spark-warehouse` appears wherever a run is started.
        "spark.sql.warehouse.dir": str(cache() / "spark-warehouse"),
        "spark.driver.memory": settings.driver_memory,
        "spark.sql.shuffle.partitions": str(settings.shuffle_partitions),
        "spark.jars": ",".join(str(jar) for jar in jars.ensure()),
    }


def guard(spark: SparkSession, timezone: str) -> None:
    """Refuse a session that would lose rows in silence or cut days in another zone; all problems at once."""
    wanted = _GUARDED | {"spark.sql.session.timeZone": timezone}
    problems = []
    for key, want in wanted.items():
        got = spark.conf.get(key, want)
        if got is not None and got.lower() != want.lower():
            problems.append(f"{key} is {got}, must be {want}")
    problems += [f"{key} is set; it would skip writes in silence" for key in _FORBIDDEN if spark.conf.get(key, None)]
    if problems:
        raise SettingsError(f"Spark session: {'; '.join(problems)}; mend the property file or session.conf")
