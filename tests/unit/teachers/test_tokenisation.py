"""Token ids in bulk are those that the tokenizer's own call gives, for whatever it is given."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import BertTokenizer, PreTrainedTokenizerFast

from models.teachers.pretraining import SPECIALS, build_tokenizer
from models.teachers.tokenisation import tokenise

TEXTS = st.lists(st.text(st.sampled_from("老师好 abAB[SEP]éＡ\U0001f600"), max_size=30), max_size=8)


class Own(PreTrainedTokenizerFast):
    """A tokenizer with an encoding of its own, as some models bring."""

    def _encode_plus(self, text: Any, *args: Any, **options: Any) -> Any:
        return super()._encode_plus([one.replace("b", "a") for one in text], *args, **options)


def tokenizers() -> dict[str, Any]:
    built = build_tokenizer(["老师好", "abab"], 40)
    vocabulary = {token: at for at, token in enumerate([*SPECIALS, "老", "师", "a", "b", "##b", "##a"])}
    return {"ours": built, "bert's": BertTokenizer(vocab=vocabulary), "its own": Own(tokenizer_object=built._tokenizer)}


@pytest.fixture(scope="module", params=["ours", "bert's", "its own"])
def tokenizer(request: pytest.FixtureRequest) -> Any:
    return tokenizers()[request.param]


@given(TEXTS, st.booleans(), st.integers(5, 40))
def test_ids_in_bulk_are_those_of_the_call(tokenizer: Any, texts: list[str], pairs: bool, longest: int) -> None:
    second = texts[::-1] if pairs else None
    found = tokenise(tokenizer, texts, longest, second).encoded
    for row, text in enumerate(texts):
        given_ = [text], None if second is None else [second[row]]
        wanted = tokenizer(*given_, truncation=True, max_length=longest)["input_ids"][0]
        assert found.ids[found.offsets[row] : found.offsets[row + 1]].tolist() == wanted
    assert len(found) == len(texts)


def test_a_setting_of_an_earlier_call_does_not_stay() -> None:
    own = tokenizers()["ours"]
    own(["老师好"], padding="max_length", truncation=True, max_length=20)
    assert tokenise(own, ["老师", "好"], 30).encoded.lengths.tolist() == [4, 3]
