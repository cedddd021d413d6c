"""Fine-tuning: long enough for small sets, judged by rows kept back, resumable, calibrated, pooled as bases allow."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score
from transformers import (
    AlbertConfig,
    AlbertForMaskedLM,
    AlbertForSequenceClassification,
    BertConfig,
    BertForMaskedLM,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    ElectraConfig,
    ElectraModel,
    ErnieConfig,
    ErnieForMaskedLM,
    PretrainedConfig,
    PreTrainedModel,
    RobertaConfig,
    RobertaForMaskedLM,
    XLNetConfig,
    XLNetModel,
)

from models.errors import SettingsError
from models.evaluation.metrics import average_precision
from models.evaluation.predictions import probabilities
from models.tasks import TaskKind, TeacherSettings
from models.teachers.calibration import Calibration, calibrate, start_of
from models.teachers.fine_tuning import FineTuned, fine_tune
from models.teachers.fine_tuning_rows import FineTuningRows
from models.teachers.fine_tuning_schedule import chosen, goes_on, kept_back, planned_batches, schedules
from models.teachers.joint_teacher import rate_of
from models.teachers.pretraining import build_tokenizer, pretrain
from models.teachers.teacher import Teacher

SETTINGS = TeacherSettings(
    layers=1, hidden=32, max_tokens=24, pretrain_steps=12, epochs=2, min_steps=60, batch=16, learning_rate=3e-3
)
LABELS = ("has_x", "has_y")
SYMBOLS = list("你好吗老师我们今天学习数学")


def corpus(count: int, rare: float = 0.3, seed: int = 0) -> list[str]:
    """Texts, of which about a third has an x, and a share has a y."""
    numbers = np.random.default_rng(seed)
    texts = []
    for _ in range(count):
        chars = list(numbers.choice(SYMBOLS, numbers.integers(3, 20)))
        for symbol, share in (("x", 0.3), ("y", rare)):
            if numbers.random() < share:
                chars[numbers.integers(len(chars))] = symbol
        texts.append("".join(chars))
    return texts


def rows(texts: list[str], kind: TaskKind = "multi_label") -> FineTuningRows:
    targets = np.array([["x" in text, "y" in text] for text in texts], np.float32)
    if kind == "multi_class":
        targets[:, 1] = 1 - targets[:, 0]
    return FineTuningRows(texts, targets, np.ones(targets.shape, bool), LABELS, kind)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pretrain(corpus(300), SETTINGS, seed=1, folder=tmp_path_factory.mktemp("teacher") / "base")


def tuned(
    base: Path, count: int = 600, *, rare: float = 0.3, settings: dict[str, Any] | None = None, **options: Any
) -> FineTuned:
    chosen = SETTINGS.model_copy(update=settings or {})
    return fine_tune(base, rows(corpus(count, rare)), chosen, seed=2, **options)


def schedule_of(epochs: int, min_steps: int, rows: int = 80, *, judged: bool = True) -> tuple[int, ...]:
    return schedules(rows, SETTINGS.model_copy(update={"epochs": epochs, "min_steps": min_steps}), judged=judged)


def test_schedules_grow_until_they_are_as_long_as_was_asked_for() -> None:
    assert schedule_of(2, 0) == (2,)
    assert schedule_of(2, 10) == (2,)  # five batches an epoch
    assert schedule_of(2, 100) == (2, 6, 20)
    assert schedule_of(2, 500) == (2, 6, 18, 54, 100)
    assert schedule_of(2, 100, judged=False) == (20,)  # nobody could choose
    assert schedule_of(6, 100, rows=100_000) == (6,)


@pytest.mark.parametrize(
    ("scores", "stays", "more"),
    [
        ([0.5], 0, True), ([0.5, 0.51], 0, False), ([0.5, 0.53], 1, True), ([0.5, 0.4], 0, False),
        ([0.1, 0.5, 0.515], 1, False), ([0.1, 0.5, 0.6], 2, True),
    ],
)  # fmt: skip
def test_a_longer_schedule_must_gain_clearly(scores: list[float], stays: int, more: bool) -> None:
    assert (chosen(scores), goes_on(scores)) == (stays, more)


def test_an_epoch_has_each_row_once() -> None:
    lengths, learnt = np.full(100, 5), np.arange(20, 100)
    plan = planned_batches(lengths, learnt, 3, 16, 1)
    assert len(plan) == 15
    for epoch in range(3):
        assert sorted(np.concatenate(plan[5 * epoch : 5 * epoch + 5])) == learnt.tolist()


def test_rows_are_kept_back_where_there_are_enough() -> None:
    learnt, held = kept_back(1000, 0.1, 3)
    assert len(held) == 100
    assert sorted([*learnt, *held]) == list(range(1000))
    assert not len(kept_back(400, 0.1, 3)[1])  # forty rows judge nothing
    assert len(kept_back(100_000, 0.1, 3)[1]) == 2000


def test_longer_schedules_are_tried_while_they_gain(base: Path) -> None:
    made = tuned(base, settings={"epochs": 1, "min_steps": 2000, "patience": 2})
    gains = [one.gain for one in made.schedules]
    assert gains[0] is not None
    assert gains[0] < 0.9
    assert made.chosen.gain == pytest.approx(1.0, abs=0.02)
    assert made.held == 60
    last = made.schedules[-1]
    assert last.planned < 2000  # what knows everything gains nothing by more
    assert made.chosen.planned < last.planned  # and the shortest of equals stays
    assert f"; {made.chosen.planned:,} it is" in made.sentence


def test_a_rare_label_is_learnt_from_few_rows(base: Path) -> None:
    """Thirty positives: what two epochs of 34 steps do not teach."""
    made = tuned(base, rare=0.05, settings={"min_steps": 700, "validation_share": 0.0}).teacher
    texts = corpus(400, 0.5, seed=9)
    found = made.score(texts)[0][:, 1] > 0
    assert (found == [("y" in text) for text in texts]).mean() > 0.9


@pytest.mark.parametrize("at", [41, 100])
def test_what_was_killed_goes_on_to_the_same_teacher(base: Path, tmp_path: Path, at: int) -> None:
    """Under way in the first schedule, of 68 steps, and in the second."""
    changed = {"epochs": 2, "min_steps": 200}
    whole = tuned(base, settings=changed)
    seen: list[int] = []

    def dies(done: int, *_: float) -> None:
        seen.append(done)
        if len(seen) == at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tuned(base, progress=dies, checkpoints=tmp_path / "state", settings=changed)
    # The newest checkpoint was cut short: the one before it counts.
    checkpoints = sorted((tmp_path / "state").glob("*/*/checkpoint-*"), key=lambda path: path.stat().st_mtime)
    (checkpoints[-1] / "trainer_state.json").write_text('{"best_')
    again: list[int] = []
    made = tuned(base, progress=lambda done, *_: again.append(done), checkpoints=tmp_path / "state", settings=changed)
    assert 0 < len(again) < sum(one.steps for one in made.schedules)
    assert made.teacher.digest == whole.teacher.digest
    assert made.schedules == whole.schedules
    assert not (tmp_path / "state").exists()


def test_it_leaves_the_global_random_states_alone(base: Path) -> None:
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002 - the generator that libraries seed
    torch.manual_seed(5)
    wanted = random.random(), np.random.random(), torch.rand(1).item()  # noqa: NPY002
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    torch.manual_seed(5)
    tuned(base, max_steps=2)
    assert (random.random(), np.random.random(), torch.rand(1).item()) == wanted  # noqa: NPY002


def test_nothing_is_written_to_the_terminal(base: Path, capfd: pytest.CaptureFixture[str]) -> None:
    tuned(base, max_steps=4)
    out, err = capfd.readouterr()
    assert out == ""
    assert "Trainer" not in err
    assert "eval" not in err


def test_intermediate_checkpoints_come_in_equal_distances(base: Path) -> None:
    kept: list[str] = []
    tuned(base, settings={"checkpoints": 2, "validation_share": 0.0}, keep=lambda one: kept.append(one.digest))
    assert len(set(kept)) == 2


def test_weights_of_positives_are_undone(base: Path) -> None:
    """A label of one row in twenty, its positives weighed four times: the mean probability is its frequency."""
    made = tuned(base, rare=0.05, settings={"validation_share": 0.0, "min_steps": 300}).teacher
    texts = corpus(800, 0.05, seed=11)
    scores = probabilities(made.score(texts)[0], "multi_label")[:, 1]
    assert scores.mean() == pytest.approx(np.mean(["y" in text for text in texts]), abs=0.03)


@given(st.lists(st.tuples(st.integers(-5, 5), st.booleans()), min_size=1, max_size=60))
def test_average_precision_is_scikit_learns(pairs: list[tuple[int, bool]]) -> None:
    scores, gold = np.array([score for score, _ in pairs], float), np.array([holds for _, holds in pairs])
    got = average_precision(scores, gold)
    if not gold.any():
        assert got is None
    else:
        assert got == pytest.approx(average_precision_score(gold, scores))


def _logits(count: int, scale: float, shift: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits that are off by a scale and a shift, and what truly holds."""
    numbers = np.random.default_rng(seed)
    true = numbers.normal(-1, 2, (count, 2))
    holds = numbers.random(true.shape) < 1 / (1 + np.exp(-true))
    return ((true - shift) / scale).astype(np.float32), holds.astype(np.float32)


