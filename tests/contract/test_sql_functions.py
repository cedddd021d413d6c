"""`student_probs`: raw text in, what the table would hold out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from models.errors import BundleError, DataError
from models.serving.bundle import open_bundle
from models.serving.open_engine import open_engine
from models.text.rules import Cleaner, CleaningSettings
from tests.contract.support import export, make_student
from udfs.model_files import ModelFiles
from udfs.sql_functions import student_probs
from udfs.student_scoring import Served

CLEANING = CleaningSettings()


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("students")
    return {name: export(make_student(), folder / name, task=name) for name in ("praise", "mood")}


@pytest.fixture(scope="module")
def students(bundles: dict[str, Path]) -> dict[str, Served]:
    return {name: Served(open_bundle(path).manifest.model_id, ModelFiles(str(path))) for name, path in bundles.items()}


def test_each_row_gets_its_own_tasks_answer_to_its_clean_text(
    students: dict[str, Served], bundles: dict[str, Path]
) -> None:
    raw = ["ＡＢＣ老师好", "好好好好好好好好", "", "\u200b a", "é😀", "老师"]
    tasks = ["praise", "mood", "praise", "mood", "mood", "praise"]
    found = student_probs(students, CLEANING)(pa.array(tasks), pa.array(raw)).to_pylist()
    cleaner = Cleaner(CLEANING)
    for task, text, got in zip(tasks, raw, found, strict=True):
        wanted = open_engine(bundles[task]).probabilities(pa.array([cleaner.clean(text)]))[0]
        assert np.array(got, np.float32) == pytest.approx(wanted, abs=1e-7)


def test_a_null_task_or_text_gives_null(students: dict[str, Served]) -> None:
    tasks, texts = pa.array([None, "mood", "mood"], pa.string()), pa.array(["a", None, "a"], pa.string())
    found = student_probs(students, CLEANING)(tasks, texts)
    assert found.is_null().to_pylist() == [True, True, False]
    assert student_probs(students, CLEANING)(tasks[:0], texts[:0]).to_pylist() == []


def test_a_task_without_a_student_is_told_with_those_that_have_one(students: dict[str, Served]) -> None:
    with pytest.raises(DataError, match=r"no student in force for task 'weather'; there is one for: mood, praise"):
        student_probs(students, CLEANING)(pa.array(["weather"]), pa.array(["a"]))


def test_a_bundle_of_another_student_is_refused(students: dict[str, Served]) -> None:
    swapped = {"mood": Served("mood/textcnn/other", students["mood"].files)}
    with pytest.raises(BundleError, match="the table models says mood/textcnn/other"):
        student_probs(swapped, CLEANING)(pa.array(["mood"]), pa.array(["a"]))
