"""Each fault a file of texts can have, and what becomes of it. The name of a test tells the fault."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from models.text.normalisation import clean
from udfs.readers import text_encoding
from udfs.readers.reading import read_range
from udfs.readers.record_spans import MAX_RECORD_BYTES
from udfs.readers.sources import RecordLimits, SourceSettings
from udfs.readers.survey import survey

COLUMNS = {"text": "t", "event_time": "e", "source_id": "i", "scene": "s"}
HEADER = "t,e,i,s\n"
SUFFIXES = {"jsonl": ".jsonl", "csv": ".csv", "tsv": ".tsv"}


def read(
    folder: Path, content: bytes, kind: str, *, name: str = "", split: int | None = None, **changes: Any
) -> list[dict[str, Any]]:
    """The rows of a file, which are as many as its survey counts."""
    path = folder / (name or f"f{SUFFIXES[kind]}")
    path.write_bytes(content)
    given: dict[str, Any] = {"path": "", "format": kind, "columns": COLUMNS, "constants": {"source": "app"}}
    given["time_format"] = "epoch_seconds"
    source = SourceSettings.model_validate(given | changes)
    size = path.stat().st_size
    rows = [
        row
        for at in range(0, size, split or size)
        for batch in read_range(str(path), at, min(at + (split or size), size), "load", source, RecordLimits())
        for row in batch.to_pylist()
    ]
    looked = survey(str(path), source)
    assert (looked.refused, looked.records) == (None, len(rows))
    return rows


def reasons(rows: list[dict[str, Any]]) -> list[str | None]:
    return [row["reason"] for row in rows]


def line(text: str, **changes: Any) -> bytes:
    return json.dumps({"t": text, "e": 0, "i": "1", "s": "chat"} | changes, ensure_ascii=False).encode()


# --- very long values -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("split", [None, 1 << 20])
@pytest.mark.parametrize("characters", [1_000_000, 21_000_000])
def test_a_json_value_of_millions_of_characters_is_rejected_with_its_place_and_length(
    tmp_path: Path, characters: int, split: int | None
) -> None:
    first, long = line("a"), line("好" + "x" * characters)
    before, bad, after = read(tmp_path, b"\n".join([first, long, line("b", i="2")]), "jsonl", split=split)
    assert (before["text"], bad["reason"], after["text"]) == ("a", "too_long", "b")
    assert (bad["position"], bad["length"]) == (len(first) + 1, len(long))
    assert (len(long) > MAX_RECORD_BYTES) == (characters > MAX_RECORD_BYTES)
    assert bad["raw"] == long[: 64 << 10]


def test_a_csv_value_of_millions_of_characters_is_rejected_with_its_place_and_length(tmp_path: Path) -> None:
    long = '"' + "x\n" * 1_000_000 + "xy" * 10_000_000 + '",0,2,chat'
    before, bad, after = read(tmp_path, f"{HEADER}a,0,1,chat\n{long}\nb,0,3,chat\n".encode(), "csv")
    assert (before["text"], bad["reason"], after["text"]) == ("a", "too_long", "b")
    assert (bad["position"], bad["length"]) == (len(HEADER) + 11, len(long))


# --- wrong bytes and encodings --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["jsonl", "csv", "tsv"])
def test_a_gbk_file_without_a_declaration_is_rejected_record_by_record(tmp_path: Path, kind: str) -> None:
    mark = "\t" if kind == "tsv" else ","
    delimited = (HEADER + "老师好,0,1,chat\nhello,0,2,chat\n“再见”,0,3,chat\n").replace(",", mark)
    lines = b"\n".join([line("老师好"), line("hello"), line("“再见”")]).decode()
    rows = read(tmp_path, (lines if kind == "jsonl" else delimited).encode("gbk"), kind)
    assert reasons(rows) == ["not_utf8", None, "not_utf8"]


CHINESE = st.text(st.characters(codec="gbk", exclude_characters="\0\r\n"), min_size=1, max_size=12)
# Some private characters are those that GB 18030 had before Unicode did.
PRIVATE = "".join(map(chr, text_encoding._SINCE_2000))
ANY = st.text(st.characters(exclude_categories=("Cs",), exclude_characters=f"\0\r\n{PRIVATE}"), min_size=1, max_size=12)


@given(st.lists(CHINESE, min_size=1, max_size=5), st.sampled_from(["gbk", "gb18030", "utf-16"]), st.booleans())
@settings(max_examples=200, deadline=None)
def test_texts_of_a_declared_encoding_come_out_as_written(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], encoding: str, lines: bool
) -> None:
    folder = tmp_path_factory.getbasetemp()
    if lines:
        content = "\n".join(line(text).decode() for text in texts)
    else:
        quoted = [text.replace('"', '""') for text in texts]
        content = HEADER + "\n".join(f'"{text}",0,1,chat' for text in quoted)
    rows = read(folder, content.encode(encoding), "jsonl" if lines else "csv", encoding=encoding)
    assert [(row["reason"], row["text"]) for row in rows] == [(None, text) for text in texts]


@pytest.mark.parametrize("encoding", ["gbk", "gb18030"])
def test_characters_that_pythons_codecs_do_not_know_are_read(tmp_path: Path, encoding: str) -> None:
    pairs = {b"\xa8\xbc": "ḿ", b"\xfe\x59": "\u9fb4", b"\xa6\xd9": "\ufe10", b"\xa6\xf3": "\ufe19", b"\xa2\xa1": "ⅰ"}
    pairs |= {b"\x80": "€"} if encoding == "gbk" else {}
    content = HEADER.encode() + b"".join(b"\xbc\xdb" + pair + b"5,0,1,chat\n" for pair in pairs)
    rows = read(tmp_path, content, "csv", encoding=encoding)
    assert [row["text"] for row in rows] == [f"价{character}5" for character in pairs.values()]
    bad = read(tmp_path, HEADER.encode() + b"\xff\xff,0,1,chat\n", "csv", encoding=encoding)
    assert reasons(bad) == [f"not_{encoding}"]


@pytest.mark.parametrize("kind", ["jsonl", "csv", "tsv"])
@pytest.mark.parametrize("packed", [False, True])
def test_a_byte_order_mark_amid_a_joined_file_belongs_to_no_record(tmp_path: Path, kind: str, packed: bool) -> None:
    mark, delimiter = b"\xef\xbb\xbf", "\t" if kind == "tsv" else ","
    parts = [line("a"), line("b")]
    if kind != "jsonl":
        rows = [f"{text},0,1,chat".replace(",", delimiter).encode() for text in ("a", '"b\n"""')]
        parts = [HEADER.replace(",", delimiter).encode() + rows[0], rows[1]]
    pieces = [mark + part + b"\n" for part in parts] + [mark + b"\n"]
    content = b"".join(gzip.compress(piece) if packed else piece for piece in pieces)
    found = read(tmp_path, content, kind, name="f.gz" if packed else "f")
    assert reasons(found) == [None, None]
    assert found[0]["text"] == "a"


