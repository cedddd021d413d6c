"""Delimited files of every dialect: read as written, counted in another way, and refused where two readings differ."""

from __future__ import annotations

import csv
import io
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from udfs.readers import dialect_records
from udfs.readers.dialect_records import DialectCounter, read_records
from udfs.readers.dialects import NAMED, Dialect
from udfs.readers.reading import read_range
from udfs.readers.sources import RecordLimits, SourceSettings
from udfs.readers.survey import Survey, survey

COLUMNS = {"source_id": "id", "text": "text", "event_time": "at"}
AT = "2026-03-01 08:00:00"


def source(kind: str, **changes: Any) -> SourceSettings:
    given = {"path": "", "format": kind, "columns": COLUMNS, "constants": {"scene": "chat", "source": "app"}}
    return SourceSettings.model_validate(given | changes)


def texts(folder: Path, content: str | bytes, kind: str, **changes: Any) -> list[str | None]:
    """The texts of a file whose survey counts as many records; a rejected one's reason in place of its text."""
    path = folder / "file"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    settings = source(kind, **changes)
    batches = read_range(str(path), 0, path.stat().st_size, "load", settings, RecordLimits())
    rows = [row for batch in batches for row in batch.to_pylist()]
    looked = survey(str(path), settings)
    assert (looked.refused, looked.records) == (None, len(rows))
    return [row["reason"] or row["text"] for row in rows]


def looked_at(folder: Path, content: str, kind: str, **changes: Any) -> Survey:
    (folder / "file").write_bytes(content.encode())
    return survey(str(folder / "file"), source(kind, **changes))


# --- what each dialect means ---------------------------------------------------------------------------------------

BY_SPARK = (  # as Spark 4.2 writes these texts by default
    f'id,text,at\n1,"他说\\"好\\"",{AT}\n2,"老师说\\"好,很好\\"",{AT}\n3,普通的话,{AT}\n4,"\\"谢谢\\"",{AT}\n'
    f'5,"第一行\n第二行\\"完\\"",{AT}\n6,反斜线\\结尾,{AT}\n7,"a\\\\b,c",{AT}\n8,a\\\\b,{AT}\n9,"x,\\\\",{AT}\n'
)
OF_SPARK = [
    '他说"好"', '老师说"好,很好"', "普通的话", '"谢谢"', '第一行\n第二行"完"', "反斜线\\结尾", "a\\b,c", "a\\\\b",
    "x,\\",
]  # fmt: skip
BY_MYSQL = (
    f"id\ttext\tat\n1\t一行\\\n两行\t{AT}\n2\t制表\\\t符\t{AT}\n3\t反\\\\斜\t{AT}\n4\t\\N\t{AT}\n"
    f'5\t"引\t{AT}\n6\ta\\tb\t{AT}\n'
)


def test_what_spark_writes_is_read_as_it_was(tmp_path: Path) -> None:
    assert texts(tmp_path, BY_SPARK, "csv", dialect="spark") == OF_SPARK


@pytest.mark.parametrize("name", ["mysql", "postgres"])
def test_escapes_of_databases_and_their_nulls(tmp_path: Path, name: str) -> None:
    found = texts(tmp_path, BY_MYSQL, "tsv", dialect=name)
    assert found == ["一行\n两行", "制表\t符", "反\\斜", "no_text", '"引', "a\tb"]


def test_what_nobody_quotes_keeps_its_quotes(tmp_path: Path) -> None:
    content = f'id\ttext\tat\n1\t"第一题选对了\t{AT}\n2\t"好"\t{AT}\n3\t请再讲一遍"\t{AT}\n4\ta\\b\t{AT}\n'
    assert texts(tmp_path, content, "tsv", dialect="unquoted") == ['"第一题选对了', '"好"', '请再讲一遍"', "a\\b"]


def test_hive_has_no_header_and_single_keys_change_a_dialect(tmp_path: Path) -> None:
    rows = f"1\x01一\x01{AT}\n2\x01\\N\x01{AT}\n"
    dialect = {"like": "hive", "header": ["id", "text", "at"]}
    assert texts(tmp_path, rows, "csv", dialect=dialect) == ["一", "no_text"]
    piped = f"# made by a tool\nid||text||at\n1||'a||b'||{AT}\n# more\n\n2||it''s||{AT}\n3||'it''s'||{AT}\n"
    dialect = {"delimiter": "||", "quote": "'", "comment": "#"}
    assert texts(tmp_path, piped, "csv", dialect=dialect) == ["a||b", "it''s", "it's"]
    assert texts(tmp_path, f"id;text;at\n1;一;{AT}\n", "csv", dialect={"delimiter": ";"}) == ["一"]
    assert texts(tmp_path, f"id,text,at\n1,NULL,{AT}\n", "csv", dialect={"null": ["NULL"]}) == ["no_text"]
    old = f'id,text,at\r1,"一\r二",{AT}\r2,三,{AT}'
    assert texts(tmp_path, old, "csv", dialect={"line_end": "cr"}) == ["一\n二", "三"]


