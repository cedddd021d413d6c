"""A JSON array is read element by element, counted by another way, and refused whole where it is none."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from udfs.annotation_settings import AnnotationFiles, AnnotationSettings
from udfs.readers import json_array
from udfs.readers.reading import read_spans
from udfs.readers.record_spans import MAX_RECORD_BYTES, RecordSpan, RejectedError
from udfs.readers.survey import survey


def spans(path: Path, content: bytes, **mapping: Any) -> list[RecordSpan]:
    """The records of a content, as many as its survey counts."""
    path.write_bytes(content)
    layout = AnnotationFiles("json", AnnotationSettings.model_validate(mapping))
    counted = survey(str(path), layout)
    assert counted.refused is None, counted
    found = list(read_spans(str(path), layout))
    assert len(found) == counted.records
    return found


def refused(path: Path, content: bytes, **mapping: Any) -> tuple[str | None, str | None]:
    path.write_bytes(content)
    counted = survey(str(path), AnnotationFiles("json", AnnotationSettings.model_validate(mapping)))
    return counted.refused, counted.detail


def reason(span: RecordSpan) -> str | None:
    try:
        span.parse()
    except RejectedError as rejected:
        return rejected.reason
    return None


OBJECT = st.dictionaries(
    st.text(max_size=4),
    st.recursive(st.none() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3), max_leaves=5),
    max_size=3,
)


@given(st.lists(OBJECT, max_size=6), st.sampled_from([None, 1, 3]), st.integers(1, 7), st.booleans())
@settings(max_examples=200, deadline=None)
def test_any_objects_come_out_as_they_went_in_however_blocks_fall(
    tmp_path_factory: pytest.TempPathFactory,
    objects: list[dict[str, Any]],
    indent: int | None,
    block: int,
    escaped: bool,
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    content = json.dumps(objects, ensure_ascii=escaped, indent=indent).encode("utf-8", "replace")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_array, "SMALL_BLOCK", block)
        found = spans(path, content)
    assert [span.parse() for span in found] == json.loads(content)
    assert all(content[span.position :].startswith(span.raw) for span in found)


PIECES = st.sampled_from([b"[", b"]", b"{", b"}", b",", b'"', b"\\", b"a", b" ", b"\n", b":", b"\xff", "好".encode()])


@given(st.lists(PIECES, max_size=14).map(b"".join), st.booleans())
@settings(max_examples=800, deadline=None)
def test_any_bytes_are_refused_whole_or_read_as_they_are_counted(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, ended: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.json"
    content = b"[" + content + b"]" * ended
    path.write_bytes(content)
    layout = AnnotationFiles("json", AnnotationSettings())
    counted = survey(str(path), layout)
    if counted.refused is None:
        found = list(read_spans(str(path), layout))
        assert len(found) == counted.records
        assert all(content[span.position :].startswith(span.raw) for span in found)


def test_an_element_that_is_no_object_is_rejected_alone(tmp_path: Path) -> None:
    content = b'[{"a": 1}, 7, , {"a" 1}, [1, {"b": 2}], "x,]", {"a": "\xff"}, {"a": 2}]'
    assert [reason(span) for span in spans(tmp_path / "a.json", content)] == [
        None, *["malformed"] * 5, "not_utf8", None
    ]  # fmt: skip
    assert spans(tmp_path / "b.json", b"\xef\xbb\xbf \n[ \n ]\n") == []


def test_an_element_that_is_too_long_is_not_held(tmp_path: Path) -> None:
    long = b'{"a": "' + b"x" * MAX_RECORD_BYTES + b'"}'
    before, bad, after = spans(tmp_path / "a.json.gz", gzip.compress(b'[{"a": 1},\n' + long + b',{"a": 2}]'))
    assert (before.parse(), after.parse()) == ({"a": 1}, {"a": 2})
    assert (reason(bad), bad.length, bad.position) == ("too_long", len(long), 11)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "file_empty"),
        (b"  \n", "file_not_json"),
        (b'{"a": 1}\n{"a": 2}\n', "file_not_json"),
        (b"a,b\n1,2\n", "file_not_json"),
        (b'[{"a": 1}] [', "file_not_json"),
        (b'[{"a": 1},', "file_truncated"),
        (b'[{"a": "]', "file_truncated"),
        ("[{}]".encode("utf-16"), "file_encoding"),
        ('[{"a": "好'.encode("gbk"), "file_encoding"),
    ],
)
def test_what_is_no_whole_array_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    assert refused(tmp_path / "a.json", content)[0] == why


def test_objects_a_line_are_told_their_name(tmp_path: Path) -> None:
    assert ".jsonl" in str(refused(tmp_path / "a.json", b'{"a": 1}\n')[1])


@pytest.mark.parametrize("encoding", ["gbk", "gb18030", "utf-16"])
def test_a_declared_encoding_is_read(tmp_path: Path, encoding: str) -> None:
    (span,) = spans(tmp_path / "a.json", '[{"a": "老师，\\"好\\""}]'.encode(encoding), encoding=encoding)
    assert span.parse() == {"a": '老师，"好"'}
