"""A model that learns to tell replaced tokens: it learns, repeats itself, and a teacher begins as it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from models.tasks import TeacherSettings
from models.teachers.fine_tuning import fine_tune
from models.teachers.fine_tuning_rows import FineTuningRows
from models.teachers.masked_training import MaskedBatch
from models.teachers.pretraining import pretrain
from models.teachers.replaced_tokens import ReplacedTokenDetection, filled_in, small_electra

SETTINGS = TeacherSettings(
    layers=1, hidden=16, max_tokens=16, pretrain_steps=4, pretrain_objective="rtd", min_steps=0, epochs=1
)
TEXTS = ["老师好", "同学们今天上课", "听不清", "下课谢谢老师再见"] * 40


def test_it_learns_and_a_teacher_begins_as_it(tmp_path: Path) -> None:
    losses: list[float] = []
    made = pretrain(
        TEXTS, SETTINGS.model_copy(update={"pretrain_steps": 60}), seed=1, folder=tmp_path / "base",
        progress=lambda *call: losses.append(call[2]),
    )  # fmt: skip
    assert np.mean(losses[-5:]) < np.mean(losses[:3]) - 3
    targets = np.zeros((8, 2), np.float32)
    rows = FineTuningRows(TEXTS[:8], targets, np.ones(targets.shape, bool), ("asks", "got"))
    teacher = fine_tune(str(made), rows, SETTINGS, seed=1, max_steps=1).teacher
    assert teacher.score(TEXTS[:8])[0].shape == (8, 2)
    assert teacher.model.config.model_type == "electra"


def test_a_stopped_one_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    class StoppedError(Exception):
        pass

    def stops(step: int, *_: float) -> None:
        if step == 3:
            raise StoppedError

    whole = pretrain(TEXTS, SETTINGS, seed=1, folder=tmp_path / "whole")
    with pytest.raises(StoppedError):
        pretrain(TEXTS, SETTINGS, seed=1, folder=tmp_path / "b", progress=stops, checkpoints=tmp_path / "state")
    torch.manual_seed(99)
    seen: list[int] = []
    made = pretrain(
        TEXTS, SETTINGS, seed=1, folder=tmp_path / "b", progress=lambda step, *_: seen.append(step),
        checkpoints=tmp_path / "state",
    )  # fmt: skip
    assert seen == [4]
    assert (made / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_both_models_share_their_embeddings() -> None:
    model = small_electra(30, SETTINGS)
    objective = ReplacedTokenDetection(model, SETTINGS)
    generator = objective.generator.model
    assert generator.get_input_embeddings().weight is model.get_input_embeddings().weight
    assert generator.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert generator.config.hidden_size < model.config.hidden_size
    assert sum(one.data_ptr() == model.get_input_embeddings().weight.data_ptr() for one in objective.parameters()) == 1


def test_a_token_that_the_generator_got_right_is_not_replaced() -> None:
    hidden = torch.tensor([[False, True, True, False]])
    batch = MaskedBatch(torch.tensor([[2, 4, 4, 3]]), torch.ones(1, 4, dtype=torch.int64), hidden, torch.tensor([7, 8]))
    filled, replaced = filled_in(batch, torch.nn.functional.one_hot(torch.tensor([7, 9]), 10).float() * 1e4)
    assert filled.tolist() == [[2, 7, 9, 3]]
    assert replaced.tolist() == [[False, False, True, False]]


def test_it_begins_from_nothing() -> None:
    with pytest.raises(ValidationError, match="rtd begins from nothing"):
        TeacherSettings.model_validate({"from": "bert-base-chinese", "pretrain_objective": "rtd"})
