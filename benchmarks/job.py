"""The whole scoring job, Delta to Delta, and the same job with other models or none: part of `make bench`.

One table of texts, one session pinned to one core (the JVM, its Python worker and the driver together), the contenders
in turn, so that what slows the machine slows them all; then the student and no model on two cores. What is timed is
`score.execute` for the student; other models go the same way from file to file; Spark's rows are `score.by_frames`. A
run of few rows is measured beside: the fixed cost of a commit and a worker that is there already. The labels of a day
are counted by each way and by the other engine.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import functions as F

from benchmarks import contenders, random_student
from benchmarks.random_student import LABELS, MODEL
from benchmarks.results import RUNS, child, note, record
from benchmarks.texts import SCENES, rows_of_the_demo
from jobs.days.made_days import Recipe
from jobs.days.signatures import Cell
from jobs.lake import tables
from jobs.lake.commits import Stamp
from jobs.lake.registry import RegisteredModel
from jobs.runtime import session
from jobs.runtime.context import Context, Days, Request, make_context, quiet_reporter
from jobs.runtime.daily import DailyWork
from jobs.scoring import score
from jobs.settings import ScoringSettings, Settings
from udfs.list_arrays import to_matrix

PLACE = Path("build/bench/job")
FIRST, DAYS, DISTINCT = date(2026, 3, 1), 12, 400_000
ROWS = 3_000_000
FEW = date(2026, 2, 1)  # a day of its own, for the fixed cost
FEW_ROWS = 100
# Whole days for each, so that a run takes 10 to 60 seconds.
SHARE = {"student": DAYS, "spark_rows": 6, "identity": DAYS, "fasttext": 3, "predict_batch_udf": 1}


def settings(cores: int, conf: Mapping[str, str]) -> Settings:
    """A warehouse of its own, as large a session as the cores allow."""
    own = {
        "lake": {"location": str(PLACE / "warehouse"), "bundles": str(PLACE / "bundles")},
        "session": {"master": f"local[{cores},4]", "shuffle_partitions": 2 * cores, "conf": conf},
        "tasks": {"bench": {"scenes": list(SCENES), "labels": {label: {} for label in LABELS}}},
    }
    return Settings.model_validate(own)


def open_context(cores: int, conf: Mapping[str, str] | None = None) -> Context:
    """A session with the benchmark's own modules on the workers' path."""
    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path.cwd()), *filter(None, [os.environ.get("PYTHONPATH")])])
    wanted = settings(cores, conf or {})
    return make_context("score", wanted, lambda: session.start(wanted.session), Request(), quiet_reporter())


def prepare(times: int = 1) -> None:
    """The table of texts (its days so many times over), the student and the fastText model; what is there stays."""
    texts = rows_of_the_demo(DISTINCT)
    if not (PLACE / "bundles" / "student").is_dir():
        (PLACE / "bundles").mkdir(parents=True)
        random_student.seal(PLACE / "bundles" / "student", pa.array(texts, pa.string()))
    if not (PLACE / "fasttext.bin").is_file():
        contenders.train_fasttext(texts[:50_000], LABELS, PLACE)
    context = open_context(len(os.sched_getaffinity(0)))
    context.lake.catalog.make()
    days = {FIRST + timedelta(days=at): at for at in range(DAYS * times)}
    missing = sorted((days.keys() | {FEW}) - set(context.lake.days(tables.TEXTS)))
    with tempfile.TemporaryDirectory(dir=PLACE) as folder:
        for day in missing:
            start, rows = (days[day] * ROWS // DAYS, ROWS // DAYS) if day in days else (0, FEW_ROWS)
            _write(Path(folder) / f"{day}.parquet", day, texts, start, rows)
        if missing:
            frame = context.spark.read.parquet(folder).withColumns(
                {
                    "source_id": F.lit(None).cast("string"),
                    "text_b": F.lit(None).cast("string"),
                    "event_time": F.col("dt").cast("timestamp"),
                    "settled": F.expr("array()").cast(tables.TEXTS.schema["settled"].dataType),
                }
            )
            context.lake.append(frame, tables.TEXTS, Stamp("bench", "bench"))
    context.spark.stop()


def _write(path: Path, day: date, texts: list[str], start: int, rows: int) -> None:
    """A day's rows: other texts than the days before as long as there are some, ids that do not compress."""
    chosen = [texts[(start + at) % len(texts)] for at in range(rows)]
    scenes = list(SCENES)
    columns = {
        "text_id": [os.urandom(16).hex() for _ in range(rows)],
        "dt": pa.array([day] * rows, pa.date32()),
        "source": ["app"] * rows,
        "scene": [scenes[at % len(scenes)] for at in range(rows)],
        "text": chosen,
        "text_hash": [os.urandom(16).hex() for _ in range(rows)],
        "length": pa.array([len(text) for text in chosen], pa.int32()),
        "clean_version": ["1"] * rows,
        "occurrences": pa.array([1] * rows, pa.int32()),
    }
    pq.write_table(pa.table(columns), path)