@given(st.lists(ANY, min_size=1, max_size=5), st.sampled_from(["gb18030", "utf-16", "utf-16-le", "utf-16-be"]))
@settings(max_examples=200, deadline=None)
def test_every_character_survives_gb18030_and_utf16_of_either_byte_order(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], encoding: str
) -> None:
    mark = "\ufeff" if encoding == "utf-16-be" else ""
    content = (mark + "\n".join(line(text).decode() for text in texts)).encode(encoding)
    declared = "utf-16" if encoding.startswith("utf-16") else encoding
    rows = read(tmp_path_factory.getbasetemp(), content, "jsonl", encoding=declared)
    assert [row["text"] for row in rows] == texts


WRONG = {"gbk": b"\xff", "gb18030": b"\x81\x30", "utf-16": b"\x00\xd8"}  # the last: a high surrogate alone


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
@pytest.mark.parametrize("encoding", WRONG)
def test_bytes_wrong_in_the_declared_encoding_spoil_their_own_record(tmp_path: Path, encoding: str, kind: str) -> None:
    head = "" if kind == "jsonl" else HEADER
    texts = [line(t).decode() if kind == "jsonl" else f"{t},0,1,chat" for t in ("好", "坏", "完")]
    units = "utf-16-le" if encoding == "utf-16" else encoding
    content = (head + "\n".join(texts)).encode(units).replace("坏".encode(units), WRONG[encoding])
    rows = read(tmp_path, content, kind, encoding=encoding)
    assert reasons(rows) == [None, f"not_{encoding.replace('-', '')}", None]
    assert [rows[0]["text"], rows[2]["text"]] == ["好", "完"]


