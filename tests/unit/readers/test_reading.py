"""Every record becomes one row, good or rejected with its reason, and knows where its bytes lie."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import digests
from models.errors import DataError
from udfs.readers import delimited, json_lines, parquet, record_spans
from udfs.readers.reading import RECORDS, read_range, record_reader
from udfs.readers.sources import RecordLimits, SourceSettings
from udfs.readers.survey import survey

COLUMNS = {"text": "t", "event_time": "e", "source_id": "i", "scene": "s"}
LIMITS = RecordLimits(max_text_chars=10)
Read = Callable[..., list[dict[str, Any]]]


def source(kind: str, **changes: Any) -> SourceSettings:
    given: dict[str, Any] = {"path": "", "format": kind, "columns": COLUMNS, "constants": {"source": "app"}}
    given["time_format"] = "epoch_seconds"
    return SourceSettings.model_validate(given | changes)


def rows(path: Path, kind: str, first: int = 0, last: int | None = None, **changes: Any) -> list[dict[str, Any]]:
    end = path.stat().st_size if last is None else last
    batches = read_range(str(path), first, end, "load", source(kind, **changes), LIMITS)
    return [row for batch in batches for row in batch.to_pylist()]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads the content and checks what holds of every file: places, digests, and the count of the survey."""

    def read(content: bytes, kind: str, **changes: Any) -> list[dict[str, Any]]:
        path = tmp_path / "file"
        path.write_bytes(content)
        found = rows(path, kind, **changes)
        for row in found:
            own = content[row["position"] : row["position"] + row["length"]]
            assert hashlib.sha256(own).hexdigest() == row["sha256"]
            assert row["raw"] == (own[: record_spans.MAX_RAW_BYTES] if row["reason"] else None)
        assert survey(str(path), source(kind, **changes)).records == len(found)
        return found

    return read


def line(**changes: Any) -> bytes:
    return json.dumps({"t": "好", "e": 0, "i": "1", "s": "chat"} | changes).encode()


def test_a_good_record_has_every_column(read: Read) -> None:
    (row,) = read(line(t="好的", e=1772323200) + b"\n", "jsonl")
    assert row["event_time"] == datetime(2026, 3, 1, tzinfo=UTC)
    assert row["text_id"] == digests.of_source("app", "1")
    assert (row["text"], row["source"], row["source_id"], row["scene"]) == ("好的", "app", "1", "chat")
    assert (row["reason"], row["detail"], row["load_id"]) == (None, None, "load")


REJECTED = [
    (line(t=None), "no_text"),
    (line(t=""), "no_text"),
    (b'{"e": 0, "i": "1", "s": "chat"}', "no_text"),
    (line(t=5), "wrong_type"),
    (line(t=["a"]), "wrong_type"),
    (line(s=None), "wrong_type"),
    (line(s=False), "wrong_type"),
    (line(i=1.5), "wrong_type"),
    (line(i=True), "wrong_type"),
    (line(e=None), "wrong_type"),
    (line(e=True), "wrong_type"),
    (line(e="soon"), "wrong_type"),
    (line(e=""), "wrong_type"),
    (line(e="2026-02-30"), "wrong_type"),
    (line(e=1e300), "wrong_type"),
    (line(e=10**400), "wrong_type"),
    (line(e=float("nan")), "wrong_type"),
    (line(e="0001-01-01T00:00:00+14:00"), "wrong_type"),
    (line(e="9999-12-31T23:59:59-14:00"), "wrong_type"),
    (line(t="好" * 11), "too_long"),
    (line(t="好\ud800"), "lone_surrogate"),
    (line(i="\udfff"), "lone_surrogate"),
    (line().replace(b"chat", b"ch\xff"), "not_utf8"),
    (b"\xff", "not_utf8"),
    (b"{", "malformed"),
    (b"[1]", "malformed"),
    (b"null", "malformed"),
    (b'{"t": 1' + b"0" * 5000 + b"}", "malformed"),
    (b"[" * 100_000, "malformed"),
]


