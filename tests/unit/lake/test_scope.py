"""What a commit replaces: which rows, in SQL that nobody can smuggle anything into, and which commits may meet."""

from __future__ import annotations

import re
from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.lake.commits import Scope
from models.errors import SettingsError

FIRST = date(2026, 3, 1)
DAYS = st.tuples(st.integers(0, 6), st.integers(0, 6)).map(
    lambda ends: (FIRST + timedelta(min(ends)), FIRST + timedelta(max(ends)))
)
VALUES = st.lists(st.sampled_from("abcd"), unique=True).map(tuple)


@st.composite
def scopes(draw: st.DrawFn) -> Scope:
    first, last = draw(st.one_of(st.just((None, None)), DAYS))
    values = draw(VALUES)
    return Scope(first, last, draw(st.sampled_from(["task", None])) if not values else "task", values)


def rows(scope: Scope) -> set[tuple[date, str]]:
    days = [FIRST + timedelta(at) for at in range(7)]
    return {
        (day, value)
        for day in days
        for value in "abcde"
        if (scope.first is None or scope.last is None or scope.first <= day <= scope.last)
        and (not scope.values or value in scope.values)
    }


@given(scopes(), scopes())
@settings(max_examples=400, deadline=None)
def test_commits_overlap_where_they_share_a_row(one: Scope, other: Scope) -> None:
    assert one.overlaps(other) == bool(rows(one) & rows(other))
    assert one.overlaps(other) == other.overlaps(one)
    assert one.overlaps(one)


def test_values_of_different_columns_say_nothing_of_each_other() -> None:
    assert Scope(column="task", values=("a",)).overlaps(Scope(column="model_id", values=("b",)))
    assert not Scope(column="task", values=("a",)).overlaps(Scope(column="task", values=("b",)))


def test_a_predicate_names_days_and_values() -> None:
    scope = Scope(FIRST, FIRST + timedelta(6), "model_id", ("praise/textcnn/0a1b", "*"))
    assert scope.predicate() == (
        "dt >= DATE'2026-03-01' AND dt <= DATE'2026-03-07' AND model_id IN ('praise/textcnn/0a1b', '*')"
    )
    assert Scope(FIRST, FIRST).predicate() == "dt >= DATE'2026-03-01' AND dt <= DATE'2026-03-01'"
    assert Scope(column="task", values=("praise",)).predicate() == "task IN ('praise')"


def test_a_column_without_values_means_every_value() -> None:
    assert Scope(FIRST, FIRST, "task").predicate() == Scope(FIRST, FIRST).predicate()


@pytest.mark.parametrize("scope", [Scope(), Scope(column="task"), Scope(first=FIRST)], ids=str)
def test_a_replacement_of_everything_is_refused(scope: Scope) -> None:
    with pytest.raises(ValueError, match="needs a scope"):
        scope.predicate()


def test_an_empty_value_cannot_name_a_partition() -> None:
    with pytest.raises(SettingsError, match=r"task: .* cannot name a partition"):
        Scope(column="task", values=("a", "")).predicate()


@given(st.dates(date(1, 1, 1)), st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=3))
@settings(max_examples=300, deadline=None)
def test_a_predicate_has_one_shape_whatever_the_values(day: date, values: list[str]) -> None:
    told = Scope(day, day, "task", tuple(values)).predicate()
    head = f"dt >= DATE'{day.isoformat()}' AND dt <= DATE'{day.isoformat()}' AND task IN ("
    assert told.startswith(head)
    # Strings of Spark's SQL: a backslash takes the next character.
    one = r"'(?:[^'\\]|\\[\s\S])*'"
    inside = told.removeprefix(head).removesuffix(")")
    assert re.fullmatch(f"{one}(?:, {one})*", inside)
    found = [re.sub(r"\\([\s\S])", r"\1", literal[1:-1]) for literal in re.findall(one, inside)]
    assert found == values
