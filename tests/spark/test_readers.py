"""Other readers of the tables, by the very statements that docs/readers.md gives."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyspark
import pytest
from deltalake import DeltaTable

from jobs.lake import tables, views
from jobs.lake.store import Lake
from tests.support import DAY, NEW_YEAR, day, fill, promotion_row, rows_of, text_row

pytestmark = pytest.mark.spark

PAGE = Path(__file__).parents[2].joinpath("docs", "readers.md").read_text("utf-8")
WAREHOUSE = "/data/pingti/warehouse"
COLUMNS = ("text_id", "label", "score", "text")


def statements(section: str, language: str, warehouse: Path) -> list[str]:
    """The code of a section of the page, about another warehouse."""
    part = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    found = re.findall(rf"^```{language}\n(.*?)^```", part, re.MULTILINE | re.DOTALL)
    assert found
    assert all(WAREHOUSE in one for one in found)
    return [one.replace(WAREHOUSE, str(warehouse)) for one in found]


def label_row(text_id: str, label: str, **values: Any) -> dict[str, Any]:
    return {
        "text_id": text_id, "dt": DAY, "task": "praise", "label": label, "scene": "live_chat", "score": 0.75,
        "threshold": 0.5, "model_id": "praise/textcnn/1", "threshold_version": 1,
    } | values  # fmt: skip


@pytest.fixture(scope="module")
def lake(shared_lake: Callable[..., Lake]) -> Lake:
    """Labels written as the job writes them, twice, so that files have been replaced."""
    own = shared_lake(*tables.ALL)
    texts = [text_row("a", "老师好“棒”"), text_row("b", "行1,\n行2"), text_row("c", dt=day(1)), text_row("d")]
    labels = [
        label_row("a", "thanks"), label_row("a", "got", score=0.25), label_row("b", "thanks", score=None, rule="r"),
        label_row("c", "got", dt=day(1)), label_row("d", "complaint", task="feedback"),
    ]  # fmt: skip
    promotions = [
        promotion_row("praise/textcnn/0", NEW_YEAR), promotion_row("praise/textcnn/1", NEW_YEAR.replace(month=2)),
        promotion_row("feedback/textcnn/1", NEW_YEAR),
    ]  # fmt: skip
    labels += [label_row("d", "thanks", model_id="praise/textcnn/0")]  # of a day that nobody decided again
    fill(own, {tables.TEXTS: texts, tables.LABELS: labels, tables.PROMOTIONS: promotions})
    return own


@pytest.fixture(scope="module")
def wanted(lake: Lake) -> list[tuple[Any, ...]]:
    """What our own view says."""
    views.register(lake, {})
    view = lake.spark.table(f"{lake.catalog.schema_name}.current_labels").where("task = 'praise'")
    found = sorted(rows_of(view, *COLUMNS), key=lambda row: row[:2])
    assert [row[:2] for row in found] == [("a", "got"), ("a", "thanks"), ("b", "thanks"), ("c", "got")]
    return found


def place(lake: Lake) -> Path:
    assert lake.catalog.root is not None
    return Path(lake.catalog.root)


def test_delta_rs_reads_current_labels_and_a_day_as_documented(lake: Lake, wanted: list[tuple[Any, ...]]) -> None:
    query, one_day = statements("delta-rs", "python", place(lake))
    names: dict[str, Any] = {}
    exec(query, names)
    import pyarrow as pa

    current = pa.table(names["current"])
    (view,) = (text for name, text in views.queries(lake.catalog.schema_name, {}).items() if name == "current_labels")
    columns = lake.spark.sql(view).columns
    assert current.column_names == columns
    assert [tuple(row[name] for name in COLUMNS) for row in current.to_pylist()] == wanted
    exec(one_day, names)
    assert sorted(row["text_id"] for row in names["day"].to_pylist()) == ["a", "a", "b", "d"]


def test_duckdb_reads_current_labels_as_documented(lake: Lake, wanted: list[tuple[Any, ...]]) -> None:
    (script,) = statements("DuckDB", "python", place(lake))
    names: dict[str, Any] = {}
    exec(script, names)
    assert names["current"] == wanted
    described = names["lake"].execute("DESCRIBE current_labels").fetchall()
    (view,) = (text for name, text in views.queries(lake.catalog.schema_name, {}).items() if name == "current_labels")
    assert [row[0] for row in described] == lake.spark.sql(view).columns


@pytest.mark.faults
def test_spark_sql_reads_current_labels_as_documented(
    lake: Lake, wanted: list[tuple[Any, ...]], tmp_path: Path
) -> None:
    (script,) = statements("spark-sql", "bash", place(lake))
    programs = Path(pyspark.__file__).parent / "bin"
    environment = os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}", "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable,
        "SPARK_SUBMIT_OPTS": f"-Dderby.system.home={tmp_path}",
    }  # fmt: skip
    ended = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-2000:]
    shown = ["\t".join("NULL" if value is None else str(value) for value in row) for row in wanted]
    assert ended.stdout.rstrip("\n") == "\n".join(shown)


@pytest.mark.parametrize("table", tables.ALL, ids=lambda table: table.name)
def test_no_table_uses_what_other_readers_cannot_read(lake: Lake, table: tables.Table) -> None:
    read = DeltaTable(str(place(lake) / table.name))
    protocol = read.protocol()
    assert protocol.min_reader_version == 1
    assert not protocol.reader_features
    assert protocol.min_writer_version == 2
    assert not protocol.writer_features
    properties = read.metadata().configuration
    assert properties.get("delta.enableDeletionVectors", "false") == "false"
    assert properties.get("delta.columnMapping.mode", "none") == "none"
    assert [field.name for field in read.schema().fields] == list(table.names)
