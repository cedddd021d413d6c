"""The trainer solves what it must solve, and repeats itself."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from models.errors import DataError
from models.student_settings import StudentSettings, TextCNNSettings, with_kind
from models.students.student import predict
from models.text.vocabulary import Encoded, Vocabulary
from models.training.batching import length_batches, ramp
from models.training.trainer import TrainedStudent, train_student
from models.training.training_rows import TrainingRows

SETTINGS = TextCNNSettings(embedding=16, filters=16, widths=(1, 2), epochs=8, batch=32, learning_rate=1e-2)
VOCABULARY = Vocabulary(tuple("abcdefghxy"))


def rows(count: int = 600, seed: int = 0) -> TrainingRows:
    """Label 0: the text holds x. Label 1: it holds ab. Half the rows have only the teacher's logits."""
    random = np.random.default_rng(seed)
    texts = ["".join(random.choice(list("abcdefghxy"), random.integers(0, 15))) for _ in range(count)]
    truth = np.array([["x" in text, "ab" in text] for text in texts])
    known = np.repeat((np.arange(count) % 2 == 0)[:, None], 2, 1)
    return TrainingRows(
        texts=VOCABULARY.encode(pa.array(texts, pa.string()), 64),
        hard=np.where(known, truth, np.nan).astype(np.float32),
        hard_mask=known,
        soft=np.where(truth, 4.0, -4.0).astype(np.float32),
        soft_mask=np.ones_like(known),
        weight=np.ones(count, np.float32),
    )


def train(given: TrainingRows, seed: int = 1, settings: StudentSettings = SETTINGS, **options: Any) -> TrainedStudent:
    return train_student(given, settings, vocabulary_size=len(VOCABULARY), labels=2, seed=seed, threads=1, **options)


def weights(result: TrainedStudent) -> bytes:
    return b"".join(tensor.numpy().tobytes() for tensor in result.student.state_dict().values())


@pytest.mark.parametrize("distil", [True, False])
def test_it_learns_characters_and_pairs(distil: bool) -> None:
    result = train(rows(), distil=distil)
    unseen = rows(300, seed=9)
    decided = predict(result.student, unseen.texts) > 0
    assert (decided == (unseen.soft > 0)).mean(0).min() > 0.95
    assert result.losses[-1] < result.losses[0] / 2
    assert len(result.losses) == 8


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    settings = SETTINGS.model_copy(update={"epochs": 2})
    first, again, other = (train(rows(), seed, settings) for seed in (1, 1, 2))
    assert weights(first) == weights(again)
    assert first.losses == again.losses
    assert weights(first) != weights(other)


def test_torch_is_left_as_it_was_found() -> None:
    torch.manual_seed(5)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    train(rows(64), max_steps=2)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_without_distillation_the_teacher_is_not_read() -> None:
    given = rows(128)
    silent = dataclasses.replace(given, soft=np.full_like(given.soft, np.nan))
    assert weights(train(given, distil=False, max_steps=4)) == weights(train(silent, distil=False, max_steps=4))


def test_rows_of_weight_zero_and_masked_answers_do_not_matter() -> None:
    given = rows(128)
    weight = np.where(np.arange(128) < 100, 1, 0).astype(np.float32)
    flipped = given.soft.copy()
    flipped[100:] *= -1
    a = train(dataclasses.replace(given, weight=weight), max_steps=4)
    b = train(dataclasses.replace(given, weight=weight, soft=flipped), max_steps=4)
    assert weights(a) == weights(b)


def test_max_steps_and_progress() -> None:
    seen: list[tuple[int, int, float]] = []
    result = train(rows(100), max_steps=5, progress=lambda *call: seen.append(call))
    # Three whole batches and one of four rows an epoch, in any order; the fifth batch opens the second epoch.
    assert len(seen) == 5
    assert seen[3][0] == 100
    assert {total for _, total, _ in seen} == {5 * 32}  # the most that five batches may hold
    assert len(result.losses) == 2
    assert np.mean([loss for _, _, loss in seen[:4]]) == pytest.approx(result.losses[0])


