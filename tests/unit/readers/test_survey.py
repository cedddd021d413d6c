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
from udfs.readers.reading import read_range
from udfs.readers.sources import RecordLimits, SourceSettings
from udfs.readers.survey import CHANGED, SURVEYS, UNREADABLE, Content, Survey, survey, surveyor

HEADER = b"t,e\n"
PACKED = gzip.compress(b'{"t": 1}\n{}\n' * 500)
FLIPPED = PACKED[:-8] + bytes([PACKED[-8] ^ 1]) + PACKED[-7:]


def source(kind: str, **changes: Any) -> SourceSettings:
    given: dict[str, Any] = {"path": "", "format": kind, "columns": {"text": "t", "event_time": "e"}}
    return SourceSettings.model_validate(
        given | {"constants": {"scene": "chat", "source": "app"}, "time_format": "epoch_seconds"} | changes
    )


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
    ("utf-8 without mark declared as gb18030", "f.csv", HEADER + "老师好,1\n再见,2\n".encode() * 9, "csv",
     {"encoding": "gb18030"}, "file_encoding"),
    ("utf-16 without mark undeclared", "f.jsonl", '{"t": "好"}\n'.encode("utf-16-le"), "jsonl", {}, "file_encoding"),
    ("utf-16 without mark as gbk", "f.csv", b"t,e\n".decode().encode("utf-16-be") * 2, "csv", {"encoding": "gbk"},
     "file_encoding"),
    ("a spreadsheet called csv", "f.csv", b"PK\x03\x04\x14\0", "csv", {}, "file_not_text"),
    ("an old spreadsheet in lines", "f.jsonl", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\n", "jsonl", {}, "file_not_text"),
    ("gzip without its suffix", "f.jsonl", gzip.compress(b'{"t": "a"}\n'), "jsonl", {}, "file_not_text"),
    ("gzip twice", "f.csv.gz", gzip.compress(gzip.compress(HEADER)), "csv", {}, "file_not_text"),
    ("parquet called csv", "f.csv", b"PAR1 and so on", "csv", {}, "file_not_text"),
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


def grown(tmp_path: Path, before: bytes, after: bytes, kind: str = "jsonl", name: str = "f") -> Survey:
    """What a survey says of a file that had other content when it was loaded."""
    (tmp_path / name).write_bytes(after)
    return survey(str(tmp_path / name), source(kind), Content(len(before), hashlib.sha256(before).hexdigest()))


@pytest.mark.parametrize(
    ("before", "added", "first", "records"),
    [
        (b"{}\n{}\n", b"{}\n{}\n{}", 6, 3),
        (b"{}\n{}", b"\n{}\n", 5, 1),  # the last line was whole, only its end was missing
        (b'{}\n{"a"', b": 1}\n{}\n", 3, 2),  # it was not: it is read again as a whole
        (b'{"a"', b": 1}\n", 0, 1),
        (b"\xef\xbb\xbf{}\n", b"\xef\xbb\xbf\n{}\n", 6, 1),  # a mark begins a file that was joined to another
        (b"{}\n", b"\n \n", 3, 0),
        (b"{}\n" * 500_000, b"{}\n" * 3, 1_500_000, 3),
    ],
)
def test_of_a_file_of_lines_that_grew_only_the_new_lines_count(
    tmp_path: Path, before: bytes, added: bytes, first: int, records: int
) -> None:
    found = grown(tmp_path, before, before + added)
    assert (found.refused, found.first, found.records) == (None, first, records)
    assert found.sha256 == hashlib.sha256(before + added).hexdigest()
    read = read_range(found.path, first, found.size, "load", source("jsonl"), RecordLimits(), found.size)
    assert sum(batch.num_rows for batch in read) == records


@pytest.mark.parametrize(
    ("before", "after", "kind", "name"),
    [
        (b"{}\n{}\n", b"{}\n[]\n{}\n", "jsonl", "f"),
        (b"{}\n{}\n", b"{}\n", "jsonl", "f"),
        (b"t,e\na,1\n", b"t,e\na,1\nb,2\n", "csv", "f"),
        (gzip.compress(b"{}\n"), gzip.compress(b"{}\n") * 2, "jsonl", "f.gz"),
    ],
)
def test_any_other_content_under_a_known_name_is_refused(
    tmp_path: Path, before: bytes, after: bytes, kind: str, name: str
) -> None:
    found = grown(tmp_path, before, after, kind, name)
    assert (found.refused, found.records, found.first) == (CHANGED, 1, 0)


def test_the_same_bytes_under_a_known_name_are_as_they_were(tmp_path: Path) -> None:
    assert grown(tmp_path, b"{}\n{}", b"{}\n{}") == survey(str(tmp_path / "f"), source("jsonl"))


def test_what_came_to_a_file_after_its_survey_is_left_alone(tmp_path: Path) -> None:
    found = looked_at(tmp_path, b'{"t": "a", "e": 1}\n{"t"', "jsonl")
    with (tmp_path / "f").open("ab") as file:
        file.write(b': "b", "e": 1}\n{}\n')
    batches = read_range(found.path, 0, found.size, "load", source("jsonl"), RecordLimits(), found.size)
    rows = [row for batch in batches for row in batch.to_pylist()]
    assert [(row["reason"], row["length"]) for row in rows] == [(None, 18), ("malformed", 4)]
