"""On a small cluster whose executors have a GPU, only the stage that asks for one has it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = """
import json, sys
import pyarrow as pa
from pyspark.sql import SparkSession
from jobs.runtime.executors import GpuRequest, gpus_of_the_task, map_batches
from jobs.scoring.teacher_place import gpu_request

script, root = sys.argv[1:]
conf = {
    "spark.worker.resource.gpu.amount": "1", "spark.worker.resource.gpu.discoveryScript": script,
    "spark.executor.resource.gpu.amount": "1", "spark.executor.resource.gpu.discoveryScript": script,
    "spark.executor.cores": "2", "spark.executorEnv.PYTHONPATH": root, "spark.ui.enabled": "false",
    "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1",
}
builder = SparkSession.builder.master("local-cluster[1,2,1024]")
for key, value in conf.items():
    builder = builder.config(key, value)
spark = builder.getOrCreate()
schema = pa.schema([("gpus", pa.string())])

def told(batches):
    for batch in batches:
        yield pa.RecordBatch.from_pydict({"gpus": [",".join(gpus_of_the_task())] * batch.num_rows}, schema)

def gpus(request):
    frame = spark.range(0, 8, 1, 2).repartition(2, "id").sortWithinPartitions("id")
    return sorted({row["gpus"] for row in map_batches(frame, told, schema, request).collect()})

asked = gpu_request(dict(spark.sparkContext.getConf().getAll()))
print(json.dumps({"cpus": asked.cpus, "asked": gpus(asked), "not": gpus(None)}))
"""


@pytest.mark.faults
def test_the_stage_that_asks_for_gpus_has_them_and_no_other(tmp_path: Path) -> None:
    discovery = tmp_path / "gpus.sh"
    discovery.write_text('#!/bin/sh\necho \'{"name": "gpu", "addresses": ["3"]}\'\n')
    discovery.chmod(0o755)
    own = {"PYTHONPATH": str(ROOT), "PYSPARK_PYTHON": sys.executable, "SPARK_LOCAL_IP": "127.0.0.1"}
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(discovery), str(ROOT)], env=os.environ | own, cwd=tmp_path,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert json.loads(ended.stdout.splitlines()[-1]) == {"cpus": 2, "asked": ["3"], "not": [""]}
