"""Early stopping: the best epoch stays, and no row kept back is learnt from."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa

from models.evaluation.predictions import keep_argmax, probabilities
from models.student_settings import StudentSettings, TextCNNSettings
from models.students.student import predict
from models.text.vocabulary import Vocabulary
from models.training.early_stopping import EarlyStopping, hold_out
from models.training.trainer import TrainedStudent, train_student
from models.training.training_rows import TrainingRows

VOCABULARY = Vocabulary(tuple("abcxyz"))
SETTINGS = TextCNNSettings(
    embedding=8, filters=8, widths=(1, 2), epochs=12, batch=16, learning_rate=2e-2, validation_share=0.25, patience=2
)


def rows(count: int = 300, noise: float = 0.0) -> TrainingRows:
    """Three classes: the text holds x, else y, else neither; some answers are wrong."""
    random = np.random.default_rng(4)
    texts = ["".join(random.choice(list("abcxyz"), random.integers(1, 6))) for _ in range(count)]
    classes = np.array([0 if "x" in text else 1 if "y" in text else 2 for text in texts])
    wrong = random.random(count) < noise
    hard = np.eye(3, dtype=np.float32)[np.where(wrong, random.integers(0, 3, count), classes)]
    everywhere = np.ones(hard.shape, np.bool_)
    encoded = VOCABULARY.encode(pa.array(texts), 16)
    return TrainingRows(encoded, hard, everywhere, hard * 6, everywhere, np.ones(count, np.float32))


def train(given: TrainingRows, settings: StudentSettings = SETTINGS, seed: int = 1) -> TrainedStudent:
    return train_student(given, settings, vocabulary_size=8, labels=3, seed=seed, kind="multi_class", distil=False)


def macro_f1(result: TrainedStudent, given: TrainingRows, held: np.ndarray) -> float:
    watch = EarlyStopping(given, held, 1, "multi_class")
    watch.after_epoch(result.student)
    return watch.scores[0]


def test_the_weights_that_stay_are_those_of_the_best_epoch() -> None:
    given = rows(noise=0.4)
    result = train(given)
    _, held = hold_out(len(given), SETTINGS, 1)
    assert macro_f1(result, given, held) == max(result.validation)
    assert len(result.losses) == len(result.validation) < SETTINGS.epochs
    assert len(result.validation) - 1 - int(np.argmax(result.validation)) == SETTINGS.patience


def test_rows_kept_back_are_never_learnt_from() -> None:
    given = rows()
    learnt, held = hold_out(len(given), SETTINGS, 1)
    assert sorted([*learnt, *held]) == list(range(len(given)))
    assert len(held) == 75
    lied = given.hard.copy()
    lied[held] = np.roll(lied[held], 1, axis=1)
    one_epoch = SETTINGS.model_copy(update={"epochs": 1})
    honest, other = train(given, one_epoch), train(dataclasses.replace(given, hard=lied), one_epoch)
    assert honest.losses == other.losses
    assert honest.validation != other.validation


def test_without_a_share_every_epoch_is_run() -> None:
    result = train(rows(), SETTINGS.model_copy(update={"validation_share": 0.0, "epochs": 3}))
    assert result.validation == ()
    assert len(result.losses) == 3


def test_a_student_of_classes_learns_them() -> None:
    given = rows()
    result = train(given)
    shares = keep_argmax(probabilities(predict(result.student, given.texts), "multi_class"), "multi_class")
    assert (shares.argmax(axis=1) == given.hard.argmax(axis=1)).mean() > 0.97