@given(st.binary(max_size=40), st.sampled_from(["gbk", "gb18030", "utf-16"]), st.sampled_from(["jsonl", "csv"]))
@settings(max_examples=500, deadline=None)
def test_any_bytes_of_a_declared_encoding_are_as_many_records_as_were_counted(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, encoding: str, kind: str
) -> None:
    assume(content.isascii() or "\ufffd" in content.decode("utf-8", "replace"))  # UTF-8 is refused as a whole
    units = "utf-16-le" if encoding == "utf-16" else encoding
    head = (HEADER if kind == "csv" else line("a").decode() + "\n").encode(units)
    given = {"encoding": encoding} | ({"dialect": "excel"} if kind == "csv" else {})
    rows = read(tmp_path_factory.getbasetemp(), head + content, kind, **given)
    if encoding != "utf-16":  # no wrong byte swallows a line's end: here they are single bytes
        end = b"\n" + (b"b,0,1,chat" if kind == "csv" else line("b"))
        more = read(tmp_path_factory.getbasetemp(), head + content + end, kind, **given)
        assert kind == "csv" or more[-1]["text"] == "b"
        assert len(more) >= len(rows)


@pytest.mark.parametrize(
    ("encoding", "declared"), [("utf-8-sig", "utf-8"), ("utf-16", "utf-16"), ("gb18030", "gb18030")]
)
@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_a_byte_order_mark_is_no_part_of_the_first_record(
    tmp_path: Path, kind: str, encoding: str, declared: str
) -> None:
    content = line("好").decode() if kind == "jsonl" else HEADER + "好,0,1,chat"
    mark = "\ufeff" if encoding == "gb18030" else ""
    (row,) = read(tmp_path, (mark + content).encode(encoding), kind, encoding=declared)
    assert (row["reason"], row["text"]) == (None, "好")


def test_a_utf16_file_cut_within_a_character_spoils_its_last_record_only(tmp_path: Path) -> None:
    content = (HEADER + "好,0,1,chat\n坏,0,2,chat").encode("utf-16")[:-1]
    assert reasons(read(tmp_path, content, "csv", encoding="utf-16")) == [None, "not_utf16"]


# --- characters that are none ---------------------------------------------------------------------------------


@pytest.mark.parametrize("half", ["\\ud800", "\\udbff", "\\udc00", "\\udc80", "\\udcff", "\\udfff", "\\ude00\\ud83d"])
@pytest.mark.parametrize("field", ["t", "i", "s"])
def test_a_lone_surrogate_in_json_is_rejected_as_such(tmp_path: Path, field: str, half: str) -> None:
    escaped = json.dumps({"t": "a", "e": 0, "i": "1", "s": "c"} | {field: "好?"}).replace("?", half)
    before, bad, after = read(tmp_path, b"\n".join([line("a"), escaped.encode(), line("b")]), "jsonl")
    assert (before["text"], bad["reason"], after["text"]) == ("a", "lone_surrogate", "b")


def test_a_surrogate_pair_in_json_is_one_character(tmp_path: Path) -> None:
    (row,) = read(tmp_path, b'{"t": "\\ud83d\\ude00", "e": 0, "i": "1", "s": "chat"}', "jsonl")
    assert row["text"] == "😀"


@pytest.mark.parametrize("field", [0, 2, 3])
def test_a_nul_is_rejected(tmp_path: Path, field: int) -> None:
    values = ["a", 0, "1", "c"]
    values[field] = "好\0"
    record = json.dumps(dict(zip("teis", values, strict=True))).encode()
    delimited = HEADER.encode() + ",".join(str(value) for value in values).encode() + b"\nb,0,2,c\n"
    assert reasons(read(tmp_path, record + b"\n" + line("b"), "jsonl")) == ["nul_character", None]
    assert reasons(read(tmp_path, delimited, "csv")) == ["nul_character", None]


