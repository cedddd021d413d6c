"""Files much larger than the memory allowed are surveyed and read, whatever their format."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.faults
ROOT = Path(__file__).parents[3]
ALLOWED = 160 << 20  # beyond what the interpreter and its libraries take
TEXT = "课" * 20_000  # 60 KB
RECORDS = 6_000  # 360 MB
LONG = 100 << 20
# What reserves address space without using it: Arrow's own pool and OpenBLAS by the gigabyte, an arena a thread 64 MB.
SPARING = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "OPENBLAS_NUM_THREADS": "1",
    "MALLOC_ARENA_MAX": "1",
    "PYTHONPATH": str(ROOT),
}

# Parsing is told apart from holding: the address space is capped after the imports.
READ = """
import json, resource, sys
from udfs.readers.reading import read_range
from udfs.readers.sources import RecordLimits, SourceSettings
from udfs.readers.survey import survey
path, kind, encoding, allowed = sys.argv[1:]
given = {"path": "", "format": kind, "columns": {"text": "t", "event_time": "e"}, "encoding": encoding}
given["time_format"] = "epoch_seconds"
source = SourceSettings.model_validate(given | {"constants": {"scene": "c", "source": "a"}})
with open("/proc/self/statm") as file:
    now = int(file.read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + int(allowed), now + int(allowed)))
found = survey(path, source)
counts = {"surveyed": found.records, "refused": found.refused}
for batch in read_range(path, 0, found.size, "load", source, RecordLimits()):
    for reason in batch.column("reason").to_pylist():
        counts[str(reason)] = counts.get(str(reason), 0) + 1
print(json.dumps(counts))
"""


def blocks(kind: str) -> Iterator[bytes]:
    record = json.dumps({"t": TEXT, "e": 0}, ensure_ascii=False) if kind == "jsonl" else f'"{TEXT}\n",0'
    if kind != "jsonl":
        yield b"t,e\n"
    block = (record + "\n").encode() * 100
    for _ in range(RECORDS // 100):
        yield block


def write(folder: Path, kind: str, encoding: str, packed: bool) -> Path:
    path = folder / (f"f.{kind}.gz" if packed else f"f.{kind}")
    with gzip.open(path, "wb", compresslevel=1) if packed else path.open("wb") as file:
        for block in blocks(kind):
            file.write(block if encoding == "utf-8" else block.decode().encode(encoding))
    return path


def run(code: str, path: Path, kind: str, encoding: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, str(path), kind, encoding, str(ALLOWED)]
    return subprocess.run(command, env=os.environ | SPARING, capture_output=True, text=True, check=False)


def read(path: Path, kind: str, encoding: str = "utf-8") -> dict[str, object]:
    ended = run(READ, path, kind, encoding)
    assert ended.returncode == 0, ended.stderr[-2000:]
    found: dict[str, object] = json.loads(ended.stdout)
    return found


@pytest.mark.parametrize(
    ("kind", "encoding", "packed"),
    [
        ("jsonl", "utf-8", False),
        ("csv", "utf-8", False),
        ("jsonl", "gbk", True),
    ],
)
def test_a_file_larger_than_memory_is_read(tmp_path: Path, kind: str, encoding: str, packed: bool) -> None:
    path = write(tmp_path, kind, encoding, packed)
    assert packed or path.stat().st_size > 2 * ALLOWED
    assert read(path, kind, encoding) == {"surveyed": RECORDS, "refused": None, "None": RECORDS}


def test_a_parquet_file_larger_than_memory_is_read(tmp_path: Path) -> None:
    schema = pa.schema([("t", pa.string()), ("e", pa.int64())])
    with pq.ParquetWriter(
        tmp_path / "f", schema, compression="none", use_dictionary=False, write_batch_size=16
    ) as writer:
        writer.write_table(pa.table({"t": [TEXT] * RECORDS, "e": [0] * RECORDS}, schema))  # one row group
    assert (tmp_path / "f").stat().st_size > 2 * ALLOWED
    assert read(tmp_path / "f", "parquet") == {"surveyed": RECORDS, "refused": None, "None": RECORDS}


@pytest.mark.parametrize("filling", [b"x", b" ", b'"', b",", b"\xff"], ids=["x", "blank", "quote", "comma", "byte"])
@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_single_line_of_100_mb_is_read(tmp_path: Path, kind: str, filling: bytes) -> None:
    good = json.dumps({"t": "a", "e": 0}).encode() if kind == "jsonl" else b"a,0"
    with (tmp_path / "f").open("wb") as file:
        file.write(b"t,e\n" * (kind == "csv") + good + b"\n")
        for _ in range(LONG >> 20):
            file.write(filling * (1 << 20))
        file.write(b"\n" + good + b"\n")
    blank = filling == b" " and kind == "jsonl"
    wanted = {"surveyed": 2 if blank else 3, "refused": None, "None": 2} | ({} if blank else {"too_long": 1})
    assert read(tmp_path / "f", kind) == wanted


def test_a_compressed_line_of_256_mb_is_read(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "f.jsonl.gz", "wb", compresslevel=1) as file:
        for _ in range(1 << 8):
            file.write(b"x" * (1 << 20))
    assert (tmp_path / "f.jsonl.gz").stat().st_size < 10 << 20
    assert read(tmp_path / "f.jsonl.gz", "jsonl") == {"surveyed": 1, "refused": None, "too_long": 1}


def test_the_cap_is_one_that_a_whole_file_would_break(tmp_path: Path) -> None:
    held = READ.replace("found = survey(path, source)", "whole = open(path, 'rb').read(); found = survey(path, source)")
    path = write(tmp_path, "jsonl", "utf-8", False)
    ended = run(held, path, "jsonl", "utf-8")
    assert ended.returncode == 1
    assert "MemoryError" in ended.stderr
