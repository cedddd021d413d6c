"""Hostile files of annotations through Spark: set aside by record with a reason, or refused by name as a whole."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F

from jobs.ingestion import file_survey, import_annotations
from jobs.lake import tables
from jobs.lake.store import Lake
from jobs.runtime.job import Context
from models.errors import DataError
from tests.support import add, context_of, do, rows_of, text_row, versions
from udfs.readers.record_spans import MAX_RAW_BYTES, MAX_RECORD_BYTES

pytestmark = pytest.mark.spark

TASKS = {"praise": {"scenes": ["live_chat"], "labels": {"asks": {}, "got": {}}}}
TEXTS = [text_row("t1", "夸夸我"), text_row("t2", "好", source_id="2"), text_row("t3", "老师,好")]
BOTH = (tables.ANNOTATIONS, tables.REJECTED)
HEADER = "task,label,value,annotator,source,text\n"
GOOD = "praise,asks,1,{},chat,{}\n"


@pytest.fixture(scope="module")
def seeded(shared_lake: Callable[..., Lake]) -> Lake:
    lake = shared_lake(tables.TEXTS, *BOTH)
    add(lake, tables.TEXTS, *TEXTS)
    return lake


def context_for(lake: Lake, place: Path, **mapping: Any) -> Context:
    mapping = {"max_set_aside_share": 1} | mapping
    return context_of(lake, "annotate import", tasks=TASKS, annotations=mapping, options={"file": str(place)})


def annotated(lake: Lake, *annotators: str) -> list[tuple[Any, ...]]:
    annotations = lake.read(tables.ANNOTATIONS).where(F.col("annotator").isin(*annotators))
    return rows_of(annotations, "annotator", "text_id", "label", "value")


def set_aside(lake: Lake, folder: Path) -> list[tuple[Any, ...]]:
    rejected = lake.read(tables.REJECTED).where(F.startswith("file", F.lit(str(folder))))
    return rows_of(
        rejected.withColumn("file", F.substring_index("file", "/", -1)), "file", "position", "reason", "length"
    )


def test_what_cannot_be_read_is_set_aside_record_by_record(seeded: Lake, tmp_path: Path) -> None:
    gbk = (HEADER + GOOD.format("gbk", "hello") + GOOD.format("gbk", "夸夸我")).encode("gbk")
    (tmp_path / "a.csv").write_bytes(gbk)
    good = {"task": "praise", "label": "got", "value": 0, "annotator": "lines", "text_id": "t2"}
    (tmp_path / "b.jsonl.gz").write_bytes(
        gzip.compress(b"\xef\xbb\xbf" + json.dumps(good).encode() + b"\n" + b"[" * 200_000 + b"\n{")
    )
    line = GOOD.format("quotes", "好").encode()
    rest = line * (MAX_RECORD_BYTES // len(line) + 1)
    unclosed = b'praise,asks,1,quotes,chat,"'
    (tmp_path / "c.csv").write_bytes(HEADER.encode() + line + unclosed + rest)
    columns = {name: [value] for name, value in (good | {"annotator": "rows"}).items()}
    pq.write_table(pa.table(columns), tmp_path / "d.parquet")
    done = do(import_annotations.JOB, context_for(seeded, tmp_path))
    assert done is not None
    reasons = {
        "annotation_unmatched": 1, "annotation_not_utf8": 1, "annotation_malformed": 2, "annotation_too_long": 1,
    }  # fmt: skip
    assert done.counts == {"read": 8, "set_aside": 5, "annotations": 3} | reasons
    assert annotated(seeded, "gbk", "lines", "quotes", "rows") == [
        ("lines", "t2", "got", False), ("quotes", "t2", "asks", True), ("rows", "t2", "got", False),
    ]  # fmt: skip
    assert set_aside(seeded, tmp_path) == [
        ("a.csv", 0, "annotation_unmatched", len(GOOD.format("gbk", "hello")) - 1),
        ("a.csv", 1, "annotation_not_utf8", len(GOOD.format("gbk", "夸夸我").encode("gbk")) - 1),
        ("b.jsonl.gz", 1, "annotation_malformed", 200_000),
        ("b.jsonl.gz", 2, "annotation_malformed", 1),
        ("c.csv", 1, "annotation_too_long", len(unclosed + rest)),
    ]
    raws = [bytes(row["raw"]) for row in seeded.read(tables.REJECTED).collect()]
    assert max(len(raw) for raw in raws) == MAX_RAW_BYTES
    assert gbk.split(b"\n")[2] in raws

    assert import_annotations.plan(context_for(seeded, tmp_path)).steps == ()
    (tmp_path / "e.jsonl").write_text(json.dumps(good | {"annotator": "late"}))
    again = do(import_annotations.JOB, context_for(seeded, tmp_path))
    assert again is not None
    assert (again.counts["read"], again.counts["set_aside"], again.counts["annotations"]) == (9, 0, 4)
    assert len(set_aside(seeded, tmp_path)) == 5
    assert annotated(seeded, "late") == [("late", "t2", "got", False)]


def test_files_of_a_declared_encoding_are_read_as_such(seeded: Lake, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes((HEADER + GOOD.format("declared", "夸夸我")).encode("gbk"))
    (tmp_path / "b.tsv.gz").write_bytes(
        gzip.compress((HEADER + GOOD.format("packed", "夸夸我")).replace(",", "\t").encode("gbk"))
    )
    done = do(import_annotations.JOB, context_for(seeded, tmp_path, encoding="gbk"))
    assert done is not None
    assert done.counts == {"read": 2, "set_aside": 0, "annotations": 2}
    assert annotated(seeded, "declared", "packed") == [
        ("declared", "t1", "asks", True), ("packed", "t1", "asks", True),
    ]  # fmt: skip


@pytest.mark.parametrize("few", [0, 32])
def test_files_refused_whole_are_all_named_and_nothing_is_written(
    seeded: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(file_survey, "FEW_FILES", few)  # 0: executors look through the files
    (tmp_path / "a.csv").write_text("says,task\n好,praise\n", "utf-8")
    (tmp_path / "b.csv").write_text("text,task\n好,praise\n", "utf-8")
    (tmp_path / "c.csv.gz").write_bytes(gzip.compress(b"says,task\n" * 99)[:-9])
    (tmp_path / "d.parquet").write_bytes(b"PAR1 and so on")
    (tmp_path / "e.csv").write_bytes("\ufeffsays,task\n".encode("utf-16-le"))
    before = versions(seeded, *BOTH)
    with pytest.raises(DataError) as refused:
        do(import_annotations.JOB, context_for(seeded, tmp_path, columns={"text": "says"}))
    told = str(refused.value)
    assert f"{tmp_path}/b.csv: file_header: no column says; mend" in told
    assert f"{tmp_path}/c.csv.gz: not whole gzip data (file_truncated: " in told
    assert f"{tmp_path}/d.parquet: file_not_parquet" in told
    assert f"{tmp_path}/e.csv: file_encoding" in told
    assert "a.csv: " not in told
    assert told.endswith("nothing was imported")
    assert versions(seeded, *BOTH) == before


def test_one_file_of_an_unknown_suffix_among_others_is_named(seeded: Lake, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(HEADER)
    (tmp_path / "notes.txt.gz").write_bytes(b"")
    wanted = (
        r"notes.txt.gz: got the suffix '.txt', expected .csv, .tsv, .jsonl or .json \(or these with .gz\), or .parquet"
    )
    with pytest.raises(DataError, match=wanted):
        import_annotations.plan(context_for(seeded, tmp_path))
    (tmp_path / "notes.txt.gz").unlink()
    done = do(import_annotations.JOB, context_for(seeded, tmp_path))
    assert done is not None
    assert done.counts == {"read": 0, "set_aside": 0, "annotations": 0}


def test_a_file_that_changes_between_plan_and_execution_is_not_imported(seeded: Lake, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(HEADER + GOOD.format("wu", "好"), "utf-8")
    context = context_for(seeded, tmp_path)
    work = import_annotations.plan(context)
    (tmp_path / "a.csv").write_text(HEADER + GOOD.format("wu", "好") * 2, "utf-8")
    before = versions(seeded, *BOTH)
    with pytest.raises(DataError, match="hold 1 records by their bytes, 2 were parsed; nothing was imported"):
        import_annotations.execute(context, work.required())
    assert versions(seeded, *BOTH) == before