@pytest.mark.parametrize(
    "dialect",
    ["Excel", {"like": "none"}, {"escape": "^"}, {"quote": '""'}, {"delimiter": ""}, {"delimiter": "\n"}, {"x": 1}, 5,
     {"header": []}],
)  # fmt: skip
def test_a_dialect_that_nobody_knows_is_refused(dialect: Any) -> None:
    with pytest.raises(ValidationError):
        source("csv", dialect=dialect)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_only_delimited_files_have_a_dialect(kind: str) -> None:
    with pytest.raises(ValidationError, match="only csv and tsv have one"):
        source(kind, dialect="excel")


def test_a_dialect_is_part_of_how_a_file_is_read_and_none_leaves_the_names_of_loads() -> None:
    assert source("csv").digest == source("csv", dialect=None, time_format=None).digest
    assert source("csv").digest != source("csv", dialect="excel").digest


def test_a_header_that_another_delimiter_would_split_is_refused_with_it(tmp_path: Path) -> None:
    found = looked_at(tmp_path, f"id;text;at\n1;一;{AT}\n", "csv")
    assert found.refused == "file_header"
    assert 'dialect: {delimiter: ";"}' in str(found.detail)


HINTS = [
    (f"id,text,at\r1,一,{AT}\r", "dialect: {line_end: cr}"),
    (f"# made by a tool\n#\nid,text,at\n1,一,{AT}\n", 'its line 3 has them: dialect: {comment: "#"}'),
    (f"\ufeffsep=;\nid;text;at\n1;一;{AT}\n", 'dialect: {comment: "sep=", delimiter: ";"}'),
    (f"表一\n\nid,text,at\n1,一,{AT}\n", "its line 3 has them: take the lines above it away"),
    (f"ID, Text,at\n1,一,{AT}\n", 'the header has them as "ID", " Text": name them so in columns'),
    (f"'id','text','at'\n'1','一','{AT}'\n", 'dialect: {quote: "\'"}'),
    (f"1,一,{AT}\n2,二,{AT}\n", "where its first line is a record, dialect: {header: [...]}"),
]


@pytest.mark.parametrize(("content", "told"), HINTS)
def test_a_header_that_lacks_columns_is_refused_with_the_setting_that_has_them(
    tmp_path: Path, content: str, told: str
) -> None:
    found = looked_at(tmp_path, content, "csv")
    assert found.refused == "file_header"
    assert told in str(found.detail)
    assert "一" not in str(found.detail)  # never what is in it


def test_empty_lines_above_a_header_are_none(tmp_path: Path) -> None:
    content = f"\n\r\nid,text,at\n\n1,一,{AT}\n"
    assert texts(tmp_path, content, "csv") == texts(tmp_path, content, "csv", dialect="spark") == ["一"]


# --- two readings --------------------------------------------------------------------------------------------------

AMBIGUOUS = [
    ("tsv", f'id\ttext\tat\n1\t"第一题选对了\t{AT}\n2\t不\t{AT}\n3\t请再讲一遍"\t{AT}\n4\t谢谢\t{AT}\n', "unquoted"),
    ("csv", BY_SPARK, "spark"),
    ("csv", f'id,text,at\n1,"他说\\"好\\"",{AT}\n', "spark"),
    ("tsv", BY_MYSQL, "mysql"),
    ("tsv", f"id\ttext\tat\n1\t\\N\t{AT}\n", "mysql"),
    ("csv", f"id,text,at\n1,逗\\,号,{AT}\n", "mysql"),
    ("tsv", f'id\ttext\tat\n1\t"谢谢"\t{AT}\n2\t好\t{AT}\n', "unquoted"),
    ("tsv", f'id\ttext\tat\n1\t"谢谢"老师\t{AT}\n2\t好\t{AT}\n', "unquoted"),
    ("csv", f"id,text,at\n1,'一',{AT}\n2,'三',{AT}\n", '{quote: "\'"}'),
    ("csv", f"id,text,at\n1,'一, 二',{AT}\n2,'三',{AT}\n", '{quote: "\'"}'),
    ("tsv", f'id\ttext\tat\n1\t"没有结束\t{AT}\n2\t好\t{AT}\n', "unquoted"),
]


