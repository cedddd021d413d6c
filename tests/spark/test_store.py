"""Tables are made once, written in one way, and every commit says what it is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from delta import DeltaTable
from pydantic import ValidationError
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.lake import driver_share, tables, upserting
from jobs.lake.commits import Scope, Stamp
from jobs.lake.schema_check import conform
from jobs.lake.store import Lake
from jobs.settings import LakeSettings
from models.errors import DataError, SchemaError, SettingsError
from tests.support import DAY, NEW_YEAR, STAMP, add, day, frame, promotion_row, rows_of, versions

pytestmark = pytest.mark.spark


@pytest.fixture(scope="module")
def both(shared_lake: Callable[..., Lake]) -> Lake:
    """A lake of two tables; every test writes days, tasks or keys of its own."""
    return shared_lake(tables.LABELS, tables.PROMOTIONS)


def label_row(text_id: str, when: date, task: str = "praise") -> dict[str, Any]:
    return {
        "text_id": text_id, "dt": when, "task": task, "label": "asks", "scene": "live_chat", "score": 0.5,
        "threshold": 0.25, "model_id": f"{task}/textcnn/a", "threshold_version": 1,
    }  # fmt: skip


def annotation_row(text_id: str, value: bool, **values: Any) -> dict[str, Any]:
    return {
        "task": "praise", "label": "asks", "text_id": text_id, "annotator": "li", "value": value, "text_hash": "h",
        "dt": DAY, "file": "a.csv", "run_id": "1",
    } | values  # fmt: skip


def test_init_makes_what_is_missing_and_nothing_twice(lake: Callable[..., Lake]) -> None:
    own = lake()
    assert own.catalog.make([tables.LABELS, tables.RUNS]) == ["labels", "runs"]
    assert own.catalog.make([tables.LABELS, tables.RUNS]) == []
    assert versions(own, tables.LABELS, tables.RUNS) == {"labels": 0, "runs": 0}
    assert {table.name for table in own.catalog.missing()} == set(tables.BY_NAME) - {"labels", "runs"}
    made = DeltaTable.forName(own.spark, own.catalog.register(tables.LABELS)).detail().collect()[0]
    assert made["partitionColumns"] == ["dt", "task"]
    assert own.read(tables.LABELS).schema.names == list(tables.LABELS.names)


def test_a_table_that_the_catalog_has_elsewhere_is_refused(both: Lake, tmp_path: Path) -> None:
    settings = LakeSettings(schema_name=both.catalog.schema_name, location=str(tmp_path), bundles=str(tmp_path))
    other = Lake(lambda: both.spark, settings, "Asia/Shanghai")
    other.catalog.make([tables.LABELS])
    both.catalog.register(tables.LABELS)
    with pytest.raises(SettingsError, match=r"the catalog has it at .*/labels, lake.location says .*/labels; choose"):
        other.catalog.register(tables.LABELS)


def test_a_table_that_init_did_not_make_is_not_read_or_written(both: Lake) -> None:
    with pytest.raises(DataError, match="runs: no such table; run `pingti init`"):
        both.read(tables.RUNS)
    with pytest.raises(DataError, match="pingti init"):
        add(both, tables.MODELS)


def test_another_session_finds_the_tables_and_another_zone_is_refused(both: Lake, spark: SparkSession) -> None:
    place = LakeSettings(schema_name="elsewhere", location=str(both.catalog.root))
    assert Lake(lambda: spark, place, "Asia/Shanghai").log.version(tables.LABELS) >= 0
    with pytest.raises(SettingsError, match="days of Asia/Shanghai, the settings say UTC"):
        Lake(lambda: spark, place, "UTC").read(tables.LABELS)


def test_another_zone_is_refused_where_the_catalog_knows_the_table_already(both: Lake, spark: SparkSession) -> None:
    both.catalog.register(tables.LABELS)
    place = LakeSettings(schema_name=both.catalog.schema_name, location=None)
    assert Lake(lambda: spark, place, "Asia/Shanghai").log.version(tables.LABELS) >= 0
    with pytest.raises(SettingsError, match="days of Asia/Shanghai, the settings say UTC"):
        Lake(lambda: spark, place, "UTC").read(tables.LABELS)


def test_every_difference_from_the_declaration_is_told_at_once(spark: SparkSession) -> None:
    wrong = spark.sql("SELECT 'a' AS task, 1 AS from_ts, 2L AS threshold_version, 'x' AS reason, 3 AS note")
    with pytest.raises(SchemaError) as caught:
        conform(wrong, tables.PROMOTIONS)
    told = str(caught.value)
    assert "promotions: missing model_id string; missing run_id string; " in told
    assert "; extra note int; " in told
    assert "from_ts is int, declared timestamp" in told
    assert "threshold_version is bigint, declared int" in told


def test_columns_in_another_order_come_out_as_declared(spark: SparkSession) -> None:
    turned = frame(spark, tables.PROMOTIONS, promotion_row("praise/a", NEW_YEAR))
    turned = turned.select(*reversed(turned.columns))
    assert tuple(conform(turned, tables.PROMOTIONS).columns) == tables.PROMOTIONS.names


def test_names_inside_nested_columns_are_compared_too(spark: SparkSession) -> None:
    renamed = "array<struct<task: string, label: string, outcome: string, why: string>>"
    texts = frame(spark, tables.TEXTS).withColumn("settled", F.lit(None).cast(renamed))
    with pytest.raises(SchemaError, match=r"settled is array<struct<.*why:string>>, declared"):
        conform(texts, tables.TEXTS)


def test_an_append_with_a_name_adds_nothing_the_second_time(both: Lake) -> None:
    rows = frame(both.spark, tables.PROMOTIONS, promotion_row("once/a", NEW_YEAR))
    first = both.append(rows, tables.PROMOTIONS, Stamp("run1", "test"), once="load-7")
    second = both.append(rows, tables.PROMOTIONS, Stamp("run2", "test"), once="load-7")
    assert (first.rows, second.rows) == (1, 0)
    assert second.version == first.version
    assert both.read(tables.PROMOTIONS).where("task = 'once'").count() == 1


def test_a_replacement_leaves_everything_outside_its_scope(both: Lake) -> None:
    old = [label_row("old", day(n), task) for n in (0, 1, 2) for task in ("praise", "feedback")]
    both.append(frame(both.spark, tables.LABELS, *old), tables.LABELS, STAMP, scope=Scope(day(0), day(2)))
    new = frame(both.spark, tables.LABELS, label_row("new", day(0)), label_row("new", day(1)))
    commit = both.replace(new, tables.LABELS, Stamp("run", "test"), Scope(day(0), day(1), "task", ("praise",)))
    assert commit.rows == 2
    kept = both.read(tables.LABELS).where(F.col("dt").between(day(0), day(2)))
    assert rows_of(kept, "dt", "task", "text_id") == [
        (day(0), "feedback", "old"), (day(0), "praise", "new"), (day(1), "feedback", "old"), (day(1), "praise", "new"),
        (day(2), "feedback", "old"), (day(2), "praise", "old"),
    ]  # fmt: skip


def test_rows_outside_the_scope_are_refused_and_nothing_changes(both: Lake) -> None:
    before = both.log.version(tables.LABELS)
    outside = frame(both.spark, tables.LABELS, label_row("in", day(10)), label_row("out", day(11)))
    with pytest.raises(Exception, match="DELTA_REPLACE_WHERE_MISMATCH"):
        both.replace(outside, tables.LABELS, Stamp("run", "test"), Scope(day(10), day(10)))
    assert both.log.version(tables.LABELS) == before


@pytest.mark.parametrize("rows", [driver_share.DRIVER_ROWS, 0], ids=["by the driver", "by Spark"])
def test_an_upsert_inserts_updates_by_what_is_newer_and_leaves_equal_rows_alone(
    lake: Callable[..., Lake], monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(driver_share, "DRIVER_ROWS", rows)
    own = lake(tables.ANNOTATIONS)

    def upsert(run: str, *rows: dict[str, Any]) -> int:
        made = frame(own.spark, tables.ANNOTATIONS, *(row | {"run_id": run} for row in rows))
        return upserting.upsert(own, made, tables.ANNOTATIONS, Stamp(run, "test"), newer_by="annotated_at").version

    def found() -> list[tuple[Any, ...]]:
        return rows_of(own.read(tables.ANNOTATIONS), "text_id", "value", "run_id")

    early, late = (NEW_YEAR + timedelta(days=by) for by in (1, 5))
    upsert("0")
    first = upsert("1", annotation_row("a", True), annotation_row("b", True, annotated_at=late))
    assert upsert("2", annotation_row("a", True, file="b.csv")) == first
    assert upsert("2", annotation_row("b", False, annotated_at=early)) == first
    assert upsert("2", annotation_row("b", False)) == first
    assert found() == [("a", True, "1"), ("b", True, "1")]
    second = upsert("3", annotation_row("a", False), annotation_row("c", True))
    assert second == first + 1
    assert found() == [("a", False, "3"), ("b", True, "1"), ("c", True, "3")]
    upsert("4", annotation_row("a", True, annotated_at=early), annotation_row("b", False, annotated_at=late))
    assert found() == [("a", True, "4"), ("b", False, "4"), ("c", True, "3")]
    assert own.spark.conf.get("spark.databricks.delta.commitInfo.userMetadata", None) is None


def test_a_commit_is_found_again_by_what_it_covers(both: Lake) -> None:
    def replace(number: int, task: str, fingerprint: str) -> int:
        scope = Scope(day(number), day(number + 1), "task", (task,))
        rows = frame(both.spark, tables.LABELS, label_row("a", day(number), task))
        return both.replace(rows, tables.LABELS, Stamp("run", "test", fingerprint), scope).version

    early = replace(20, "praise", "early")
    late = replace(24, "praise", "late")
    found = both.log.latest(tables.LABELS, Scope(day(21), day(22), "task", ("praise", "other")))
    assert found is not None
    assert (found.version, found.fingerprint, found.rows) == (early, "early", 1)
    found = both.log.latest(tables.LABELS, Scope(day(20), day(30)))
    assert found is not None
    assert (found.version, found.fingerprint) == (late, "late")
    assert both.log.latest(tables.LABELS, Scope(day(26), day(30), "task", ("praise",))) is None
    assert both.log.latest(tables.LABELS, Scope(day(20), day(25), "task", ("feedback",))) is None


def test_a_null_where_none_is_allowed_is_refused(both: Lake) -> None:
    before = both.log.version(tables.PROMOTIONS)
    full = frame(both.spark, tables.PROMOTIONS, promotion_row("null/a", NEW_YEAR))
    with pytest.raises(Exception, match="DELTA_NOT_NULL_CONSTRAINT_VIOLATED"):
        both.append(full.withColumn("reason", F.lit(None).cast("string")), tables.PROMOTIONS, Stamp("run", "test"))
    assert both.log.version(tables.PROMOTIONS) == before


def test_an_append_only_table_refuses_to_forget(both: Lake) -> None:
    add(both, tables.PROMOTIONS, promotion_row("kept/a", NEW_YEAR))
    for statement in ("DELETE FROM {} WHERE task = 'kept'", "UPDATE {} SET reason = 'x' WHERE task = 'kept'"):
        with pytest.raises(Exception, match="DELTA_CANNOT_MODIFY_APPEND_ONLY"):
            both.spark.sql(statement.format(both.catalog.register(tables.PROMOTIONS)))
    assert both.read(tables.PROMOTIONS).where("task = 'kept'").count() == 1


@pytest.mark.parametrize("value", ["a' OR '1'='1", "a\\", "a b", "好", "a\n", "a'"])
def test_a_name_never_reaches_another_partition_through_its_predicate(both: Lake, value: str) -> None:
    when = day(60)

    def kept(*tasks: str) -> list[tuple[Any, ...]]:
        labels = both.read(tables.LABELS).where(F.col("dt") == when)
        return rows_of(labels.where(labels["task"].isin(*tasks)), "text_id", "task")

    scope = Scope(when, when, "task", (value, "other"))
    rows = [label_row(text_id, when, task) for text_id, task in (("1", value), ("2", "other"), ("3", "stays"))]
    everything = Scope(when, when, "task", (value, "other", "stays"))
    both.replace(frame(both.spark, tables.LABELS, *rows), tables.LABELS, Stamp("run", "test"), everything)
    again = frame(both.spark, tables.LABELS, label_row("4", when, value))
    both.replace(again, tables.LABELS, Stamp("again", "test"), scope)
    assert kept(value, "other", "stays") == [("3", "stays"), ("4", value)]


def test_an_empty_name_never_reaches_a_predicate() -> None:
    with pytest.raises(SettingsError, match="cannot name a partition"):
        Scope(DAY, DAY, "task", ("praise", "")).predicate()


def test_a_replacement_without_a_scope_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a scope"):
        Scope().predicate()


@pytest.mark.parametrize("name", ["a; DROP SCHEMA b", "a.b", "A", "`a`", "", "1a"])
def test_a_schema_name_is_letters_digits_and_underscores(name: str) -> None:
    with pytest.raises(ValidationError, match="schema_name"):
        LakeSettings(schema_name=name)


@pytest.mark.parametrize("sign", ["'", "\\", "%41", "#课程", "?"])
def test_a_warehouse_path_that_would_end_its_quotes_is_refused(spark: SparkSession, tmp_path: Any, sign: str) -> None:
    place = LakeSettings(schema_name="quoted", location=str(tmp_path / f"a{sign}b"))
    try:
        with pytest.raises(SettingsError, match="choose a plainer path"):
            Lake(lambda: spark, place, "Asia/Shanghai").catalog.make([tables.RUNS])
    finally:
        spark.sql("DROP SCHEMA IF EXISTS quoted CASCADE")


def test_scopes_overlap_where_days_and_values_both_do() -> None:
    week = Scope(DAY, DAY + timedelta(days=6), "task", ("a", "b"))
    assert week.overlaps(Scope(day(6), day(9), "task", ("b",)))
    assert week.overlaps(Scope())
    assert Scope().overlaps(week)
    assert not week.overlaps(Scope(day(7), day(9)))
    assert not Scope(day(7), day(9)).overlaps(week)
    assert not week.overlaps(Scope(day(0), day(6), "task", ("c",)))