def work_of(days: Days) -> score.Scoring:
    """What the job's plan would be, had the student been distilled."""
    path = str(PLACE / "bundles" / "student")
    student = RegisteredModel(MODEL, "bench", "textcnn", "student", LABELS, None, None, path, "1")
    there = [days.first + timedelta(at) for at in range((days.last - days.first).days + 1)]
    recipes = {Cell(day, MODEL): Recipe(os.urandom(8).hex()) for day in there}
    return score.Scoring(DailyWork(tables.STUDENT_SCORES, recipes), (student,))


def by_udf(context: Context, days: Days) -> None:
    """The job by Spark's own `predict_batch_udf`: the count, one read, the same columns, one commit over the scope."""
    scoring = work_of(days)
    texts = context.lake.read(tables.TEXTS).where(F.col("dt").between(days.first, days.last))
    wanted = F.col("scene").isin(*SCENES) & (F.size("settled") == 0)
    expected = texts.agg(F.count_if(wanted)).collect()[0][0]
    probabilities = contenders.spark_udf(str(PLACE / "bundles" / "student"))("text").alias("probs")
    frame = texts.where(wanted).select(
        "text_id", "dt", F.lit(MODEL).alias("model_id"), "scene", probabilities,
        F.lit(None).cast("string").alias("error"), "clean_version",
    )  # fmt: skip
    stamp = Stamp("bench", "bench", scoring.cells.fingerprint)
    commit = context.lake.replace(frame, tables.STUDENT_SCORES, stamp, scoring.cells.scope, gathered=False)
    if commit.rows != expected:
        raise RuntimeError(f"{expected} texts, {commit.rows} rows written")


def runs_of(context: Context) -> dict[str, Callable[[Days], Any]]:
    """Each contender's job over some days."""
    nothing = contenders.scorer(partial(contenders.identity, len(LABELS)))
    fast = contenders.scorer(partial(contenders.fasttext_model, str(PLACE / "fasttext.bin"), LABELS))
    return {
        "student": lambda days: score.execute(context, work_of(days)),
        "spark_rows": lambda days: score.by_frames(context, work_of(days)),
        "identity": lambda days: score.by_files(context, work_of(days), nothing),
        "fasttext": lambda days: score.by_files(context, work_of(days), fast),
        "predict_batch_udf": partial(by_udf, context),
    }


def label_counts(context: Context) -> list[int]:
    """How many texts of the first day have each label at 0.5, as the table holds it: a fast wrong engine shows here."""
    rows = context.lake.arrow(tables.STUDENT_SCORES, "probs", where=pc.field("dt") == FIRST)
    matrix = to_matrix(rows["probs"], len(LABELS))
    return [int(count) for count in (matrix >= 0.5).sum(axis=0)]


def check_counts(context: Context) -> list[int]:
    """The counts by files, which must be those by Spark's rows and by the other engine."""
    day = Days(FIRST, FIRST)
    found = []
    for by in (score.by_files, score.by_frames):
        by(context, work_of(day))
        found.append(label_counts(context))
    other = context.settings.model_copy(update={"scoring": ScoringSettings(engine="onnxruntime")})
    score.by_files(replace(context, settings=other), work_of(day))
    found.append(label_counts(context))
    near = max(abs(one - another) for one, another in zip(found[0], found[2], strict=True))
    if found[0] != found[1] or near > 2:  # the engines differ by 1e-5: a text may sit on the very edge
        raise RuntimeError(f"labels of one day differ: by files {found[0]}, by rows {found[1]}, by ONNX {found[2]}")
    return found[0]


