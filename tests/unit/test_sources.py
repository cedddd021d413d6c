"""Files are found, and their records counted as another parser would."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from models.errors import DataError
from udfs.sources import SourceSettings, _CsvCounter, _LineCounter, list_files, open_file, survey

SOURCE: dict[str, Any] = {
    "path": "x",
    "format": "csv",
    "columns": {"text": "t", "event_time": "e"},
    "constants": {"scene": "chat", "source": "app"},
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("files") / "two words"
    (made / "inside").mkdir(parents=True)
    for name in ("b.csv", "a.csv", "c d.csv", ".hidden", "_SUCCESS", "inside/e.csv"):
        (made / name).write_text("h\n1\n")
    return made


def test_a_folder_gives_its_own_files_sorted_without_hidden_ones(folder: Path) -> None:
    assert list_files(str(folder)) == [str(folder / name) for name in ("a.csv", "b.csv", "c d.csv")]


def test_a_file_gives_itself_and_a_glob_what_it_matches(folder: Path) -> None:
    assert list_files(str(folder / "a.csv")) == [str(folder / "a.csv")]
    assert list_files(str(folder / "[ab].csv")) == [str(folder / "a.csv"), str(folder / "b.csv")]
    assert list_files(str(folder.parent / "*")) == list_files(str(folder))


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_uri_gives_uris_that_can_be_opened(folder: Path, slash: str) -> None:
    uri = "file://" + quote(str(folder))
    found = list_files(uri + slash)
    assert found == [f"{uri}/{name}" for name in ("a.csv", "b.csv", "c%20d.csv")]
    assert [survey(path, "csv").records for path in found] == [1, 1, 1]
    assert list_files(found[2]) == [found[2]]


def test_what_is_not_there_gives_nothing(folder: Path) -> None:
    assert list_files(str(folder / "none")) == []
    assert list_files("file://" + quote(str(folder / "none"))) == []


@pytest.mark.parametrize("uri", ["file:///two words", "nobody://knows/this"])
def test_a_place_that_cannot_be_read_is_an_error_of_ours(uri: str) -> None:
    with pytest.raises(DataError, match="not a place that can be read"):
        list_files(uri)


def test_a_file_that_cannot_be_opened_is_an_error_of_ours(folder: Path) -> None:
    with pytest.raises(DataError, match="cannot be opened"), open_file(str(folder / "none")):
        pass


def fed(counter: Any, content: bytes, cuts: list[int]) -> int:
    places = sorted({0, len(content), *(cut % (len(content) + 1) for cut in cuts)})
    for first, last in pairwise(places):
        counter.feed(content[first:last])
    return int(counter.records())


FIELD = st.lists(st.sampled_from(["a", ",", "\t", '"', "\n", "\r\n", " ", "好"]), max_size=6).map("".join)
TABLE = st.lists(st.lists(FIELD, min_size=1, max_size=3), max_size=8)
CUTS = st.lists(st.integers(0, 1000), max_size=6)


@given(TABLE, CUTS, st.sampled_from(["\n", "\r\n"]), st.booleans(), st.booleans(), st.sampled_from([",", "\t"]))
@settings(max_examples=500, deadline=None)
@example([["a"], ["\n"]], [], "\n", True, True, ",")
def test_a_csv_is_counted_as_pythons_csv_module_reads_it(
    rows: list[list[str]], cuts: list[int], end: str, ended: bool, quoted: bool, delimiter: str
) -> None:
    written = io.StringIO()
    quoting = csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL
    csv.writer(written, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows([["head"], *rows])
    content = written.getvalue() if ended else written.getvalue().removesuffix(end)
    wanted = sum(1 for row in csv.reader(io.StringIO(content, newline=""), delimiter=delimiter) if row) - 1
    assert wanted == len(rows)
    assert fed(_CsvCounter(delimiter.encode()), content.encode(), cuts) == wanted


LINES = st.lists(st.sampled_from(['"a\nb"', "a", '""', '"a""\n\n"', "", "\r", ",", '"\r\n",x', "好"]), max_size=12)


@given(LINES, CUTS, st.booleans())
@settings(max_examples=500, deadline=None)
def test_blank_lines_between_records_are_none(lines: list[str], cuts: list[int], ended: bool) -> None:
    content = "\n".join(["head", *lines]) + "\n" * ended
    wanted = sum(1 for row in csv.reader(io.StringIO(content, newline="")) if row) - 1
    assert fed(_CsvCounter(b","), content.encode(), cuts) == wanted


@given(st.text(st.sampled_from('a",\n\t'), max_size=24), CUTS, st.sampled_from([",", "\t"]))
@settings(max_examples=2000, deadline=None)
@example('5" pipe,1\nb,"2"', [], ",")
@example('"a"b",\n"', [2], ",")
def test_quotes_anywhere_are_counted_as_pythons_csv_module_reads_them(
    text: str, cuts: list[int], delimiter: str
) -> None:
    content = "head\n" + text
    wanted = sum(1 for row in csv.reader(io.StringIO(content, newline=""), delimiter=delimiter) if row) - 1
    assert fed(_CsvCounter(delimiter.encode()), content.encode(), cuts) == wanted


@given(st.lists(st.sampled_from([b"{}", b"", b"  ", b"\r", b"\t\r", "好".encode(), b"\xff"])), CUTS, st.booleans())
@settings(max_examples=300, deadline=None)
def test_lines_with_anything_in_them_are_counted(lines: list[bytes], cuts: list[int], marked: bool) -> None:
    content = b"\xef\xbb\xbf" * marked + b"\n".join(lines)
    assert fed(_LineCounter(), content, cuts) == sum(1 for line in lines if line.strip())


def test_a_survey_tells_digest_size_and_count(tmp_path: Path) -> None:
    content = b't\n"a\nb"\n\nc\n'
    (tmp_path / "f").write_bytes(content)
    found = survey(str(tmp_path / "f"), "csv")
    assert (found.sha256, found.size, found.records) == (hashlib.sha256(content).hexdigest(), len(content), 2)
    assert survey(str(tmp_path / "f"), "jsonl").records == 4


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_an_empty_file_has_no_record(tmp_path: Path, kind: str) -> None:
    (tmp_path / "f").write_bytes(b"")
    assert survey(str(tmp_path / "f"), kind).records == 0


def test_a_survey_of_parquet_asks_its_footer(tmp_path: Path) -> None:
    pq.write_table(pa.table({"t": ["a\n", None, "b"]}), tmp_path / "f")
    found = survey(str(tmp_path / "f"), "parquet")
    assert (found.records, found.size) == (3, (tmp_path / "f").stat().st_size)
    (tmp_path / "g").write_bytes((tmp_path / "f").read_bytes()[:-5])
    with pytest.raises(DataError, match="not a Parquet file"):
        survey(str(tmp_path / "g"), "parquet")


def test_a_survey_reads_files_of_many_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("udfs.sources._BLOCK", 7)
    (tmp_path / "f").write_bytes(b"h\n" + b'"a\n\n",b\r\n' * 100)
    assert survey(str(tmp_path / "f"), "csv").records == 100


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"columns": {"text": "t"}}, "neither columns nor constants give event_time"),
        ({"constants": {"scene": "chat"}}, "give source"),
        ({"columns": {"text": "t", "event_time": "e", "scene": "s"}}, "both columns and constants give scene"),
        ({"columns": {"text": "t", "event_time": "e", "author": "a"}}, "author"),
        ({"timezone": "Mars"}, "not a time zone"),
        ({"format": "xml"}, "format"),
    ],
)
def test_a_source_that_cannot_be_read_is_refused(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=told):
        SourceSettings.model_validate(SOURCE | change)


def test_the_digest_names_how_a_file_is_read_not_where_it_lies() -> None:
    one = SourceSettings.model_validate(SOURCE)
    assert one.digest == SourceSettings.model_validate(SOURCE | {"path": "y"}).digest
    assert one.digest != SourceSettings.model_validate(SOURCE | {"timezone": "UTC"}).digest
    assert one.digest == SourceSettings.model_validate(json.loads(one.model_dump_json())).digest