def test_calibration_finds_scale_and_shift() -> None:
    logits, targets = _logits(4000, 0.5, 1.5)
    found = calibrate(logits, targets, np.ones(targets.shape, bool), "multi_label", start_of(np.ones(2, np.float32)))
    assert found.scale == pytest.approx([0.5, 0.5], rel=0.1)
    assert found.shift == pytest.approx([1.5, 1.5], abs=0.15)


def test_calibration_leaves_alone_what_few_rows_cannot_tell() -> None:
    logits, targets = _logits(4000, 1.0, 0.0)
    start = start_of(np.ones(2, np.float32))
    few = calibrate(logits[:8], targets[:8], np.ones((8, 2), bool), "multi_label", start)
    assert few.scale == pytest.approx([1, 1], abs=0.35)
    unknown = calibrate(logits[:8], targets[:8], np.zeros((8, 2), bool), "multi_label", start)
    assert unknown.scale.tolist() == [1, 1]
    assert unknown.shift.tolist() == [0, 0]


def test_calibration_of_classes_keeps_the_likeliest() -> None:
    numbers = np.random.default_rng(1)
    logits = numbers.normal(0, 6, (800, 2)).astype(np.float32)
    targets = np.eye(2, dtype=np.float32)[(numbers.random(800) < 0.3).astype(int) ^ logits.argmax(1)]
    found = calibrate(logits, targets, np.ones(targets.shape, bool), "multi_class", start_of(np.ones(2, np.float32)))
    assert found.scale[0] == found.scale[1] < 0.5
    assert (found.apply(logits).argmax(1) == logits.argmax(1)).all()


