"""A given model that is pretrained further on the corpus: it learns, keeps what it is, and a teacher begins as it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AlbertConfig,
    AlbertForMaskedLM,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForMaskedLM,
    BertModel,
    ErnieConfig,
    ErnieForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    RobertaConfig,
    RobertaForMaskedLM,
)

from models.errors import SettingsError
from models.tasks import TeacherSettings
from models.teachers.fine_tuning import fine_tune
from models.teachers.fine_tuning_rows import FineTuningRows
from models.teachers.huggingface import load_masked_model
from models.teachers.pretraining import build_tokenizer, pretrain

CHARS = list("老师好吗同学们上课作业")
SIZES = {
    "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32,
    "max_position_embeddings": 40, "vocab_size": 16, "pad_token_id": 0,
}  # fmt: skip
SETTINGS = TeacherSettings(max_tokens=24, pretrain_steps=3, layers=7, hidden=99, heads=5)


def corpus(count: int = 160, seed: int = 0) -> list[str]:
    random = np.random.default_rng(seed)
    return ["".join(random.choice(CHARS, random.integers(0, 20))) for _ in range(count)]


def given(folder: Path, kind: Any = BertForMaskedLM, config: Any = BertConfig, **sizes: Any) -> Path:
    """A model of random weights with a tokenizer of characters."""
    torch.manual_seed(5)
    kind(config(**SIZES | sizes)).save_pretrained(folder)
    build_tokenizer(corpus(), 16).save_pretrained(folder)
    return folder


def further(base: Path, folder: Path, texts: list[str] | None = None, **settings: Any) -> Path:
    """The model after a few steps."""
    return pretrain(
        corpus() if texts is None else texts, SETTINGS.model_copy(update=settings), seed=1, folder=folder,
        base=str(base),
    )  # fmt: skip


def weights(folder: Path) -> dict[str, torch.Tensor]:
    model: Any = AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True).base_model
    return dict(model.state_dict())


@pytest.mark.parametrize(
    ("kind", "config", "sizes"),
    [
        (BertForMaskedLM, BertConfig, {}),
        (BertModel, BertConfig, {}),
        (AlbertForMaskedLM, AlbertConfig, {"embedding_size": 8}),
        (RobertaForMaskedLM, RobertaConfig, {}),
        (ErnieForMaskedLM, ErnieConfig, {}),
    ],
)
def test_a_given_model_goes_on_learning_and_a_teacher_begins_as_it(
    kind: Any, config: Any, sizes: dict[str, int], tmp_path: Path
) -> None:
    base = given(tmp_path / "base", kind, config, **sizes)
    made = further(base, tmp_path / "further")
    before, after = weights(base), weights(made)
    assert before.keys() == after.keys()
    assert not torch.equal(*(one["embeddings.word_embeddings.weight"] for one in (before, after)))
    for one in before.keys() - {name for name in before if "pooler" in name}:
        assert before[one].float() == pytest.approx(after[one].float(), abs=0.02), "it goes on, and does not begin anew"
    texts, targets = corpus(8), np.zeros((8, 2), np.float32)
    rows = FineTuningRows(texts, targets, np.ones(targets.shape, bool), ("asks", "got"))
    assert fine_tune(str(made), rows, SETTINGS, seed=1, max_steps=1).teacher.score(texts)[0].shape == (8, 2)
    assert further(base, tmp_path / "further") == made, "the same bits again"


def test_it_guesses_better_than_it_did(tmp_path: Path) -> None:
    losses: list[float] = []
    pretrain(
        ["老师好吗"] * 256, SETTINGS.model_copy(update={"pretrain_steps": 60}), seed=1, folder=tmp_path / "further",
        base=str(given(tmp_path / "base")), progress=lambda *call: losses.append(call[2]),
    )  # fmt: skip
    assert np.mean(losses[-5:]) < np.mean(losses[:3]) - 0.5


def test_the_layers_that_guess_tokens_are_taken_where_the_model_brings_them(tmp_path: Path) -> None:
    base = given(tmp_path / "base")
    _, before = load_masked_model(base)
    _, again = load_masked_model(base)
    assert torch.equal(before.cls.predictions.transform.dense.weight, again.cls.predictions.transform.dense.weight)
    _, after = load_masked_model(further(base, tmp_path / "further"))
    assert not torch.equal(before.cls.predictions.transform.dense.weight, after.cls.predictions.transform.dense.weight)


def test_a_model_that_cannot_guess_hidden_tokens_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no model that guesses hidden tokens"):
        further(given(tmp_path / "gpt", GPT2LMHeadModel, GPT2Config, n_embd=16, n_layer=1, n_head=2), tmp_path / "f")
    tokenizer = build_tokenizer(corpus(), 16)
    tokenizer.mask_token = None
    base = given(tmp_path / "base")
    tokenizer.save_pretrained(base)
    with pytest.raises(SettingsError, match="no mask symbol"):
        further(base, tmp_path / "f")


def test_a_model_of_another_language_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="name a model of the texts' language"):
        further(given(tmp_path / "base"), tmp_path / "f", texts=["plain words", "and more of them"])