@pytest.mark.parametrize(("kind", "content", "other"), AMBIGUOUS)
@pytest.mark.parametrize("encoding", ["utf-8", "gbk"])
def test_a_file_that_two_dialects_read_otherwise_is_refused_with_both(
    tmp_path: Path, kind: str, content: str, other: str, encoding: str
) -> None:
    (tmp_path / "file").write_bytes(content.encode(encoding))
    found = survey(str(tmp_path / "file"), source(kind, encoding=encoding))
    assert found.refused == "file_ambiguous"
    assert f"as {other} " in str(found.detail)
    assert found.detail is not None
    assert "excel" in found.detail
    assert not set(found.detail) & set("谢好题"), "never what is in it"
    for name in ({"quote": "'"} if other.startswith("{") else other, "excel"):
        assert survey(str(tmp_path / "file"), source(kind, encoding=encoding, dialect=name)).refused is None


def test_single_quotes_about_some_texts_are_theirs(tmp_path: Path) -> None:
    content = f"id,text,at\n1,'一',{AT}\n2,二,{AT}\n3,'三,{AT}\n"
    assert texts(tmp_path, content, "csv") == ["'一'", "二", "'三"]


@pytest.mark.parametrize("kind", ["csv", "tsv"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])
@given(rows=st.lists(st.text(st.sampled_from('好a ,\t"\n\\;|'), min_size=1, max_size=12), min_size=1, max_size=6))
@settings(max_examples=150, deadline=None)
def test_what_python_and_pandas_write_is_never_refused_or_never_glued(
    tmp_path_factory: pytest.TempPathFactory, kind: str, quoting: int, rows: list[str]
) -> None:
    """A refusal is right where another dialect reads it as well; a file without backslashes has one reading."""
    folder = tmp_path_factory.getbasetemp()
    written = io.StringIO()
    delimiter = "\t" if kind == "tsv" else ","
    writer = csv.writer(written, delimiter=delimiter, lineterminator="\n", quoting=quoting)  # type: ignore[arg-type]
    writer.writerows([["id", "text", "at"], *([number, text, AT] for number, text in enumerate(rows))])
    found = looked_at(folder, written.getvalue(), kind)
    if found.refused == "file_ambiguous" and any("\\" in text for text in rows):
        return
    if found.refused == "file_ambiguous":
        # Lines of a quoted text that could each be a record: two delimiters in each.
        assert any("\n" in text and delimiter in text for text in rows)
        return
    assert texts(folder, written.getvalue(), kind) == rows


# --- counting ----------------------------------------------------------------------------------------------------

PIECES = st.lists(
    st.sampled_from(
        ["a", "好", '"', '""', "\\", "\\\\", '\\"', "\\n", "\n", "\r\n", ",", "|", "#", " ", "\\N", "\r", "\ufeff"]
    ),
    max_size=24,
).map("".join)
DIALECTS = [
    *NAMED.values(), Dialect(quote="'"), Dialect(comment="#"), Dialect(header=("a", "b")), Dialect(delimiter="||"),
    Dialect(escape="c_style"), Dialect(escape="backslash", comment="#"), Dialect(quote="", comment="#"),
    Dialect(line_end="cr"), Dialect(escape="c_style", line_end="cr"),
]  # fmt: skip


def counted(content: bytes, dialect: Dialect, cuts: list[int]) -> int:
    counter = DialectCounter(dialect, dialect.delimiter or ",")
    places = sorted({0, len(content), *(cut % (len(content) + 1) for cut in cuts)})
    for first, last in pairwise(places):
        counter.feed(content[first:last])
    return counter.records()


@pytest.mark.parametrize("dialect", DIALECTS, ids=repr)
@given(text=PIECES, cuts=st.lists(st.integers(0, 100), max_size=5))
@example(text='head\n"a', cuts=[])
@example(text="head\na\\", cuts=[])
@settings(max_examples=250, deadline=None)
def test_records_are_counted_as_they_are_read(dialect: Dialect, text: str, cuts: list[int]) -> None:
    content = text.encode()
    opened = io.BufferedReader(io.BytesIO(content))  # type: ignore[arg-type]
    read = list(read_records(opened, dialect, dialect.delimiter or ","))
    wanted = max(0, len(read) - (dialect.header is None))
    assert counted(content, dialect, cuts) == counted(content, dialect, []) == wanted


@pytest.mark.parametrize("name", ["spark", "mysql", "unquoted"])
def test_a_record_past_the_limit_is_one_rejected_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(dialect_records, "MAX_RECORD_BYTES", 90)
    lines = ["id,text,at", f"1,a,{AT}", f"2,{'b' * 200},{AT}", f"3,c,{AT}"]
    assert texts(tmp_path, "\n".join(lines), "csv", dialect=name) == ["a", "too_long", "c"]
