"""Digests name the same thing alike, and different things apart."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from models import digests

ANYTHING = st.text(st.characters(exclude_categories=()), max_size=8)
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), ANYTHING),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)),
    max_leaves=8,
)


def test_a_text_is_hashed_as_sql_hashes_it() -> None:
    assert digests.of_text("好的") == hashlib.sha256("好的".encode()).hexdigest()[:32]


@given(st.tuples(ANYTHING, ANYTHING), st.tuples(ANYTHING, ANYTHING))
@settings(deadline=None)
def test_pairs_and_sources_are_told_apart_wherever_they_are_cut(one: tuple[str, str], other: tuple[str, str]) -> None:
    for name in (digests.of_text, digests.of_source):
        assert (name(*one) == name(*other)) == (one == other)
        assert len(name(*one)) == digests.TEXT_HASH_CHARS
    moved = "".join(one)
    assert digests.of_text(*one) != digests.of_text(moved)


def test_a_pair_is_no_concatenation() -> None:
    assert digests.of_text("ab", "c") != digests.of_text("a", "bc")
    assert digests.of_text("ab", "") != digests.of_text("ab")
    assert digests.of_source("ab", "c") != digests.of_source("a", "bc")


def reordered(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: reordered(value[key]) for key in reversed(value)}
    return [reordered(item) for item in value] if isinstance(value, list) else value


@given(st.one_of(JSON.filter(lambda value: "\\ud" not in json.dumps(value))))
@settings(deadline=None)
def test_the_order_of_keys_does_not_matter(value: Any) -> None:
    assert digests.of_json(value) == digests.of_json(reordered(value))
    assert digests.of_json(value, chars=12) == digests.of_json(value)[:12]


def test_values_of_other_kinds_have_other_digests() -> None:
    values: list[Any] = [1, "1", 1.5, True, None, "null", [], {}, [1], {"a": 1}, {"a": [1]}, {"a": "1"}]
    assert len({digests.of_json(value) for value in values}) == len(values)


def test_a_file_has_the_digest_of_its_bytes(tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    (tmp_path / "file").write_bytes(content)
    assert digests.of_file(tmp_path / "file") == digests.of_bytes(content) == hashlib.sha256(content).hexdigest()
