"""A teacher from nothing: pretrained, fine-tuned, saved, opened, bit-equal."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, BertConfig, BertForSequenceClassification

from models.errors import BundleError, DataError, SettingsError
from models.tasks import TeacherSettings
from models.teachers.fine_tuning import fine_tune
from models.teachers.fine_tuning_rows import FineTuningRows
from models.teachers.masking import MaskSymbols, mask_tokens
from models.teachers.pretraining import SPECIALS, build_tokenizer, pretrain
from models.teachers.projection import project
from models.teachers.teacher import Teacher

SETTINGS = TeacherSettings(
    layers=1,
    hidden=32,
    max_tokens=24,
    pretrain_steps=12,
    epochs=20,
    min_steps=0,
    batch=16,
    learning_rate=3e-3,
)
LABELS = ("has_x", "has_y")
SYMBOLS = MaskSymbols(SPECIALS.index("[MASK]"), np.arange(len(SPECIALS), 1000))


def corpus(count: int = 240, seed: int = 0) -> list[str]:
    random = np.random.default_rng(seed)
    return ["".join(random.choice(list("你好吗老师xy"), random.integers(0, 30))) for _ in range(count)]


def truth(texts: list[str]) -> np.ndarray:
    return np.array([["x" in text[:22], "y" in text[:22]] for text in texts], np.float32)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pretrain(corpus(), SETTINGS, seed=1, folder=tmp_path_factory.mktemp("teacher") / "base")


@pytest.fixture(scope="module")
def teacher(base: Path) -> Teacher:
    return tuned(base)


def tuned(base: Path, seed: int = 2, **options: Any) -> Teacher:
    texts = corpus(600)
    mask = np.ones((len(texts), 2), bool)
    return fine_tune(base, FineTuningRows(texts, truth(texts), mask, LABELS), SETTINGS, seed=seed, **options).teacher


def test_the_tokenizer_makes_one_token_of_each_character() -> None:
    tokenizer = build_tokenizer(["好好 aA", "吗\n好"], 8)
    assert tokenizer.convert_ids_to_tokens(range(5)) == list(SPECIALS)
    assert len(tokenizer) == 8
    ids = tokenizer("A 好\u3000😀吗")["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == ["[CLS]", "a", "好", "[UNK]", "吗", "[SEP]"]
    assert len(build_tokenizer(["好a"], 6)) == 6
    assert tokenizer("好", "a")["token_type_ids"] == [0, 0, 0, 1, 1]


def test_masking_follows_its_shares() -> None:
    random = np.random.default_rng(0)
    ids = random.integers(5, 1000, (400, 50))
    candidates = np.ones_like(ids, bool)
    candidates[:, 40:] = False
    shown, hidden = mask_tokens(ids, candidates, SYMBOLS, random, 0.15)
    assert not hidden[:, 40:].any()
    assert hidden[:, :40].mean() == pytest.approx(0.15, abs=0.01)
    assert (shown[~hidden] == ids[~hidden]).all()
    assert (shown[hidden] == SPECIALS.index("[MASK]")).mean() == pytest.approx(0.8, abs=0.03)
    assert (shown[hidden] == ids[hidden]).mean() == pytest.approx(0.1, abs=0.03)
    assert shown.min() >= SPECIALS.index("[MASK]")


def test_masking_hides_at_least_one_candidate() -> None:
    one = np.array([[7]])
    for seed in range(20):
        assert mask_tokens(one, one > 0, SYMBOLS, np.random.default_rng(seed), 0.15)[1].all()
    assert not mask_tokens(one, one < 0, SYMBOLS, np.random.default_rng(0), 0.15)[1].any()


def test_pretraining_gives_an_ordinary_folder_and_learns(base: Path, tmp_path: Path) -> None:
    losses: list[float] = []
    settings = SETTINGS.model_copy(update={"pretrain_steps": 80})
    pretrain(corpus(), settings, seed=1, folder=tmp_path / "b", progress=lambda *call: losses.append(call[2]))
    assert np.mean(losses[-10:]) < np.mean(losses[:3]) - 0.1
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= {path.name for path in base.iterdir()}
    tokenizer = AutoTokenizer.from_pretrained(base, local_files_only=True)
    model = AutoModelForSequenceClassification.from_pretrained(base, local_files_only=True)
    assert model(**tokenizer("你好", return_tensors="pt")).logits.shape == (1, 2)


def test_pretraining_repeats_itself(base: Path) -> None:
    assert pretrain(corpus(), SETTINGS, seed=1, folder=base) == base
    with pytest.raises(BundleError, match=r"differs in model.safetensors"):
        pretrain(corpus(), SETTINGS, seed=2, folder=base)


def test_pretraining_takes_its_steps_however_long_they_last(base: Path, tmp_path: Path) -> None:
    seen: list[int] = []

    def slow(step: int, *_: float) -> None:
        seen.append(step)
        if step % 10 == 0:
            time.sleep(0.02)

    again = pretrain(corpus(), SETTINGS, seed=1, folder=tmp_path / "b", progress=slow)
    assert seen == list(range(1, SETTINGS.pretrain_steps + 1))
    assert (again / "model.safetensors").read_bytes() == (base / "model.safetensors").read_bytes()


def test_pretraining_refuses_what_cannot_work(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no texts"):
        pretrain([], SETTINGS, seed=1, folder=tmp_path / "b")
    with pytest.raises(SettingsError, match="multiple of heads"):
        pretrain(["好"], SETTINGS.model_copy(update={"heads": 3}), seed=1, folder=tmp_path / "b")


def test_the_teacher_learns(teacher: Teacher) -> None:
    texts = corpus(200, seed=7)
    logits, states = teacher.score(texts)
    assert ((logits > 0) == (truth(texts) > 0)).mean() > 0.9
    assert logits.shape == (200, 2)
    assert states.shape == (200, 32)
    assert logits.dtype == states.dtype == np.float32


def test_save_and_open_score_bit_equal(teacher: Teacher, tmp_path: Path) -> None:
    texts = [*corpus(100, seed=8), "", "好" * 400]
    opened = Teacher.open(teacher.save(tmp_path / "teacher"))
    assert opened.labels == LABELS
    assert opened.digest == teacher.digest
    for got, wanted in zip(opened.score(texts, tokens=96), teacher.score(texts, tokens=96), strict=True):
        assert np.array_equal(got, wanted)
    assert teacher.save(tmp_path / "teacher") == tmp_path / "teacher"


def test_scores_do_not_depend_on_what_shares_a_batch_beyond_rounding(teacher: Teacher) -> None:
    texts = corpus(48, seed=8)
    whole = teacher.score(texts)
    for tokens in (1, 24, 100):
        for got, wanted in zip(teacher.score(texts, tokens=tokens), whole, strict=True):
            assert got == pytest.approx(wanted, abs=1e-5)
    backwards = teacher.score(texts[::-1])
    assert backwards[0][::-1] == pytest.approx(whole[0], abs=1e-5)
    assert teacher.score([])[0].shape == (0, 2)


def test_a_text_without_a_finite_score_is_an_error_that_tells_how_many(base: Path) -> None:
    broken = tuned(base, 3, max_steps=1)
    with torch.no_grad():
        broken.model.base_model.embeddings.word_embeddings.weight[broken.tokenizer.convert_tokens_to_ids("x")] = np.nan
    with pytest.raises(DataError, match=r"2 of 3 texts cannot be scored by their teacher \(not_finite\)"):
        broken.score(["你x", "你好", "x"])


def test_states_are_the_mean_of_the_tokens(teacher: Teacher) -> None:
    batch = teacher.tokenizer(["你好x"], return_tensors="pt")
    with torch.inference_mode():
        states = teacher.model.base_model(**batch).last_hidden_state[0].mean(0)
        logits = teacher.model.classifier(states)
    got_logits, got_states = teacher.score(["你好x", "你好xx你好你好"])  # beside a longer one, which pads it
    assert got_states[0] == pytest.approx(states.cpu().numpy(), abs=1e-5)
    assert got_logits[0] == pytest.approx(logits.cpu().numpy(), abs=1e-5)


def test_the_same_seed_gives_the_same_teacher(base: Path) -> None:
    first, again, other = (tuned(base, seed, max_steps=3).digest for seed in (2, 2, 3))
    assert first == again
    assert first != other


def test_masked_answers_are_not_read(base: Path) -> None:
    texts = corpus()
    mask = np.ones((len(texts), 2), bool)
    mask[::2, 1] = False
    digests = {
        fine_tune(
            base, FineTuningRows(texts, np.where(mask, truth(texts), filler).astype(np.float32), mask, LABELS),
            SETTINGS, seed=1, max_steps=3,
        ).teacher.digest
        for filler in (0.0, 1.0, np.nan)
    }  # fmt: skip
    assert len(digests) == 1


def test_a_folder_made_elsewhere_can_be_the_base(tmp_path: Path) -> None:
    """Another head, another padding id, fewer positions than the settings ask for."""
    tokenizer = build_tokenizer(corpus(), 50)
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=12, num_labels=5,
    )  # fmt: skip
    BertForSequenceClassification(config).save_pretrained(tmp_path / "hf")
    tokenizer.save_pretrained(tmp_path / "hf")
    made = tuned(tmp_path / "hf", max_steps=2)
    assert made.labels == LABELS
    assert made.max_tokens == 12
    assert made.score(["好" * 50])[0].shape == (1, 2)
    saved = json.loads((made.save(tmp_path / "ours") / "config.json").read_text())
    assert saved["problem_type"] == "multi_label_classification"
    assert saved["id2label"] == {"0": "has_x", "1": "has_y"}


def test_a_base_without_safetensors_is_refused(base: Path, tmp_path: Path) -> None:
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf" / "config.json").write_text((base / "config.json").read_text())
    (tmp_path / "hf" / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(SettingsError, match="safetensors"):
        tuned(tmp_path / "hf")
    with pytest.raises(BundleError, match="safetensors"):
        Teacher.open(tmp_path / "hf")


def test_a_base_that_is_no_teacher_does_not_open_as_one(base: Path) -> None:
    with pytest.raises(BundleError, match="pingti_max_tokens"):
        Teacher.open(base)
    with pytest.raises(BundleError, match="no such folder"):
        Teacher.open(base / "nowhere")


def test_arrays_that_do_not_fit_are_refused(base: Path) -> None:
    with pytest.raises(DataError, match="fine-tuning"):
        fine_tune(
            base, FineTuningRows(["好"], np.zeros((2, 2), np.float32), np.ones((2, 2), bool), LABELS), SETTINGS, seed=1
        )
    with pytest.raises(DataError, match="fine-tuning"):
        fine_tune(
            base, FineTuningRows([], np.zeros((0, 2), np.float32), np.ones((0, 2), bool), LABELS), SETTINGS, seed=1
        )


def test_the_projection_keeps_distances_and_rows() -> None:
    random = np.random.default_rng(0)
    states = random.standard_normal((40, 256)).astype(np.float32)
    short = project(states, 128, seed=3)
    assert short.shape == (40, 128)
    assert short.dtype == np.float32
    assert np.array_equal(short, project(states, 128, seed=3))
    assert not np.array_equal(short, project(states, 128, seed=4))
    assert project(states[5:6], 128, seed=3) == pytest.approx(short[5:6], rel=1e-6)
    before = np.linalg.norm(states[:, None] - states[None], axis=2)
    after = np.linalg.norm(short[:, None] - short[None], axis=2)
    apart = ~np.eye(40, dtype=bool)
    assert np.abs(after[apart] / before[apart] - 1).max() < 0.35
