"""The session is safe, in one zone, and takes parameters."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date

import pytest
from pyspark.sql import SparkSession

from jobs.runtime.session import guard
from models.errors import SettingsError

pytestmark = pytest.mark.spark

ZONE = "Asia/Shanghai"
UNSAFE = {
    "spark.sql.files.ignoreCorruptFiles": "true",
    "spark.sql.files.ignoreMissingFiles": "true",
    "spark.databricks.delta.schema.autoMerge.enabled": "true",
    "spark.sql.ansi.enabled": "false",
    "spark.sql.sources.partitionOverwriteMode": "dynamic",
    "spark.sql.execution.arrow.pyspark.validateSchema.enabled": "false",
    "spark.sql.session.timeZone": "UTC",
    "spark.databricks.delta.write.txnAppId": "nightly",
    "spark.databricks.delta.write.txnVersion": "1",
}


@pytest.fixture
def other(spark: SparkSession) -> Iterator[SparkSession]:
    """A second session beside the shared one, whose settings may be spoilt."""
    yield spark.newSession()
    SparkSession._instantiatedSession = spark
    spark._jvm.SparkSession.setDefaultSession(spark._jsparkSession)
    spark._jvm.SparkSession.setActiveSession(spark._jsparkSession)


def test_the_session_as_started_passes_the_guard(spark: SparkSession) -> None:
    guard(spark, ZONE)


@pytest.mark.parametrize(("key", "value"), UNSAFE.items())
def test_an_unsafe_setting_is_refused_by_name(other: SparkSession, key: str, value: str) -> None:
    guard(other, ZONE)
    other.conf.set(key, value)
    with pytest.raises(SettingsError, match=key.replace(".", r"\.")):
        guard(other, ZONE)


def test_all_unsafe_settings_are_told_at_once(other: SparkSession) -> None:
    for key, value in UNSAFE.items():
        other.conf.set(key, value)
    with pytest.raises(SettingsError) as caught:
        guard(other, ZONE)
    assert [key for key in UNSAFE if key not in str(caught.value)] == []
    assert "mend the property file" in str(caught.value)


def test_a_day_is_cut_in_the_sessions_zone(spark: SparkSession) -> None:
    answer = spark.sql("SELECT to_date(TIMESTAMP'2026-03-01T16:30:00Z') AS dt").collect()
    assert answer[0]["dt"] == date(2026, 3, 2)


def test_sql_takes_named_parameters(spark: SparkSession) -> None:
    answer = spark.sql("SELECT :text AS text WHERE 1 < :number", args={"text": "'; DROP", "number": 2}).collect()
    assert [row["text"] for row in answer] == ["'; DROP"]


def test_a_bad_cast_is_an_error_not_a_null(spark: SparkSession) -> None:
    with pytest.raises(Exception, match="CAST_INVALID_INPUT"):
        spark.sql("SELECT CAST('three' AS INT)").collect()
