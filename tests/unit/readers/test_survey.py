"""What a survey tells of a file: its digest and count, or why it is refused whole."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from udfs.readers import file_format
from udfs.readers.sources import SourceSettings
from udfs.readers.survey import SURVEYS, UNREADABLE, Survey, survey, surveyor

HEADER = b"t,e\n"
PACKED = gzip.compress(b'{"t": 1}\n{}\n' * 500)
FLIPPED = PACKED[:-8] + bytes([PACKED[-8] ^ 1]) + PACKED[-7:]


def source(kind: str, **changes: Any) -> SourceSettings:
    given: dict[str, Any] = {"path": "", "format": kind, "columns": {"text": "t", "event_time": "e"}}
    return SourceSettings.model_validate(given | {"constants": {"scene": "chat", "source": "app"}} | changes)


def looked_at(folder: Path, content: bytes, kind: str, name: str = "f", **changes: Any) -> Survey:
    (folder / name).write_bytes(content)
    found = survey(str(folder / name), source(kind, **changes))
    assert (found.sha256, found.size) == (hashlib.sha256(content).hexdigest(), len(content))
    return found


def test_a_survey_tells_digest_size_and_count(tmp_path: Path) -> None:
    content = HEADER + b'"a\nb",1\n\nc,2\n'
    assert looked_at(tmp_path, content, "csv") == Survey(
        str(tmp_path / "f"), hashlib.sha256(content).hexdigest(), len(content), 2
    )
    assert looked_at(tmp_path, content, "jsonl").records == 4


def test_an_empty_jsonl_file_holds_nothing_and_is_not_refused(tmp_path: Path) -> None:
    assert looked_at(tmp_path, b"", "jsonl").records == 0
    assert looked_at(tmp_path, gzip.compress(b""), "jsonl", "f.gz").records == 0


def parquet_of(tmp_path: Path, **columns: list[Any]) -> bytes:
    pq.write_table(pa.table(columns), tmp_path / "p", compression="none", use_dictionary=False)
    return (tmp_path / "p").read_bytes()


def test_a_survey_of_parquet_counts_its_rows(tmp_path: Path) -> None:
    content = parquet_of(tmp_path, t=["a\n", None, "b"], e=[1, 2, 3])
    assert looked_at(tmp_path, content, "parquet").records == 3


def test_a_parquet_file_without_a_column_of_the_mapping_is_refused_by_its_name(tmp_path: Path) -> None:
    found = looked_at(tmp_path, parquet_of(tmp_path, t=["a"]), "parquet")
    assert (found.records, found.refused, found.detail) == (1, "file_header", "no column e")


def test_a_parquet_file_with_a_broken_page_under_a_sound_footer_is_refused(tmp_path: Path) -> None:
    content = bytearray(parquet_of(tmp_path, t=["a" * 999] * 9, e=[1] * 9))
    content[4:40] = b"\xff" * 36
    found = looked_at(tmp_path, bytes(content), "parquet")
    assert (found.records, found.refused) == (1, "file_not_parquet")


def test_a_survey_reads_files_of_many_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_format, "SMALL_BLOCK", 7)
    assert looked_at(tmp_path, HEADER + b'"a\n\n",b\r\n' * 100, "csv").records == 100


def test_a_compressed_file_is_counted_by_its_content_and_named_by_its_bytes(tmp_path: Path) -> None:
    assert looked_at(tmp_path, PACKED, "jsonl", "f.jsonl.gz").records == 1000
    joined = gzip.compress(HEADER + b"a,1\n") + gzip.compress(b"b,2\n")  # as `cat a.gz b.gz` makes them
    assert looked_at(tmp_path, joined, "csv", "f.csv.gz").records == 2


ENCODINGS = [("gbk", ""), ("gb18030", ""), ("utf-16-le", "\ufeff"), ("utf-16-be", "\ufeff"), ("utf-16-le", "")]


@pytest.mark.parametrize(("encoding", "mark"), ENCODINGS)
def test_lines_are_counted_in_every_encoding(tmp_path: Path, encoding: str, mark: str) -> None:
    content = (mark + 't,e\n上,1\n"“好”\n上",2\n').encode(encoding)  # 上 is 4E 0A: it holds a line feed's byte
    declared = "utf-16" if encoding.startswith("utf-16") else encoding
    assert looked_at(tmp_path, content, "csv", encoding=declared).records == 2


REFUSED = [
    ("empty gzip", "f.jsonl.gz", b"", "jsonl", {}, "file_empty"),
    ("empty csv", "f.csv", b"", "csv", {}, "file_empty"),
    ("empty parquet", "f.parquet", b"", "parquet", {}, "file_empty"),
    ("truncated gzip", "f.jsonl.gz", PACKED[:-20], "jsonl", {}, "file_truncated"),
    ("gzip without its length", "f.jsonl.gz", PACKED[:-1], "jsonl", {}, "file_truncated"),
    ("false gzip", "f.jsonl.gz", b'{"t": 1}\n', "jsonl", {}, "file_not_gzip"),
    ("gzip with a flipped byte", "f.jsonl.gz", FLIPPED, "jsonl", {}, "file_not_gzip"),
    ("gzip with something behind it", "f.jsonl.gz", PACKED + b"more", "jsonl", {}, "file_not_gzip"),
    ("csv without our column", "f.csv", b"t,x\n1,2\n", "csv", {}, "file_header"),
    ("csv with our column twice", "f.csv", b"t,e,t\n1,2,3\n", "csv", {}, "file_header"),
    ("csv of data without header", "f.csv", b"hello,2026-03-01\n", "csv", {}, "file_header"),
    ("truncated parquet", "f.parquet", b"PAR1 and so on", "parquet", {}, "file_not_parquet"),
    ("utf-16 undeclared", "f.jsonl", "\ufeff{}".encode("utf-16-le"), "jsonl", {}, "file_encoding"),
    ("utf-16 undeclared, big end first", "f.csv", "\ufefft,e\n".encode("utf-16-be"), "csv", {}, "file_encoding"),
    ("utf-8 declared as gbk", "f.csv", b"\xef\xbb\xbf" + HEADER, "csv", {"encoding": "gbk"}, "file_encoding"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "kind", "changes", "reason"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED]
)
def test_a_file_is_refused_whole_with_its_reason(
    tmp_path: Path, name: str, content: bytes, kind: str, changes: dict[str, Any], reason: str
) -> None:
    found = looked_at(tmp_path, content, kind, name, **changes)
    assert (found.refused, found.records) == (reason, 1)
    assert found.detail
    assert "hello" not in found.detail


def test_the_batch_function_tells_every_file_and_what_could_not_be_opened(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"{}\n")
    paths = [str(tmp_path / "a"), str(tmp_path / "none")]
    batch = pa.RecordBatch.from_pylist([{"source_name": "s", "path": path} for path in paths])
    rows = [row for found in surveyor({"s": source("jsonl")})(iter([batch])) for row in found.to_pylist()]
    assert [list(row) for row in rows] == [SURVEYS.names] * 2
    assert [(row["path"], row["records"], row["refused"]) for row in rows] == [
        (paths[0], 1, None),
        (paths[1], 0, UNREADABLE),
    ]
    assert "cannot be opened" in rows[1]["detail"]
