"""The packaged jobs on a cluster of two executors, submitted from another folder, with processes killed under way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pyspark
import pytest
import torch
import yaml

from jobs.lake import tables
from jobs.runtime import jars
from models.export.exporter import export_student
from models.student_settings import TextCNNSettings
from models.students.textcnn import TextCNN
from models.text.vocabulary import Vocabulary
from tests.support import add, model_row

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from jobs.lake.store import Lake

pytestmark = pytest.mark.faults
ROOT = Path(__file__).parents[2]
TEXTS = 20_000
_SUBMIT = Path(pyspark.__file__).parent / "bin" / "spark-submit"
# What a cluster of this machine's size changes of conf/spark/cpu.conf.
_SMALL = (
    "spark.executor.cores=1",
    "spark.executor.memory=900m",
    "spark.executor.memoryOverhead=0m",
    "spark.authenticate.secret=of-this-test",
    "spark.sql.shuffle.partitions=4",
    "spark.databricks.delta.snapshotPartitions=2",
    f"spark.driver.extraJavaOptions=-Dlog4j2.configurationFile={ROOT / 'jobs' / 'runtime' / 'log4j2.properties'}",
)


@dataclass(frozen=True)
class Cluster:
    """The packaged build, a folder to submit from, and settings that are found by their full path."""

    dist: Path
    folder: Path
    settings: Path

    def submit(self, *job: str) -> subprocess.Popen[str]:
        """Start a job by `spark-submit`, as the README says it."""
        environment = {
            name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PINGTI_STOP_AT")
        }
        environment |= {
            "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": sys.executable, "SPARK_WORKER_DIR": str(self.workers),
        }  # fmt: skip
        for name in ("PYTHONPATH", "PINGTI_STOP_AT"):  # the zip alone says where the code is
            environment.pop(name, None)
        command = [str(_SUBMIT), "--master", "local-cluster[2,1,1024]"]
        command += ["--properties-file", str(ROOT / "conf" / "spark" / "cpu.conf")]
        command += ["--jars", ",".join(str(jar) for jar in jars.ensure())]
        command += [part for setting in _SMALL for part in ("--conf", setting)]
        command += ["--py-files", str(self.dist / "pingti.zip"), str(self.dist / "submit.py"), *job]
        command += ["--settings", str(self.settings)]
        with (self.folder / f"{job[0]}.log").open("w") as log:
            return subprocess.Popen(command, cwd=self.folder, env=environment, stdout=log, stderr=log, text=True)

    @property
    def workers(self) -> Path:
        """Where the executors have their folders; it also tells their processes from others."""
        return self.folder / "workers"

    def printed(self, job: str) -> str:
        """The end of what a job printed."""
        return (self.folder / f"{job}.log").read_text()[-4000:]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    folder = tmp_path_factory.mktemp("cluster")
    dist = folder / "dist"
    made = subprocess.run(
        ["make", "package", f"RUN={sys.executable}", f"DIST={dist}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "spark-submit" in made.stdout
    with (folder / "chat.jsonl").open("w") as file:
        for row in range(TEXTS):
            text = f"老师第{row}题没听懂，可以再讲一遍吗"
            file.write(
                json.dumps({"id": str(row), "say": text, "at": "2026-03-01 08:00:00"}, ensure_ascii=False) + "\n"
            )
    columns = {"source_id": "id", "text": "say", "event_time": "at"}
    source = {"path": str(folder / "chat.jsonl"), "format": "jsonl", "columns": columns}
    source["constants"] = {"scene": "live_chat", "source": "chat"}
    settings = {
        "lake": {"schema_name": "clustered", "location": str(folder / "warehouse"), "bundles": str(folder / "bundles")},
        "sources": {"chat": source},
        "ingest": {"split_bytes": 1 << 18, "driver_bytes": 0},  # by executors: the driver alone would read it
        "tasks": {"praise": {"scenes": ["live_chat"], "labels": {"asks": {}}}},
    }
    (folder / "settings.yaml").write_text(yaml.safe_dump(settings))
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    return Cluster(dist, elsewhere, folder / "settings.yaml")


def processes(cluster: Cluster, what: bytes) -> Iterator[int]:
    """The cluster's processes whose command line has `what`."""
    mine = str(cluster.workers).encode()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if what in (entry / "cmdline").read_bytes() and mine in (entry / "environ").read_bytes():
                    yield int(entry.name)
            except OSError:
                continue  # it ended meanwhile, or is not ours


def python_workers(cluster: Cluster) -> list[int]:
    """Workers are forks of a daemon: the parent of one is a daemon itself."""
    daemons = set(processes(cluster, b"pyspark.daemon"))
    parents = {}
    for pid in daemons:
        try:
            parents[pid] = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue
    return [pid for pid, parent in parents.items() if parent in daemons]


