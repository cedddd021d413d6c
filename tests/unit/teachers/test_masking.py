"""Whole words are hidden together, and no more tokens than one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from transformers import BertTokenizer

from models.errors import SettingsError
from models.tasks import TeacherSettings
from models.teachers.masking import MaskSymbols, mask_tokens, word_distances
from models.teachers.pretraining import SPECIALS, build_tokenizer, pretrain
from models.teachers.tokenisation import tokenise
from models.text.word_vocabulary import cut

WORDS = ["老师", "同学们", "好", "作业", "没关系", "playing", "ab", " ", "\U0001f600", "é", "吗"]
CHARS = sorted(set("".join(WORDS)) - {" ", "吗"})
OURS = build_tokenizer(CHARS, 100)
BERT = BertTokenizer(vocab={token: at for at, token in enumerate([
    *SPECIALS, *(char for char in CHARS if not char.isascii()), "play", "##ing", "a", "##b",
])})  # fmt: skip
TEXTS = st.lists(st.lists(st.sampled_from(WORDS), max_size=12).map("".join), min_size=1, max_size=6)


def tokens_of(tokenizer: Any, texts: list[str]) -> list[list[str]]:
    encoded = tokenise(tokenizer, texts, 16).encoded
    return [
        tokenizer.convert_ids_to_tokens(encoded.padded(np.array([row]), at_least=0)[0][0]) for row in range(len(texts))
    ]


def distances_of(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    words = word_distances(tokenizer, texts, 16)
    return [words.ids[words.offsets[row] : words.offsets[row + 1]].tolist() for row in range(len(texts))]


@settings(deadline=None)  # jieba reads its dictionary once
@given(TEXTS)
def test_each_token_has_its_place_in_its_word(texts: list[str]) -> None:
    for tokenizer in (OURS, BERT):
        assert list(map(len, distances_of(tokenizer, texts))) == list(map(len, tokens_of(tokenizer, texts)))
    for text, places in zip(texts, distances_of(OURS, texts), strict=True):
        inside = [at for word in cut(text) if not word.isspace() for at in range(len(word))]
        assert places == [0, *inside[:14], 0]


def test_parts_of_words_belong_together_whatever_the_tokenizer() -> None:
    (tokens,), (places,) = tokens_of(BERT, ["没关系playing吗"]), distances_of(BERT, ["没关系playing吗"])
    assert tokens == ["[CLS]", "没", "关", "系", "play", "##ing", "[UNK]", "[SEP]"]
    assert places == [0, 0, 1, 2, 0, 1, 0, 0]
    assert distances_of(OURS, [""]) == [[0, 0]]
    assert len(word_distances(OURS, [], 16)) == 0


def padded(texts: list[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    rows = np.arange(len(texts))
    return (
        tokenise(OURS, texts, 16).encoded.padded(rows, at_least=1)[0],
        word_distances(OURS, texts, 16).padded(rows, at_least=1)[0],
    )


@settings(deadline=None)
@given(TEXTS, st.integers(0, 9), st.floats(0.01, 0.9))
def test_a_word_is_hidden_whole_or_not_at_all(texts: list[str], seed: int, share: float) -> None:
    ids, distances = padded(texts)
    symbols = MaskSymbols.of(OURS)
    candidates = symbols.may_be_hidden(ids)
    shown, hidden = mask_tokens(ids, candidates, symbols, np.random.default_rng(seed), share, distances)
    first = np.arange(ids.shape[1]) - distances
    for row, column in zip(*np.nonzero(candidates), strict=True):
        word = (first[row] == first[row, column]) & candidates[row]
        assert hidden[row, word].all() == hidden[row, column]
    assert not hidden[~candidates].any()
    assert hidden.any() == candidates.any()
    assert np.array_equal(shown[~hidden], ids[~hidden])


def test_whole_words_hide_no_more_tokens_on_average() -> None:
    random = np.random.default_rng(1)
    ids, distances = padded(["".join(random.choice(WORDS[:5], 8)) for _ in range(2000)])
    symbols = MaskSymbols.of(OURS)
    candidates = symbols.may_be_hidden(ids)
    for places in (None, distances):
        _, hidden = mask_tokens(ids, candidates, symbols, random, 0.3, places)
        assert hidden.sum() / candidates.sum() == pytest.approx(0.3, abs=0.015)


def test_a_tokenizer_that_tells_no_places_is_refused() -> None:
    with pytest.raises(SettingsError, match="whole_words: object does not tell"):
        word_distances(object(), ["好"], 16)


def test_what_is_hidden_decides_the_weights(tmp_path: Path) -> None:
    def weights(name: str, **values: Any) -> bytes:
        small = TeacherSettings(layers=1, hidden=16, max_tokens=16, pretrain_steps=3, **values)
        return (pretrain(["老师没关系"] * 64, small, seed=1, folder=tmp_path / name) / "model.safetensors").read_bytes()

    plain = weights("plain")
    assert weights("same", pretrain_masked=(0.15, 0.15), pretrain_masking="tokens") == plain
    assert (
        len({plain, weights("words", pretrain_masking="whole_words"), weights("falls", pretrain_masked=(0.9, 0.1))})
        == 3
    )