@pytest.mark.parametrize(("record", "reason"), REJECTED, ids=[f"{n}-{r}" for n, (_, r) in enumerate(REJECTED)])
def test_a_bad_record_is_kept_with_its_reason_and_harms_no_other(read: Read, record: bytes, reason: str) -> None:
    found = read(b"\n".join([line(), record, line(i="2")]), "jsonl")
    assert [row["reason"] for row in found] == [None, reason, None]
    bad = found[1]
    assert bad["text_id"] is bad["text"] is None
    assert "好" not in bad["detail"]


def test_an_identifier_may_be_a_number_and_may_be_absent(read: Read) -> None:
    number, nothing, blank, again = read(b"\n".join([line(i=7), line(i=None), line(i=""), line(i="")]), "jsonl")
    assert number["source_id"] == "7"
    assert nothing["source_id"] is blank["source_id"] is None
    assert len({row["text_id"] for row in (number, nothing, blank, again)}) == 4


def test_a_moment_without_an_offset_is_of_the_sources_zone(read: Read) -> None:
    (row,) = read(line(e="2026-07-01 00:00:00"), "jsonl", timezone="America/New_York", time_format=None)
    assert row["event_time"] == datetime(2026, 7, 1, 4, tzinfo=UTC)


def test_a_byte_order_mark_belongs_to_no_record(read: Read) -> None:
    marked = b"\xef\xbb\xbf  " + line() + b"\n\n " + line()
    assert [row["position"] for row in read(marked, "jsonl")] == [marked.index(b"{"), marked.rindex(b"{")]
    assert [row["reason"] for row in read(b"\xef\xbb\xbft,e,i,s\na,0,1,c\n", "csv")] == [None]
    assert read(b"\xef\xbb\xbf\n", "jsonl") == []


PIECES = st.sampled_from(
    [line(t=""), b"{", b"", b"\r", "{好".encode(), b"\xff", b"x" * 50, b'{"t": "a", "e": 1, "s": "c"}']
)