def executors(cluster: Cluster) -> list[int]:
    return list(processes(cluster, b"CoarseGrainedExecutorBackend"))


def kill_one(job: subprocess.Popen[str], find: Callable[[], list[int]], after: float) -> None:
    """Wait for such a process, let it work for a moment, and kill it."""
    deadline = time.monotonic() + 180
    while not find():
        assert job.poll() is None, "the job ended before anything could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.2)
    time.sleep(after)
    os.kill(find()[0], signal.SIGKILL)


@pytest.fixture(scope="module")
def survived(cluster: Cluster, spark: SparkSession) -> Cluster:
    """The cluster after an ingest that lost a Python worker, and a clean and a scoring that each lost an executor."""
    lake = open_lake(cluster, spark)
    lake.catalog.make(lake.catalog.missing())
    job = cluster.submit("ingest")
    kill_one(job, lambda: python_workers(cluster), after=1.0)
    assert job.wait(400) == 0, cluster.printed("ingest")
    job = cluster.submit("clean")
    kill_one(job, lambda: executors(cluster) if python_workers(cluster) else [], after=0.5)
    assert job.wait(400) == 0, cluster.printed("clean")
    add_student(lake, cluster.folder)
    job = cluster.submit("score")
    kill_one(job, lambda: executors(cluster) if python_workers(cluster) else [], after=0.5)
    assert job.wait(400) == 0, cluster.printed("score")
    return cluster


def add_student(lake: Lake, folder: Path) -> None:
    """A sealed student with random weights."""
    torch.manual_seed(1)
    vocabulary = Vocabulary(tuple("老师题没听懂可以再讲一遍吗0123456789"))
    bundle = export_student(
        TextCNN(TextCNNSettings(embedding=4, filters=3, widths=(1, 3)), len(vocabulary), 1), folder=folder / "student",
        task="praise", kind="textcnn", labels=("asks",), vocabulary=vocabulary, max_length=32, clean_version="1",
        model_id="praise/textcnn/0",
    )  # fmt: skip
    add(lake, tables.MODELS, model_row("praise/textcnn/0", ["asks"], path=str(bundle)))


def open_lake(cluster: Cluster, spark: SparkSession) -> Lake:
    from jobs.lake.store import Lake
    from jobs.settings_file import load

    settings = load(cluster.settings)
    return Lake(lambda: spark, settings.lake, settings.session.timezone)


def test_a_killed_worker_and_a_killed_executor_lose_nothing_and_write_nothing_twice(
    survived: Cluster, spark: SparkSession
) -> None:
    lake = open_lake(survived, spark)
    for table in (tables.RAW_TEXTS, tables.TEXTS):
        rows = lake.read(table)
        assert (rows.count(), rows.select("text_id").distinct().count()) == (TEXTS, TEXTS)
    assert lake.read(tables.REJECTED).count() == 0
    told = {row["job"]: row["row_counts"] for row in lake.read(tables.RUNS).where("outcome = 'done'").collect()}
    assert told["ingest"]["read"] == TEXTS
    assert told["score"]["scores"] == told["score"]["praise_scores"] == TEXTS


def test_scores_lost_with_an_executor_are_written_again_and_read_once(survived: Cluster, spark: SparkSession) -> None:
    lake = open_lake(survived, spark)
    scores = lake.read(tables.STUDENT_SCORES)
    assert (scores.count(), scores.select("text_id").distinct().count()) == (TEXTS, TEXTS)
    assert scores.where("probs is null or error is not null").isEmpty()
    (row,) = (row for row in lake.rows(tables.RUNS) if row["job"] == "score")
    assert row["reason"] == "by files"
    committed = lake.catalog.arrow.files(tables.STUDENT_SCORES)
    assert sum(file.rows or 0 for file in committed) == TEXTS


def test_of_two_runs_of_one_day_at_once_one_wins_and_the_other_ends_with_code_5(
    survived: Cluster, spark: SparkSession
) -> None:
    rule = {"name": "thanks", "pattern": "谢谢.*", "outcome": "useless"}
    other = yaml.safe_load(survived.settings.read_text()) | {"cleaning": {"rules": [rule]}}
    file = survived.folder / "other.yaml"
    file.write_text(yaml.safe_dump(other, allow_unicode=True))
    command = [sys.executable, "-m", "jobs.cli", "clean", "--settings", str(file)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    runs = [
        subprocess.Popen(command, cwd=survived.folder, env=environment, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    told = [run.communicate(timeout=400)[1] for run in runs]
    assert sorted(run.returncode for run in runs) == [0, 5], told
    loser = told[0] if runs[0].returncode else told[1]
    assert "another run wrote the same part first" in loser
    rows = open_lake(survived, spark).read(tables.TEXTS)
    assert (rows.count(), rows.select("text_id").distinct().count()) == (TEXTS, TEXTS)
    assert rows.select("clean_version").distinct().count() == 1