@pytest.mark.parametrize("text", ["\u200b\u200d\ufeff", "\u202e\u2066\u2069", "\u200b \u3000"])
def test_a_text_of_invisible_characters_arrives_as_it_is_and_is_empty_once_clean(tmp_path: Path, text: str) -> None:
    (row,) = read(tmp_path, line(text), "jsonl")
    assert (row["reason"], row["text"]) == (None, text)
    assert clean(row["text"], 256) == ""


def test_direction_marks_do_not_reach_a_model(tmp_path: Path) -> None:
    (row,) = read(tmp_path, line("老师\u202e好"), "jsonl")
    assert clean(row["text"], 256) == "老师好"


# --- records of another shape ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "mark"), [("csv", ","), ("tsv", "\t")])
def test_embedded_newlines_quotes_and_delimiters_are_part_of_the_text(tmp_path: Path, kind: str, mark: str) -> None:
    text = f'他说"好"{mark}\n然后\r\n走了\n\n'
    quoted = text.replace('"', '""')
    content = (HEADER + "a,0,1,c\n").replace(",", mark) + f'"{quoted}"{mark}0{mark}2{mark}c\n'
    before, row = read(tmp_path, content.encode(), kind)
    assert (before["text"], row["text"]) == ("a", text)


def test_swapped_columns_are_told_apart_by_their_names(tmp_path: Path) -> None:
    one, two = read(tmp_path, b"t,e,i,s\na,0,1,c\n", "csv"), read(tmp_path, b"s,i,e,t\nc,1,0,a\n", "csv", name="g.csv")
    own = ("text", "event_time", "source_id", "scene", "text_id")
    assert [one[0][name] for name in own] == [two[0][name] for name in own]


def test_values_swapped_under_their_names_are_rejected_by_their_type(tmp_path: Path) -> None:
    assert reasons(read(tmp_path, HEADER.encode() + b"0,hello,1,c\n", "csv")) == ["wrong_type"]


def test_extra_columns_are_left_out_and_surplus_or_missing_fields_reject_the_record(tmp_path: Path) -> None:
    content = b"x,t,e,y,i,s\n1,a,0,2,3,c\n1,b,0,2,3,c,more\n1,d,0,2,3\n"
    rows = read(tmp_path, content, "csv")
    assert reasons(rows) == [None, "malformed", "malformed"]
    assert (rows[0]["text"], rows[0]["source_id"]) == ("a", "3")
    (row,) = read(tmp_path, line("a", extra={"deep": [1]}), "jsonl")
    assert row["reason"] is None


# --- compressed files -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["jsonl", "csv", "tsv"])
@pytest.mark.parametrize("members", [1, 3])
def test_a_compressed_file_gives_the_records_of_its_content(tmp_path: Path, kind: str, members: int) -> None:
    mark = "\t" if kind == "tsv" else ","
    lines = [line(f"好{n}", i=str(n)) for n in range(300)]
    if kind != "jsonl":
        head = HEADER.strip().replace(",", mark)
        lines = [head.encode(), *(mark.join([f"好{n}", "0", str(n), "chat"]).encode() for n in range(300))]
    content = b"\n".join(lines)
    step = len(content) // members + 1
    packed = b"".join(gzip.compress(content[at : at + step]) for at in range(0, len(content), step))
    plain = read(tmp_path, content, kind)
    rows = read(tmp_path, packed, kind, name=f"f{SUFFIXES[kind]}.gz")
    assert len(rows) == 300
    assert [row | {"file": ""} for row in rows] == [row | {"file": ""} for row in plain]


def test_a_compressed_file_may_have_an_encoding_of_its_own(tmp_path: Path) -> None:
    packed = gzip.compress((HEADER + "上课,0,1,chat\n").encode("utf-16"))
    (row,) = read(tmp_path, packed, "csv", name="f.csv.gz", encoding="utf-16")
    assert row["text"] == "上课"
