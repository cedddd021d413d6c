"""Which scored texts stand for all: those of the draw by hash, whatever else was scored."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models import digests
from models.rounds.hash_draw import draw_order, drawn

FLAGS = st.lists(st.booleans(), max_size=60)


def kept(*scored: bool) -> list[bool]:
    flags: list[bool] = drawn(np.array(scored, np.bool_)).tolist()
    return flags


@given(FLAGS)
def test_what_is_kept_was_scored_and_nothing_before_the_end_is_left_out(scored: list[bool]) -> None:
    chosen = kept(*scored)
    end = max((at + 1 for at, one in enumerate(chosen) if one), default=0)
    assert chosen == [one and at < end for at, one in enumerate(scored)]


@given(FLAGS)
def test_most_of_what_comes_before_the_end_was_scored_wherever_it_is_cut_from_behind(scored: list[bool]) -> None:
    chosen = kept(*scored)
    end = max((at + 1 for at, one in enumerate(chosen) if one), default=0)
    for start in range(end):
        assert 2 * sum(scored[start:end]) >= end - start
    for longer in range(end + 1, len(scored) + 1):
        assert 2 * sum(scored[end:longer]) < longer - end + (end == 0)


@given(st.integers(0, 40))
def test_a_draw_that_was_scored_whole_is_all_there(texts: int) -> None:
    assert kept(*[True] * texts) == [True] * texts


def test_texts_that_arrived_since_cost_no_more_than_themselves() -> None:
    assert kept(False, True, True, True, False, True) == [False, True, True, True, False, True]


def test_behind_the_end_of_a_smaller_draw_what_was_scored_for_other_reasons_is_not_of_it() -> None:
    """A draw of fifty was made five hundred; of the others one in four was scored for another reason."""
    others = [at % 4 == 3 for at in range(450)]
    assert kept(*[True] * 50, *others) == [True] * 50 + [False] * 450


def test_texts_that_nobody_drew_are_no_draw() -> None:
    assert kept(*[at % 3 == 2 for at in range(300)]) == [False] * 300


@given(st.sets(st.text(max_size=3), min_size=1, max_size=20), st.integers(-(2**63), 2**63 - 1))
def test_a_texts_number_depends_on_nothing_but_itself_and_the_seed(texts: set[str], seed: int) -> None:
    hashes = [digests.of_text(text) for text in sorted(texts)]
    alone = [draw_order([text_hash], seed)[0] for text_hash in hashes]
    assert draw_order(hashes, seed).tolist() == alone
    assert draw_order(hashes[::-1], seed).tolist() == alone[::-1]
