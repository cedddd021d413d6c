"""Records are counted as another parser would read them."""

from __future__ import annotations

import csv
import io
from itertools import pairwise
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from udfs.readers.counting import CsvCounter, LineCounter


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
    assert fed(CsvCounter(delimiter.encode()), content.encode(), cuts) == wanted


LINES = st.lists(st.sampled_from(['"a\nb"', "a", '""', '"a""\n\n"', "", "\r", ",", '"\r\n",x', "好"]), max_size=12)


@given(LINES, CUTS, st.booleans())
@settings(max_examples=500, deadline=None)
def test_blank_lines_between_records_are_none(lines: list[str], cuts: list[int], ended: bool) -> None:
    content = "\n".join(["head", *lines]) + "\n" * ended
    wanted = sum(1 for row in csv.reader(io.StringIO(content, newline="")) if row) - 1
    assert fed(CsvCounter(b","), content.encode(), cuts) == wanted


@given(st.text(st.sampled_from('a",\n\t'), max_size=24), CUTS, st.sampled_from([",", "\t"]))
@settings(max_examples=600, deadline=None)
@example('5" pipe,1\nb,"2"', [], ",")
@example('"a"b",\n"', [2], ",")
def test_quotes_anywhere_are_counted_as_pythons_csv_module_reads_them(
    text: str, cuts: list[int], delimiter: str
) -> None:
    content = "head\n" + text
    wanted = sum(1 for row in csv.reader(io.StringIO(content, newline=""), delimiter=delimiter) if row) - 1
    assert fed(CsvCounter(delimiter.encode()), content.encode(), cuts) == wanted


@given(st.lists(st.sampled_from([b"{}", b"", b"  ", b"\r", b"\t\r", "好".encode(), b"\xff"])), CUTS, st.booleans())
@settings(max_examples=300, deadline=None)
def test_lines_with_anything_in_them_are_counted(lines: list[bytes], cuts: list[int], marked: bool) -> None:
    content = b"\xef\xbb\xbf" * marked + b"\n".join(lines)
    assert fed(LineCounter(), content, cuts) == sum(1 for line in lines if line.strip())


@given(st.lists(st.sampled_from(["a", ",", "\n", '"' * 7, '"' * 8, '"']), max_size=8), st.booleans())
@settings(max_examples=500, deadline=None)
def test_whether_a_quoted_field_is_open_does_not_depend_on_where_blocks_end(pieces: list[str], inside: bool) -> None:
    content = "".join(pieces).encode()
    whole, bytewise = CsvCounter(b",", inside=inside), CsvCounter(b",", inside=inside)
    whole.feed(content)
    for at in range(len(content)):
        bytewise.feed(content[at : at + 1])
    assert whole.inside() == bytewise.inside()
    as_field = '"' * inside + content.decode() + '"' * whole.inside() + "\nend\n"
    assert list(csv.reader(io.StringIO(as_field, newline="")))[-1] == ["end"]
