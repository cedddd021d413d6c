"""Rows in memory and rows mapped from files are the same to the trainer."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from models.errors import DataError
from models.evaluation.predictions import probabilities
from models.student_settings import TextCNNSettings
from models.students.architectures import build_student
from models.tasks import TaskKind
from models.text.vocabulary import Encoded
from models.training.trainer import start_at_base_rates
from models.training.training_rows import RowsWriter, TrainingRows, mean_and_deviation
from tests.unit.training.test_schemes import rows, train, weights


def cut(given: TrainingRows, first: int, last: int) -> TrainingRows:
    own = np.arange(first, last)
    arrays = {f.name: getattr(given, f.name) for f in dataclasses.fields(given) if f.name != "texts"}
    return TrainingRows(
        texts=given.texts.take(own), **{name: each[own] for name, each in arrays.items() if each is not None}
    )


def mapped(given: TrainingRows, folder: Path, *ends: int) -> TrainingRows:
    with RowsWriter(folder) as writer:
        for first, last in zip((0, *ends), (*ends, len(given)), strict=True):
            writer.add(cut(given, first, last))
        return writer.finished()


@pytest.mark.parametrize("ends", [(), (1,), (70, 150)])
def test_blocks_written_are_the_rows_that_were_given(ends: tuple[int, ...], tmp_path: Path) -> None:
    given = rows(200)
    found = mapped(given, tmp_path, *ends)
    assert found.digest == given.digest
    assert isinstance(found.soft, np.memmap)
    assert isinstance(found.texts.ids, np.memmap)
    assert found.soft.filename == tmp_path / "soft"


def test_training_from_files_gives_the_same_weights(tmp_path: Path) -> None:
    given = rows(200)
    settings = {"epochs": 2, "hint_weight": 0.1, "validation_share": 0.2}
    one, other = train(given, **settings), train(mapped(given, tmp_path, 90), **settings)
    assert weights(one.student) == weights(other.student)


def test_blocks_of_other_shapes_are_refused(tmp_path: Path) -> None:
    given = rows(20)
    with RowsWriter(tmp_path) as writer:
        writer.add(given)
        with pytest.raises(DataError, match="states has rows of"):
            writer.add(dataclasses.replace(given, cls_states=np.zeros((20, 2), np.float32)))


def test_empty_texts_can_be_mapped(tmp_path: Path) -> None:
    given = dataclasses.replace(
        rows(3), texts=Encoded(np.zeros(0, np.int32), np.zeros(4, np.int64)), cls_states=None, curriculum=None
    )
    with RowsWriter(tmp_path) as writer:
        writer.add(given)
        assert writer.finished().texts.lengths.tolist() == [0, 0, 0]


def test_mean_and_deviation_of_states_are_those_of_the_rows_that_have_some() -> None:
    states = np.random.default_rng(1).normal(5, 3, (100, 4)).astype(np.float32)
    wanted = states[np.arange(100) % 3 != 0]
    states[::3] = np.nan
    mean, deviation = mean_and_deviation(states)
    assert mean == pytest.approx(wanted.mean(0), rel=1e-5)
    assert deviation == pytest.approx(wanted.std(0), rel=1e-5)
    assert mean_and_deviation(np.full((3, 2), np.nan, np.float32))[1].min() > 0  # nothing is divided by 0


def test_base_rates_count_answers_first_and_the_teacher_where_there_is_none() -> None:
    given = rows(100)
    mask = given.hard_mask.copy()
    mask[50:] = False
    own = dataclasses.replace(given, hard_mask=mask)
    every = np.arange(100)
    answered = given.hard[:50].sum(0)
    assert own.base_rates(every, "multi_label", soft=False) == pytest.approx((answered + 1) / 52)
    said = probabilities(given.soft[50:], "multi_label").sum(0)
    assert own.base_rates(every, "multi_label", soft=True) == pytest.approx((answered + said + 1) / 102)
    said = probabilities(given.soft[50:], "multi_class").sum(0)
    assert own.base_rates(every, "multi_class", soft=True) == pytest.approx((answered + said + 1) / 102)


def test_an_untrained_student_answers_with_the_base_rates() -> None:
    rates = np.array([0.9, 0.05, 0.05])
    student = build_student(TextCNNSettings(), 50, 3, "multi_class")
    kinds: tuple[TaskKind, ...] = ("multi_label", "multi_class")
    for kind in kinds:
        start_at_base_rates(student, rates, kind)
        bias = student.head.bias.detach().numpy()[None, :]
        assert probabilities(bias, kind)[0] == pytest.approx(rates, abs=1e-6)


@pytest.mark.parametrize("name", ["cls_states", "curriculum"])
def test_extra_arrays_that_do_not_fit_are_refused(name: str) -> None:
    given = rows(20)
    with pytest.raises(DataError, match=name):
        dataclasses.replace(given, **{name: getattr(given, name)[:5]}).check(2)