def measure(cores: int, names: list[str]) -> dict[str, Any]:
    """Seconds of each contender's runs in one session, in turn, after a run of each to warm up."""
    os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:cores]))
    context = open_context(cores)
    context.spark.sparkContext.setLogLevel("ERROR")
    jobs = {name: job for name, job in runs_of(context).items() if name in names}
    span = {name: Days(FIRST, FIRST + timedelta(days=SHARE[name] - 1)) for name in names}
    for name, job in jobs.items():
        job(span[name])
    seconds: dict[str, list[float]] = {name: [] for name in names}
    few: list[float] = []
    for _ in range(RUNS):
        for name, job in jobs.items():
            seconds[name].append(_timed(job, span[name]))
        few.append(_timed(jobs["student"], Days(FEW, FEW)))
    rss = peak_of_workers()
    counts = check_counts(context)
    context.spark.stop()
    return {"seconds": seconds, "few": few, "worker_rss_mb": rss, "label_counts": counts}


def _timed(job: Callable[[Days], Any], days: Days) -> float:
    started = time.perf_counter()
    job(days)
    return time.perf_counter() - started


def peak_of_workers() -> float:
    """The largest resident set that any of this process's Python workers has had, in MB."""
    told: dict[int, dict[str, str]] = {}
    workers = []
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            process = int(status.parent.name)
            told[process] = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
            if b"pyspark.daemon" in status.with_name("cmdline").read_bytes():
                workers.append(process)
        except OSError:
            continue  # it ended meanwhile

    def descends(process: int) -> bool:
        while process in told and process != os.getpid():
            process = int(told[process]["PPid"])
        return process == os.getpid()

    own = [int(told[process]["VmHWM"].split()[0]) / 1024 for process in workers if descends(process)]
    return round(max(own, default=0.0), 1)


def main() -> int:
    """Measure in processes of their own and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", type=int)
    parser.add_argument("--prepare", action="store_true")
    parser.add_argument("--only", nargs="+", default=list(SHARE))
    asked = parser.parse_args()
    if asked.prepare:
        prepare()
        return 0
    if asked.cores:
        print(json.dumps(measure(asked.cores, asked.only)))
        return 0
    child("benchmarks.job", "--prepare")
    one = json.loads(child("benchmarks.job", "--cores", "1"))
    two = json.loads(child("benchmarks.job", "--cores", "2", "--only", "student", "identity"))
    _tell(one, two)
    return 0


def _tell(one: dict[str, Any], two: dict[str, Any]) -> None:
    """Rows a second of each run, and what the second core brings once the fixed cost is set apart."""
    rows = {name: ROWS // DAYS * share for name, share in SHARE.items()}
    names = {
        "student": "job_local1", "spark_rows": "job_spark_rows", "identity": "job_identity_files",
        "fasttext": "job_fasttext",
    }  # fmt: skip
    found = {names.get(name, name): [rows[name] / each for each in seconds] for name, seconds in one["seconds"].items()}
    found |= {
        f"{of_two}_local2": [rows[name] / each for each in two["seconds"][name]]
        for name, of_two in (("student", "job"), ("identity", "job_identity_files"))
    }
    record(found, {"rows": rows["student"], "labels": len(LABELS)})
    fixed = {cores: sorted(of["few"])[RUNS // 2] for cores, of in ((1, one), (2, two))}
    spent = {cores: sorted(of["seconds"]["student"])[RUNS // 2] - fixed[cores] for cores, of in ((1, one), (2, two))}
    note(
        {
            "label_counts": one["label_counts"],
            "worker_rss_mb": two["worker_rss_mb"],  # there no worker has opened a rival's model as well
            "job_fixed_seconds": {str(cores): round(value, 2) for cores, value in fixed.items()},
            "second_core": round(spent[1] / spent[2], 3),
        }
    )


if __name__ == "__main__":
    sys.exit(main())