def test_a_rare_label_starts_at_its_frequency() -> None:
    given = rows(400)
    rare = np.zeros_like(given.soft)
    rare[:4, 1] = 1
    given = dataclasses.replace(given, hard=rare, hard_mask=np.ones_like(given.hard_mask))
    settings = SETTINGS.model_copy(update={"learning_rate": 1e-9})
    bias = train(given, settings=settings, max_steps=1, distil=False).student.head.bias
    assert torch.sigmoid(bias).tolist() == pytest.approx([1 / 402, 5 / 402], rel=1e-4)


def test_prediction_does_not_depend_on_the_batch() -> None:
    result, given = train(rows(64), max_steps=3), rows(64)
    assert predict(result.student, given.texts, batch=1) == pytest.approx(
        predict(result.student, given.texts, batch=50), abs=1e-5
    )


@pytest.mark.parametrize("name", ["hard", "hard_mask", "soft", "soft_mask", "weight"])
def test_arrays_that_do_not_fit_are_refused(name: str) -> None:
    given = rows(32)
    with pytest.raises(DataError, match=f"{name} has shape"):
        train(dataclasses.replace(given, **{name: getattr(given, name)[:-1]}))


def test_no_rows_are_refused() -> None:
    with pytest.raises(DataError, match="got none"):
        train(
            TrainingRows(
                texts=VOCABULARY.encode(pa.array([], pa.string()), 64),
                hard=np.zeros((0, 2), np.float32),
                hard_mask=np.zeros((0, 2), bool),
                soft=np.zeros((0, 2), np.float32),
                soft_mask=np.zeros((0, 2), bool),
                weight=np.zeros(0, np.float32),
            )
        )


def test_a_loss_that_is_not_finite_is_refused() -> None:
    given = rows(64)
    with pytest.raises(DataError, match="became nan"):
        train(dataclasses.replace(given, soft=np.full_like(given.soft, np.nan)))


def test_batches_hold_every_row_once_and_rows_of_like_length() -> None:
    lengths = np.random.default_rng(0).integers(0, 100, 5000)
    batches = length_batches(lengths, 32, np.random.default_rng(1))
    assert np.array_equal(np.sort(np.concatenate(batches)), np.arange(5000))
    padded = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert padded < 1.05 * lengths.sum()
    again = length_batches(lengths, 32, np.random.default_rng(1))
    assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))
    assert not np.array_equal(batches[0], length_batches(lengths, 32, np.random.default_rng(2))[0])


def test_mixed_batches_hold_every_row_once_and_rows_of_any_length() -> None:
    lengths = np.random.default_rng(0).integers(0, 100, 5000)
    batches = length_batches(lengths, 32, np.random.default_rng(1), chunk=1)
    assert np.array_equal(np.sort(np.concatenate(batches)), np.arange(5000))
    assert all(lengths[batch].std() > 15 for batch in batches)  # of uniform ones it is 29


@pytest.mark.parametrize(("kind", "alike"), [("textcnn", True), ("bow", False)])
def test_only_students_that_pay_for_padding_read_batches_of_like_length(
    kind: str, alike: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[list[int]] = []
    padded = Encoded.padded

    def watched(texts: Encoded, rows: Any, *, at_least: int) -> Any:
        read.append(texts.lengths[rows].tolist())
        return padded(texts, rows, at_least=at_least)

    monkeypatch.setattr(Encoded, "padded", watched)
    train(rows(), settings=with_kind(SETTINGS, kind, epochs=1))
    assert (np.mean([np.ptp(lengths) for lengths in read]) < 3) == alike


def test_the_learning_rate_rises_then_falls() -> None:
    assert [ramp(x) for x in (0, 0.05, 0.1, 0.55, 1)] == pytest.approx([0, 0.5, 1, 0.5, 0])


def test_each_epoch_is_told_with_its_loss_and_the_quality_on_the_rows_kept_back() -> None:
    told: list[tuple[int, float, float | None]] = []
    settings = SETTINGS.model_copy(update={"epochs": 3, "validation_share": 0.2})
    result = train(rows(200), settings=settings, after_epoch=lambda *call: told.append(call))
    assert [number for number, _, _ in told] == [1, 2, 3]
    assert tuple(loss for _, loss, _ in told) == result.losses
    assert tuple(f1 for _, _, f1 in told) == result.validation
