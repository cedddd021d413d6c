"""Batches by a budget of tokens, halved where they do not fit; texts without a score keep a reason."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from models.errors import DataError
from models.teachers.batch_scoring import (
    NOT_FINITE,
    OUT_OF_MEMORY,
    REFUSED,
    Budget,
    DoesNotFitError,
    Result,
    Runner,
    score_tokens,
)
from models.teachers.text_scorer import TextScorer
from models.teachers.token_batches import token_batches
from models.teachers.tokenisation import Tokens
from models.text.vocabulary import Encoded

LENGTHS = st.lists(st.integers(0, 40), max_size=60)


@given(LENGTHS, st.integers(1, 200))
def test_batches_are_within_the_budget_and_hold_each_row_once(lengths: list[int], budget: int) -> None:
    sizes = np.array(lengths, np.int64)
    batches = token_batches(sizes, budget)
    assert sorted(np.concatenate([*batches, np.zeros(0, np.int64)]).tolist()) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(sizes[batch].max(), 1) <= budget
    flat = [(lengths[row], row) for batch in batches for row in batch]
    assert flat == sorted(flat)  # by length, equal ones in the order given
    for batch, following in pairwise(batches):
        assert (len(batch) + 1) * max(lengths[following[0]], 1) > budget  # as many as fit


class Sums(Runner):
    """Gives each text the sum of its ids; holds so many tokens at most, of all batches whose results wait."""

    def __init__(self, room: int = 10**9, ahead: int = 1, broken: tuple[int, ...] = ()) -> None:
        self.room, self.ahead, self.broken = room, ahead, broken
        self.used, self.batches, self.freed = 0, [], 0

    def start(self, tokens: Tokens, rows: NDArray[np.int64]) -> Callable[[], Result]:
        ids, _ = tokens.encoded.padded(rows, at_least=1)
        if self.used + ids.size > self.room:
            raise DoesNotFitError
        self.used += ids.size
        self.batches.append(rows.tolist())
        sums = ids.sum(1).astype(np.float32)
        sums[np.isin(sums, self.broken)] = np.inf

        def result() -> Result:
            self.used -= ids.size
            return np.stack([sums, -sums], 1), sums[:, None]

        return result

    def free(self) -> None:
        self.freed += 1


def tokens_of(lengths: list[int]) -> Tokens:
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return Tokens(Encoded(np.arange(1, offsets[-1] + 1, dtype=np.int32), offsets))


def sums_of(lengths: list[int]) -> NDArray[np.float32]:
    encoded = tokens_of(lengths).encoded
    return np.array([encoded.ids[a:b].sum() for a, b in zip(encoded.offsets, encoded.offsets[1:], strict=False)])


@given(LENGTHS, st.integers(1, 100), st.integers(1, 3), st.integers(8, 300))
def test_every_text_is_scored_or_has_a_reason_whatever_the_memory(
    lengths: list[int], tokens: int, ahead: int, room: int
) -> None:
    runner, budget = Sums(room, ahead), Budget(tokens)
    scores = score_tokens(runner, tokens_of(lengths), (2, 1), budget)
    too_long = {row for row, length in enumerate(lengths) if length > room}
    assert scores.reasons == dict.fromkeys(too_long, OUT_OF_MEMORY)
    kept = [row for row in range(len(lengths)) if row not in too_long]
    assert np.array_equal(scores.logits[kept, 0], sums_of(lengths)[kept])
    assert np.array_equal(scores.states[kept, 0], sums_of(lengths)[kept])
    assert np.isnan(scores.logits[sorted(too_long)]).all()
    assert runner.used == 0


def test_a_budget_that_was_too_large_stays_halved() -> None:
    runner, budget = Sums(room=40), Budget(100)
    score_tokens(runner, tokens_of([10] * 10), (2, 1), budget)
    assert budget == Budget(25, 2)  # 100 and 50 are too many
    assert max(map(len, runner.batches)) == 2
    score_tokens(runner, tokens_of([5] * 10), (2, 1), budget)
    assert [len(batch) for batch in runner.batches[-2:]] == [5, 5]


def test_what_is_no_number_has_a_reason_and_its_neighbours_their_scores() -> None:
    lengths = [1, 1, 1]
    scores = score_tokens(Sums(broken=(2,)), tokens_of(lengths), (2, 1), Budget(8))
    assert scores.reasons == {1: NOT_FINITE}
    assert scores.logits[[0, 2], 0].tolist() == [1, 3]
    assert np.isnan(scores.logits[1]).all()
    assert np.isnan(scores.states[1]).all()
    with pytest.raises(DataError, match=r"1 of 3 texts .* \(not_finite\)"):
        scores.whole()


class Picky:
    """A tokenizer of characters that refuses every text with an `!`."""

    def __call__(self, texts: list[str], second: list[str] | None, **_: object) -> dict[str, list[list[int]]]:
        if any("!" in text for text in [*texts, *(second or [])]):
            raise ValueError("no such character")
        joined = [a + b for a, b in zip(texts, second or [""] * len(texts), strict=True)]
        return {"input_ids": [[ord(char) for char in text] for text in joined]}


@pytest.mark.parametrize("second", [None, ["", "!", "", "c"]])
def test_a_text_that_the_tokenizer_refuses_costs_no_other_its_score(second: list[str] | None) -> None:
    scorer = TextScorer(Picky(), 8, 2, 1, Sums(), Budget(16))
    scores = scorer.score(scorer.prepare(["a", "b", "c!", "a"], second))
    refused = {2: REFUSED} if second is None else {1: REFUSED, 2: REFUSED}
    assert scores.reasons == refused
    assert scores.logits[3, 0] == ord("a") + (0 if second is None else ord("c"))
    assert scores.logits[0, 0] == ord("a")
