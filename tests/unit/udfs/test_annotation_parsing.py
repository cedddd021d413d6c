"""Every record of a file of annotations becomes an annotation or is set aside with its reason; nothing is guessed."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import digests
from models.text.rules import Cleaner, CleaningSettings
from udfs.annotation_parsing import PARSED, AnnotationRules, annotation_parser, parse_record
from udfs.annotation_settings import AnnotationFiles, AnnotationSettings, Shape
from udfs.readers.formats import DELIMITED
from udfs.readers.record_spans import MAX_RAW_BYTES, MAX_RECORD_BYTES, RejectedError
from udfs.readers.sources import IngestSettings, RecordLimits
from udfs.readers.spreadsheet_cells import escaped
from udfs.readers.survey import survey

CLEANING = CleaningSettings()
LABELS = {"praise": {"asks", "got"}}
GOOD = {"task": "praise", "label": "asks", "value": True, "annotator": "li", "text_id": "t1"}
HEADER = "task,label,value,annotator,source,text\n"
Parse = Callable[..., list[dict[str, Any]]]


def rules(**mapping: Any) -> AnnotationRules:
    return AnnotationRules(AnnotationSettings.model_validate(mapping), LABELS, "Asia/Shanghai", RecordLimits())


def parse(record: dict[str, Any], **mapping: Any) -> dict[str, Any]:
    (row,) = parse_record(record, rules(**mapping), Cleaner(CLEANING), "not_utf8")
    return row


@pytest.fixture
def parsed(tmp_path: Path) -> Parse:
    """Writes a file and parses it; its rows are as many as its survey counts, and know their bytes."""

    def parsed(content: bytes, name: str, **mapping: Any) -> list[dict[str, Any]]:
        path = tmp_path / name
        path.write_bytes(content)
        return rows_of_file(path, name.removesuffix(".gz").rpartition(".")[2], **mapping)

    return parsed


def rows_of_file(path: Path, kind: str, **mapping: Any) -> list[dict[str, Any]]:
    counted = survey(str(path), AnnotationFiles(kind, AnnotationSettings.model_validate(mapping)))
    assert counted.refused is None
    batch = pa.RecordBatch.from_pylist([{"file": str(path), "format": kind}])
    batches = list(annotation_parser(rules(**mapping), CLEANING)(iter([batch])))
    assert all(batch.schema == PARSED for batch in batches)
    rows = [row for batch in batches for row in batch.to_pylist()]
    assert [row["position"] for row in rows] == list(range(counted.records))
    return rows


def reasons(rows: list[dict[str, Any]]) -> list[str | None]:
    return [row["reason"] for row in rows]


def lines(*records: dict[str, Any]) -> bytes:
    return "\n".join(json.dumps(record, ensure_ascii=False) for record in records).encode()


# --- one record -----------------------------------------------------------------------------------------------


def test_an_annotation_has_its_text_cleaned_and_its_time_in_utc() -> None:
    row = parse(GOOD | {"text_id": "", "source": "chat", "text": " 老师， 好 ", "annotated_at": "2026-03-05 08:00:00"})
    assert row == {
        "task": "praise", "label": "asks", "value": True, "annotator": "li", "text_id": None, "source": "chat",
        "source_id": None, "annotated_at": datetime(2026, 3, 5, tzinfo=UTC), "text_hash": digests.of_text("老师,好"),
        "day": None,
    }  # fmt: skip
    pair = parse(GOOD | {"text": "问", "text_b": "答"})
    assert pair["text_hash"] == digests.of_text("问", "答")


@pytest.mark.parametrize("value", [True, 1, "1", "true", " Yes", "Y", "是"])
def test_what_is_true_may_be_written_in_many_ways(value: Any) -> None:
    assert parse(GOOD | {"value": value})["value"] is True


@pytest.mark.parametrize("value", [False, 0, "0", "False", "no ", "n", "否"])
def test_what_is_false_may_be_written_in_many_ways(value: Any) -> None:
    assert parse(GOOD | {"value": value})["value"] is False


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"task": "unheard_of"}, "unknown_label"),
        ({"label": "unheard_of"}, "unknown_label"),
        ({"label": "", "task": ""}, "unknown_label"),
        ({"value": None}, "wrong_value"),
        ({"value": "maybe"}, "wrong_value"),
        ({"value": 2}, "wrong_value"),
        ({"annotator": ""}, "incomplete"),
        ({"text_id": None}, "incomplete"),
        ({"text_id": None, "text": "a", "source_id": "1"}, "incomplete"),
        ({"annotator": ["li"]}, "wrong_type"),
        ({"text": {"a": 1}}, "wrong_type"),
        ({"source_id": 1.0}, "wrong_type"),
        ({"text_id": False}, "wrong_type"),
        ({"text": "好\0"}, "nul_character"),
        ({"text": "好\udcff"}, "not_utf8"),
        ({"value": "\udcff"}, "not_utf8"),
    ],
)
def test_a_record_that_is_no_annotation_is_rejected_without_its_content(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(RejectedError) as rejected:
        parse(GOOD | change)
    assert rejected.value.reason == reason
    assert not any(word in rejected.value.detail for word in ("好", "maybe", "unheard_of"))


def test_numbers_may_name_annotators_and_texts() -> None:
    row = parse(GOOD | {"annotator": 7, "text_id": None, "source": "chat", "source_id": 0})
    assert (row["annotator"], row["source_id"]) == ("7", "0")


@pytest.mark.parametrize("when", [None, ""])
def test_a_time_that_is_not_told_is_left_out(when: Any) -> None:
    assert parse(GOOD | {"annotated_at": when})["annotated_at"] is None


@pytest.mark.parametrize(
    "when",
    ["soon", 1e300, "0001-01-01T00:00:00+14:00", "2026", 2026, "26/03/05", "1999-12-31", "2031-01-01", [], {"a": 1}],
)
def test_a_time_that_is_none_or_cannot_be_is_a_reason(when: Any) -> None:
    limits = IngestSettings().limits(datetime(2026, 3, 2, tzinfo=UTC))
    with pytest.raises(RejectedError) as rejected:
        parse_record(GOOD | {"annotated_at": when}, replace(rules(), limits=limits), Cleaner(CLEANING), "not_utf8")
    assert rejected.value.reason == "wrong_time"


def test_cells_that_were_escaped_for_spreadsheets_are_as_they_were(parsed: Parse) -> None:
    cells = {"annotator": "=1+1", "text": "＝好", "source": "'chat", "text_id": "'=a"}
    header = ["task", "label", "value", *cells]
    row = ["praise", "asks", "1", *(escaped(cell) for cell in cells.values())]
    for name, delimiter in DELIMITED.items():
        content = "\n".join(delimiter.join(line) for line in (header, row))
        (found,) = parsed(content.encode(), f"a.{name}")
        assert {column: found[column] for column in ("annotator", "source", "text_id")} == {
            "annotator": "=1+1", "source": "'chat", "text_id": "'=a",
        }  # fmt: skip
        assert found["text_hash"] == digests.of_text(Cleaner(CLEANING).clean("＝好"))


def test_columns_labels_and_constants_are_mapped() -> None:
    mapping = {
        "columns": {"text": "says", "label": "act", "task": "text"}, "labels": {"asks-praise": "asks", "3": "got"},
        "constants": {"task": "praise", "source": "chat", "value": "1", "annotator": "dataset"},
    }  # fmt: skip
    row = parse({"says": "夸夸我", "act": "asks-praise", "text": "other", "value": "0"}, **mapping)
    assert (row["task"], row["label"], row["value"]) == ("praise", "asks", True)
    assert row["text_hash"] == digests.of_text("夸夸我")
    assert parse({"says": "a", "act": 3}, **mapping)["label"] == "got"
    layout = AnnotationFiles("csv", AnnotationSettings.model_validate(mapping))
    assert layout.required_columns == ["says", "act"]
    ours = ["annotated_at", "text_id", "source_id", "text_b", "dt", "event_time"]
    assert layout.optional_columns == [*ours, "3", "asks-praise", "cats", "label", "labels"]


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(list(GOOD.values())),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)


NAMES = [*GOOD, "annotated_at", "source", "source_id", "text", "text_b", "dt", "data", "annotations", "cats", "asks"]


@given(st.dictionaries(st.sampled_from(NAMES), JSON))
@settings(max_examples=500, deadline=None)
def test_any_values_make_an_annotation_or_a_reason(changes: dict[str, Any]) -> None:
    for shape in (None, *get_args(Shape)):
        try:
            rows = parse_record(GOOD | changes, rules(shape=shape), Cleaner(CLEANING), "not_utf8")
        except RejectedError:
            continue
        pa.RecordBatch.from_pylist(rows, PARSED)
        for row in rows:
            assert (row["task"], row["label"] in LABELS["praise"], row["value"] in (True, False)) == (
                "praise", True, True
            )  # fmt: skip


# --- whole files ----------------------------------------------------------------------------------------------


def test_a_row_keeps_the_bytes_of_its_record_and_their_digest(parsed: Parse) -> None:
    content = f'{HEADER}praise,asks,1,li,chat,"好\n的"\npraise,asks,maybe,li,chat,坏\n'.encode()
    good, bad = parsed(content, "a.csv")
    assert (good["reason"], good["raw"]) == (None, 'praise,asks,1,li,chat,"好\n的"'.encode())
    raw = "praise,asks,maybe,li,chat,坏".encode()
    assert (bad["reason"], bad["raw"], bad["length"]) == ("annotation_wrong_value", raw, len(raw))
    assert bad["sha256"] == hashlib.sha256(raw).hexdigest()


def test_bytes_of_another_encoding_are_set_aside_and_never_replaced(parsed: Parse) -> None:
    delimited = HEADER + "praise,asks,1,li,chat,老师好\npraise,asks,1,li,chat,hello\n老师,asks,1,li,chat,hello\n"
    wanted = ["annotation_not_utf8", None, "annotation_not_utf8"]
    assert reasons(parsed(delimited.encode("gbk"), "a.csv")) == wanted
    assert reasons(parsed(delimited.replace(",", "\t").encode("gbk"), "a.tsv")) == wanted
    records = lines(GOOD | {"text": "老师好"}, GOOD).decode()
    rows = parsed(records.encode("gbk"), "a.jsonl")
    assert reasons(rows) == ["annotation_not_utf8", None]
    assert rows[0]["raw"] == records.split("\n")[0].encode("gbk")
    assert b"\xef\xbf\xbd" not in b"".join(row["raw"] for row in rows)


@pytest.mark.parametrize("encoding", ["gbk", "gb18030", "utf-16"])
def test_a_declared_encoding_is_read_and_what_is_not_of_it_is_set_aside(parsed: Parse, encoding: str) -> None:
    units = "utf-16-le" if encoding == "utf-16" else encoding
    wrong = {"gbk": b"\xff", "gb18030": b"\x81\x30", "utf-16": b"\x00\xd8"}[encoding]
    content = (HEADER + "praise,asks,1,li,chat,好\npraise,got,1,li,chat,坏\n").encode(units)
    rows = parsed(content.replace("坏".encode(units), wrong), "a.csv", encoding=encoding)
    assert rows[0]["text_hash"] == digests.of_text("好")
    assert reasons(rows) == [None, f"annotation_not_{encoding.replace('-', '')}"]


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.csv.gz", "a.jsonl.gz"])
def test_a_byte_order_mark_is_no_part_of_the_first_column(parsed: Parse, name: str) -> None:
    text = lines(GOOD).decode() if "jsonl" in name else HEADER + "praise,asks,1,li,chat,好\n"
    content = ("\ufeff" + text).encode()
    assert reasons(parsed(gzip.compress(content) if name.endswith(".gz") else content, name)) == [None]


def test_a_line_that_is_no_object_is_set_aside_alone(parsed: Parse) -> None:
    content = b"\n".join([lines(GOOD), b"[" * 200_000, b"[1]", b"{", b'{"value": 1' + b"0" * 5000 + b"}", lines(GOOD)])
    assert reasons(parsed(content, "a.jsonl")) == [None, *["annotation_malformed"] * 4, None]
    surrogate = lines(GOOD | {"annotator": "?"}).replace(b"?", b"\\ud800")
    assert reasons(parsed(surrogate, "a.jsonl")) == ["annotation_lone_surrogate"]


def test_a_quote_that_is_never_closed_is_one_record_however_long(parsed: Parse) -> None:
    good = "praise,asks,1,li,chat,好\n"
    content = HEADER + good + 'praise,asks,1,li,chat,"' + good * (MAX_RECORD_BYTES // len(good.encode()) + 1)
    first, last = parsed(content.encode(), "a.csv")
    assert (first["reason"], last["reason"], len(last["raw"])) == (None, "annotation_too_long", MAX_RAW_BYTES)
    assert last["length"] > MAX_RECORD_BYTES
    assert reasons(parsed(f'{HEADER}{good}a,"b\n'.encode(), "b.csv")) == [None, "annotation_malformed"]


def test_a_file_needs_the_columns_of_the_mapping_and_no_others(parsed: Parse, tmp_path: Path) -> None:
    mapping = {"columns": {"text": "says"}, "constants": dict(GOOD) | {"value": "1"}}
    (row,) = parsed("says,more\n好,1\n".encode(), "a.csv", **mapping)
    assert (row["reason"], row["annotated_at"]) == (None, None)
    layout = AnnotationFiles("csv", AnnotationSettings.model_validate(mapping))
    (tmp_path / "b.csv").write_text("spoken,source_id\n好,1\n")
    assert survey(str(tmp_path / "b.csv"), layout).detail == "no column says"
    (tmp_path / "b.csv").write_text("says,source_id,source_id\n好,1,2\n")
    twice = survey(str(tmp_path / "b.csv"), AnnotationFiles("csv", AnnotationSettings()))
    assert (twice.refused, twice.detail) == ("file_header", "more than one column source_id")


def test_parquet_is_read_with_its_types_whatever_the_encoding_of_text(tmp_path: Path) -> None:
    columns = {name: [value, value] for name, value in GOOD.items()}
    when = [datetime(2026, 3, 5, 8), None]
    table = pa.table(columns | {"value": [True, None], "annotated_at": when, "score": [0.5, 0.5]})
    pq.write_table(table, tmp_path / "a.parquet")
    good, bad = rows_of_file(tmp_path / "a.parquet", "parquet", encoding="gbk")
    assert (good["reason"], good["value"], good["annotated_at"]) == (None, True, datetime(2026, 3, 5, tzinfo=UTC))
    assert bad["reason"] == "annotation_wrong_value"
    pq.write_table(pa.table({"other": [1, 2]}), tmp_path / "b.parquet")
    assert reasons(rows_of_file(tmp_path / "b.parquet", "parquet")) == ["annotation_unknown_label"] * 2


PIECES = st.sampled_from(
    [b"praise", b"asks", b"1", b"li", b",", b"\t", b'"', b"\n", b"\r", b"\0", b"\xff", b"{", b"[", "好".encode(), b":"]
)
LINE = st.lists(PIECES, max_size=12).map(b"".join) | st.just(lines(GOOD)) | st.just(b"praise,asks,1,li,chat,a")


@given(st.lists(LINE, max_size=8), st.sampled_from(["csv", "tsv", "jsonl"]), st.booleans())
@settings(max_examples=400, deadline=None)
def test_any_bytes_give_as_many_rows_as_were_counted(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], kind: str, packed: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / (f"any.{kind}.gz" if packed else f"any.{kind}")
    header = b"" if kind == "jsonl" else HEADER.replace(",", "\t" if kind == "tsv" else ",").encode()
    content = header + b"\n".join(pieces)
    path.write_bytes(gzip.compress(content) if packed else content)
    dialect = {} if kind == "jsonl" else {"dialect": "excel"}  # without it some are refused as ambiguous
    for row in rows_of_file(path, kind, **dialect):
        assert (row["reason"] is None) == (row["task"] == "praise")
        assert row["length"] == len(row["raw"])