def test_the_last_layer_gives_calibrated_logits_by_itself(base: Path) -> None:
    made = tuned(base, max_steps=3).teacher
    before = made.score(corpus(20))[0]
    calibration = Calibration(np.array([2, 0.5], np.float32), np.array([-1, 3], np.float32))
    calibration.into(made.model)
    assert made.score(corpus(20))[0] == pytest.approx(calibration.apply(before), abs=1e-5)


def test_the_rate_goes_by_the_width() -> None:
    assert [rate_of(width) for width in (128, 256, 384, 768)] == [5e-4, 2e-4, 1e-4, 4e-5]


SMALL: dict[str, Any] = {
    "vocab_size": 40, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "max_position_embeddings": 40, "pad_token_id": 0,
}  # fmt: skip
DISTIL = DistilBertConfig(
    vocab_size=40, dim=16, n_layers=2, n_heads=2, hidden_dim=32, max_position_embeddings=40, pad_token_id=0
)
BASES: dict[str, tuple[PretrainedConfig, type[PreTrainedModel], str]] = {
    "bert, masked alone": (BertConfig(**SMALL), BertForMaskedLM, "mean"),
    "bert with its pooler": (BertConfig(**SMALL), BertModel, "cls"),
    "albert, masked alone": (AlbertConfig(**SMALL, embedding_size=8), AlbertForMaskedLM, "mean"),
    "albert that classified": (AlbertConfig(**SMALL, embedding_size=8), AlbertForSequenceClassification, "cls"),
    "roberta": (RobertaConfig(**SMALL), RobertaForMaskedLM, "mean"),
    "ernie": (ErnieConfig(**SMALL), ErnieForMaskedLM, "mean"),
    "electra": (ElectraConfig(**SMALL, embedding_size=8), ElectraModel, "mean"),
    "distilbert": (DISTIL, DistilBertModel, "mean"),
}  # fmt: skip


@pytest.mark.parametrize("name", BASES)
def test_any_base_pools_by_what_it_brings(name: str, tmp_path: Path) -> None:
    config, kind, pooling = BASES[name]
    torch.manual_seed(1)
    kind(config).save_pretrained(tmp_path / "base")
    build_tokenizer(corpus(300), 40).save_pretrained(tmp_path / "base")
    made = tuned(tmp_path / "base", 80, max_steps=2)
    assert made.teacher.model.config.pingti_pooling == pooling
    opened = Teacher.open(made.teacher.save(tmp_path / "teacher"))
    wanted = made.teacher.score(corpus(30))
    for got, one in zip(opened.score(corpus(30)), wanted, strict=True):
        assert np.array_equal(got, one)
    # Padding changes nothing, whichever way it pools.
    alone = opened.score(corpus(30), tokens=1)
    assert alone[0] == pytest.approx(wanted[0], abs=1e-5)
    assert alone[1] == pytest.approx(wanted[1], abs=1e-5)


def test_a_class_that_cannot_read_a_mean_says_so(tmp_path: Path) -> None:
    config = XLNetConfig(vocab_size=40, d_model=16, n_layer=1, n_head=2, d_inner=32)
    XLNetModel(config).save_pretrained(tmp_path / "base")
    build_tokenizer(corpus(300), 40).save_pretrained(tmp_path / "base")
    with pytest.raises(SettingsError, match=r"teacher.pooling: mean: .* XLNet"):
        tuned(tmp_path / "base", 80, max_steps=1, settings={"pooling": "mean"})