@given(st.lists(PIECES, max_size=12), st.lists(st.integers(0, 2000), max_size=6), st.booleans())
@settings(max_examples=300, deadline=None)
def test_any_ranges_read_every_record_exactly_once(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], cuts: list[int], ended: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "ranges.jsonl"
    path.write_bytes(b"\n".join(pieces) + b"\n" * ended)
    size = path.stat().st_size
    places = sorted({0, size, *(cut % (size + 1) for cut in cuts)})
    ranged = [row for at, to in pairwise(places) for row in rows(path, "jsonl", at, to)]
    assert ranged == (rows(path, "jsonl") if size else [])
    assert len(ranged) == survey(str(path), source("jsonl")).records


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records of more than 64 bytes are long, and 8 of their bytes are kept."""
    for module in (json_lines, delimited):
        monkeypatch.setattr(module, "MAX_RECORD_BYTES", 64)
        monkeypatch.setattr(module, "SMALL_BLOCK", 16)
    monkeypatch.setattr(record_spans, "MAX_RAW_BYTES", 8)


@pytest.mark.usefixtures("small")
def test_a_line_past_the_limit_is_one_rejected_record(read: Read) -> None:
    good, spaces = line(e=1), b" " * 200
    found = read(b"\n".join([good, b"x" * 64, b"x" * 200, spaces, line(i="2"), b"y" * 65]), "jsonl")
    assert [row["reason"] for row in found] == [None, "too_long", "too_long", None, "too_long"]
    assert [row["length"] for row in found[1:3]] == [64, 200]
    assert [row["raw"] for row in found[1:3]] == [b"x" * 8] * 2


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_delimited_record_past_the_limit_is_one_rejected_record(read: Read, end: bytes) -> None:
    long = [
        b"a" * 100 + b",0,1,c",
        b'a,0,1,"' + b'b""' * 30 + b'"',
        b'a,0,1,"' + b"\n\r\n" * 70 + b'"',
        b'"' + (b"c" * 30 + b"\n") * 9 + b'"' + b"d" * 90 + b',0,1,"\n"',
        b'"' * 64,
        b'"' * 93 + b'\n",0,1,c',
    ]
    content = end.join([b"t,e,i,s", *[part for one in long for part in (b"a,0,1,c", one)], b"\r" * 99, b"z,0,2,c"])
    found = read(content, "csv")
    assert [row["reason"] for row in found] == [None, "too_long"] * len(long) + [None]
    assert [row["length"] for row in found[1::2]] == [len(one) for one in long]


@pytest.mark.usefixtures("small")
def test_a_quote_that_is_never_closed_spoils_one_record_not_the_load(read: Read) -> None:
    for rest in (b"", b"d,0,2,c\n", b"d,0,2,c\n" * 20):
        good, bad = read(b't,e,i,s\na,0,1,c\nb,0,1,"c\n' + rest, "csv", dialect="excel")
        assert (good["reason"], bad["reason"]) == (None, "too_long" if len(rest) > 64 else "malformed")


CSV_BYTES = st.lists(st.sampled_from([b"a", b",", b'"', b"\n", b"\r", b"\r\n", b"\0", b"\xff", b"b" * 40]), max_size=30)


@given(CSV_BYTES, st.sampled_from(["csv", "tsv"]))
@settings(max_examples=1500, deadline=None)
def test_any_bytes_after_the_header_are_as_many_records_as_were_counted(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], kind: str
) -> None:
    path = tmp_path_factory.getbasetemp() / f"any.{kind}"
    header = b"t,e,i,s\n" if kind == "csv" else b"t\te\ti\ts\n"
    path.write_bytes(header + b"".join(pieces))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "MAX_RECORD_BYTES", 64)
        patch.setattr(delimited, "SMALL_BLOCK", 16)
        found = rows(path, kind, dialect="excel")
    assert len(found) == survey(str(path), source(kind, dialect="excel")).records
    content = path.read_bytes()
    for row in found:
        own = content[row["position"] : row["position"] + row["length"]]
        assert hashlib.sha256(own).hexdigest() == row["sha256"]


@pytest.mark.parametrize(("kind", "mark"), [("csv", b","), ("tsv", b"\t")])
def test_delimited_records_may_hold_lines_quotes_and_delimiters(read: Read, kind: str, mark: bytes) -> None:
    content = b't,e,i,s,x\r\n"a\r\n""b"" ",0,1,c,\r\n\r\n  \r\nd,0,2,c,y'.replace(b",", mark)
    good, blank, last = read(content, kind)
    assert good["text"] == 'a\r\n"b" '
    assert (blank["reason"], last["text"]) == ("malformed", "d")


def test_delimited_records_are_rejected_one_by_one(read: Read) -> None:
    bad = [b"a,0,1", b"a,0,1,c,d", b",0,1,c", b"a,later,1,c", b"a\rb,0,1,c", b"\xff,0,1,c", b"a,0,1,c" + b"d" * 9]
    found = read(b"t,e,i,s\n" + b"\n".join(bad) + b"\n", "csv")
    assert [row["reason"] for row in found] == [
        "malformed", "malformed", "no_text", "wrong_type", "malformed", "not_utf8", None,
    ]  # fmt: skip


@pytest.mark.parametrize("content", [b"", b"\n", b"a,b\n1,2\n", b"t,e,i\ra,0,1\r", b"\xef\xbb\xbf"])
def test_a_header_without_our_columns_is_no_file_of_this_source(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(DataError, match=r"header: no column .*s"):
        rows(tmp_path / "f", "csv")


def test_parquet_rows_are_read_with_their_types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "_BATCH_ROWS", 2)
    moments = [datetime(2026, 3, 1, 8), datetime(2026, 3, 1, 9), None]
    table = pa.table({"t": ["a", "好" * 11, "c"], "e": moments, "i": [1, 2, None], "s": ["x"] * 3, "other": [[1]] * 3})
    pq.write_table(table, tmp_path / "f")
    found = rows(tmp_path / "f", "parquet")
    assert [row["reason"] for row in found] == [None, "too_long", "wrong_type"]
    assert [row["position"] for row in found] == [0, 1, 2]
    assert (found[0]["event_time"], found[0]["source_id"]) == (datetime(2026, 3, 1, tzinfo=UTC), "1")
    days = table.set_column(1, "e", pa.array([date(2026, 3, 1)] * 3))
    pq.write_table(days, tmp_path / "f")
    assert [row["reason"] for row in rows(tmp_path / "f", "parquet")] == [None, "too_long", None]


@pytest.mark.parametrize("stored", ["int96", "without a zone", "with a zone", "nanoseconds"])
def test_instants_of_parquet_are_instants_and_times_without_a_zone_the_sources(tmp_path: Path, stored: str) -> None:
    early = datetime(2026, 2, 28, 18)  # in UTC: two in the morning of 1 March in Shanghai
    kind = {
        "int96": pa.timestamp("us"), "without a zone": pa.timestamp("us"), "with a zone": pa.timestamp("us", "UTC"),
        "nanoseconds": pa.timestamp("ns"),
    }[stored]  # fmt: skip
    table = pa.table({"t": ["a"], "e": pa.array([early], pa.timestamp("us")).cast(kind), "i": ["1"], "s": ["x"]})
    pq.write_table(table, tmp_path / "f", use_deprecated_int96_timestamps=stored == "int96")
    (row,) = rows(tmp_path / "f", "parquet")
    instant = stored in ("int96", "with a zone")
    assert row["event_time"] == (early if instant else early - timedelta(hours=8)).replace(tzinfo=UTC)


def test_parquet_strings_that_are_not_utf8_are_rejected_one_by_one(tmp_path: Path) -> None:
    text = pa.StringArray.from_buffers(3, pa.py_buffer(np.array([0, 1, 2, 3], np.int32)), pa.py_buffer(b"a\xffc"))
    pq.write_table(pa.table({"t": text, "e": [0] * 3, "i": ["1", None, "3"], "s": ["x"] * 3}), tmp_path / "f")
    assert [row["reason"] for row in rows(tmp_path / "f", "parquet")] == [None, "not_utf8", None]


def test_the_batch_function_reads_each_range_by_its_own_source(tmp_path: Path) -> None:
    (tmp_path / "j").write_bytes(line(t="a"))
    (tmp_path / "c").write_bytes(b"t,e,i,s\nb,0,1,c\n")
    ranges = [
        {"source_name": kind, "file": str(tmp_path / name), "load_id": kind, "first": 0, "last": 1000, "size": None}
        for kind, name in (("jsonl", "j"), ("csv", "c"))
    ]
    read = record_reader({kind: source(kind) for kind in ("jsonl", "csv")}, LIMITS)
    batches = list(read(iter([pa.RecordBatch.from_pylist(ranges)])))
    assert all(batch.schema == RECORDS for batch in batches)
    assert [(row["text"], row["load_id"]) for batch in batches for row in batch.to_pylist()] == [
        ("a", "jsonl"), ("b", "csv"),
    ]  # fmt: skip


def test_a_pair_has_two_texts_and_is_rejected_for_either(read: Read) -> None:
    columns = COLUMNS | {"text_b": "u"}
    lines = [
        line(u="答"),
        line(i="2", u=None),
        line(i="3", u=""),
        line(i="4", u=7),
        line(i="5", u="好" * 11),
        line(i="6"),
    ]
    found = read(b"\n".join(lines), "jsonl", columns=columns)
    assert [row["text_b"] for row in found] == ["答", None, None, None, None, None]
    assert [row["reason"] for row in found] == [None, "no_text", "no_text", "wrong_type", "too_long", "no_text"]
    (single,) = read(line(u="答"), "jsonl")
    assert single["text_b"] is None
