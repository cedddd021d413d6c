"""What a scoring task would reach that reads and writes Parquet itself, without the JVM's rows: part of `make bench`.

The same texts, student and columns as the whole job, on one pinned core: the files of `texts` by pyarrow, the scorer of
the job, one file of scores by pyarrow. Neither Delta's commit nor deletion vectors: the bound of what could be next.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from benchmarks.job import PLACE
from benchmarks.random_student import MODEL
from benchmarks.results import RUNS, record
from udfs.student_scoring import Served, score_batch

BATCH = 10_000  # as Spark hands them over
COLUMNS = ["text_id", "dt", "scene", "text", "clean_version"]


def main() -> int:
    """Measure and add to `build/bench/student.json`."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    files = sorted(str(path) for path in (PLACE / "warehouse" / "texts").rglob("*.parquet"))
    if not files:
        sys.stderr.write("own_reader: no texts; run `make bench` first\n")
        return 4
    source = ds.dataset(files)
    served = [Served(MODEL, str(PLACE / "bundles" / "student"), "wanted")]
    rows = source.count_rows()
    _once(source, served)
    found = []
    for _ in range(RUNS):
        started = time.perf_counter()
        _once(source, served)
        found.append(rows / (time.perf_counter() - started))
    record({"own_reader": found}, {"rows": rows})
    return 0


def _once(source: ds.Dataset, served: list[Served]) -> None:
    with tempfile.TemporaryDirectory(dir=PLACE) as folder:
        writer = None
        for batch in _scored(source, served):
            if writer is None:
                options = {"use_dictionary": ["dt", "model_id", "scene", "clean_version"], "compression": "snappy"}
                writer = pq.ParquetWriter(Path(folder) / "scores.parquet", batch.schema, **options)
            writer.write_batch(batch)
        if writer is not None:
            writer.close()


def _scored(source: ds.Dataset, served: list[Served]) -> Iterator[pa.RecordBatch]:
    for batch in source.to_batches(columns=COLUMNS, batch_size=BATCH, use_threads=False):
        wanted = pa.array([True] * batch.num_rows)
        yield from score_batch(batch.append_column("wanted", wanted), served)


if __name__ == "__main__":
    sys.exit(main())
