"""Under spark-submit a property file comes before our defaults; what is unsafe in it is refused, not overwritten."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pyspark
import pytest

from jobs.runtime import jars

ROOT = Path(__file__).parents[2]
SUBMIT = Path(pyspark.__file__).parent / "bin" / "spark-submit"
IDLE, ROWS, WRITERS = (
    "spark.sql.execution.pyspark.udf.idleTimeoutSeconds", "spark.sql.execution.arrow.maxRecordsPerBatch",
    "spark.sql.maxConcurrentOutputFileWriters",
)  # fmt: skip
SCRIPT = """
import json, sys
from jobs.runtime import session
from jobs.settings import SessionSettings
from models.errors import SettingsError
try:
    spark = session.start(SessionSettings(conf={"spark.sql.shuffle.partitions": "3"}))
except SettingsError as error:
    print(json.dumps({"refused": str(error)}))
else:
    print(json.dumps({key: spark.conf.get(key) for key in sys.argv[1:]}))
"""

pytestmark = pytest.mark.spark


def submitted(folder: Path, properties: dict[str, str], *asked: str) -> dict[str, str]:
    """What a script sees that is submitted with a property file."""
    (folder / "script.py").write_text(SCRIPT)
    own = {
        "spark.master": "local[1]", "spark.ui.enabled": "false", "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1", "spark.jars": ",".join(map(str, jars.ensure())),
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
    }  # fmt: skip
    lines = [f"{key} {value}" for key, value in (own | properties).items()]
    (folder / "some.conf").write_text("\n".join(lines) + "\n")
    environment = os.environ | {
        "PYTHONPATH": str(ROOT),
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
    }
    command = [str(SUBMIT), "--properties-file", str(folder / "some.conf"), str(folder / "script.py"), *asked]
    ended = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert ended.returncode == 0, ended.stderr[-3000:]
    seen: dict[str, str] = json.loads(ended.stdout.strip().splitlines()[-1])
    return seen


def test_a_property_file_wins_and_what_it_leaves_unset_is_filled(tmp_path: Path) -> None:
    seen = submitted(tmp_path, {IDLE: "1800", ROWS: "1234"}, IDLE, ROWS, WRITERS, "spark.sql.shuffle.partitions")
    assert seen == {IDLE: "1800", ROWS: "1234", WRITERS: "16", "spark.sql.shuffle.partitions": "3"}


def test_what_is_unsafe_in_a_property_file_is_refused_by_name(tmp_path: Path) -> None:
    seen = submitted(tmp_path, {"spark.sql.ansi.enabled": "false", "spark.speculation": "true"})
    assert "spark.sql.ansi.enabled is false, must be true" in seen["refused"]
    assert "spark.speculation is true, must be false" in seen["refused"]
