"""The encoder against a naive one, on every kind of Arrow column."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import BundleError, DataError
from models.text.vocabulary import PAD, UNKNOWN, Encoded, Vocabulary

KNOWN = Vocabulary(("好", "a", "😀", "é", "\n", "𠀀"))
# Known and unknown characters of one to four bytes.
texts = st.lists(st.none() | st.text(alphabet="好坏ab😀😁é\n𠀀\u2028\0", max_size=12), max_size=12)


def naive(text: str | None, max_length: int) -> list[int]:
    ids = {char: at + 2 for at, char in enumerate(KNOWN.chars)}
    return [ids.get(char, UNKNOWN) for char in (text or "")[:max_length]]


def rows(encoded: Encoded) -> list[list[int]]:
    return [encoded.ids[a:b].tolist() for a, b in zip(encoded.offsets[:-1], encoded.offsets[1:], strict=True)]


def as_string(values: list[Any]) -> Any:
    return pa.array(values, pa.string())


def as_large(values: list[Any]) -> Any:
    return pa.array(values, pa.large_string())


def as_view(values: list[Any]) -> Any:
    return pa.array(values, pa.string_view())


def as_dictionary(values: list[Any]) -> Any:
    return pa.array(values, pa.string()).dictionary_encode()


def as_slice(values: list[Any]) -> Any:
    return pa.array(["before", "好", *values, "after", None], pa.string())[2 : 2 + len(values)]


def as_chunks(values: list[Any]) -> Any:
    half = len(values) // 2
    return pa.chunked_array([as_slice(values[:half]), as_string([]), as_string(values[half:])])


def as_dictionary_chunks(values: list[Any]) -> Any:
    return as_chunks(values).dictionary_encode()


FORMS = [as_string, as_large, as_view, as_dictionary, as_slice, as_chunks, as_dictionary_chunks]


@pytest.mark.parametrize("form", FORMS)
@settings(deadline=None)
@given(values=texts, max_length=st.integers(1, 14))
def test_encode_agrees_with_a_naive_encoder(form: Any, values: list[Any], max_length: int) -> None:
    encoded = KNOWN.encode(form(values), max_length)
    assert rows(encoded) == [naive(value, max_length) for value in values]
    assert encoded.ids.dtype == np.int32
    assert encoded.offsets.dtype == np.int64


def test_bytes_that_lie_under_a_null_are_not_read() -> None:
    offsets = pa.py_buffer(np.array([0, 1, 3, 4], np.int32))
    valid = pa.py_buffer(bytes([0b101]))
    column = pa.StringArray.from_buffers(3, offsets, pa.py_buffer(b"abca"), valid)
    assert rows(KNOWN.encode(column, 9)) == [[3], [], [3]]


def test_bytes_that_are_not_utf8_are_refused_without_showing_them() -> None:
    column = pa.StringArray.from_buffers(1, pa.py_buffer(np.array([0, 3], np.int32)), pa.py_buffer(b"ab\xff"))
    with pytest.raises(DataError, match="byte 2 of 3") as caught:
        KNOWN.encode(column, 9)
    assert "ab" not in str(caught.value).split("byte 2")[1]


def test_a_column_without_strings_is_refused() -> None:
    with pytest.raises(DataError, match="int64"):
        KNOWN.encode(pa.array([1, 2]), 9)


@settings(deadline=None)
@given(values=texts.filter(bool), at_least=st.integers(0, 6), data=st.data())
def test_padded_and_take_keep_every_row(values: list[Any], at_least: int, data: st.DataObject) -> None:
    encoded = KNOWN.encode(as_string(values), 9)
    order = np.array(data.draw(st.lists(st.integers(0, len(values) - 1), min_size=1, max_size=9)), dtype=np.int64)
    ids, lengths = encoded.padded(order, at_least=at_least)
    wanted = [naive(values[at], 9) for at in order]
    width = max(*map(len, wanted), at_least, 0)
    assert ids.tolist() == [row + [PAD] * (width - len(row)) for row in wanted]
    assert lengths.tolist() == [len(row) for row in wanted]
    assert rows(encoded.take(order)) == wanted


def test_build_ranks_by_count_then_code_point() -> None:
    built = Vocabulary.build(pa.chunked_array([["bbba", "a好"], [None, "好😀😀😀x"]]), max_size=6)
    assert built.chars == ("b", "😀", "a", "好")
    assert len(built) == 6
    assert Vocabulary.build(pa.array(["bbba", "x"]), max_size=9, min_count=1).chars == ("b", "a", "x")
    assert Vocabulary.build(pa.array(["bbbaacc"]), max_size=4).chars == ("b", "a")
    assert len(Vocabulary.build(pa.array([], pa.string()), max_size=9)) == 2


@settings(deadline=None)
@given(st.lists(st.characters(codec=None), unique=True, max_size=30))
def test_save_and_load_keep_odd_characters(tmp_path_factory: pytest.TempPathFactory, chars: list[str]) -> None:
    path = tmp_path_factory.mktemp("vocabulary") / "vocabulary.json"
    vocabulary = Vocabulary(tuple(chars))
    vocabulary.save(path)
    assert Vocabulary.load(path) == vocabulary
    assert Vocabulary.load(path).digest == vocabulary.digest


def test_the_digest_tells_vocabularies_apart() -> None:
    assert len({Vocabulary(chars).digest for chars in [(), ("a",), ("a", "b"), ("b", "a")]}) == 4


@pytest.mark.parametrize("content", ["{", '{"a": 1}', "[1]", '["ab"]', '["a", "a"]', '[""]'])
def test_a_file_that_is_no_vocabulary_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "vocabulary.json").write_text(content)
    with pytest.raises(BundleError, match="vocabulary"):
        Vocabulary.load(tmp_path / "vocabulary.json")
