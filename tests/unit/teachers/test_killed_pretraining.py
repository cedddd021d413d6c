"""A pretraining that was killed goes on to the very same bits, and one of other texts does not take its state."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from models.tasks import TeacherSettings
from models.teachers.pretraining import pretrain

SETTINGS = TeacherSettings(layers=1, hidden=16, max_tokens=16, pretrain_steps=45)
TEXTS = [f"老师{'好' * (at % 7)}{'吗' * (at % 3)}" for at in range(400)]
DIES_AT = 33  # past an epoch of seven batches, between two checkpoints
KILLED = f"""
import os, signal, sys
from pathlib import Path
import torch
from tests.unit.teachers.test_killed_pretraining import SETTINGS, TEXTS
from models.teachers.pretraining import pretrain
torch.set_num_threads(1)
def dies(step, *_):
    if step == {DIES_AT}:
        os.kill(os.getpid(), signal.SIGKILL)
pretrain(TEXTS, SETTINGS, seed=1, folder=Path(sys.argv[1]), progress=dies, checkpoints=Path(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def in_one_go(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("whole") / "base"
    return (pretrain(TEXTS, SETTINGS, seed=1, folder=folder) / "model.safetensors").read_bytes()


def test_a_killed_pretraining_goes_on_to_the_same_bits(in_one_go: bytes, tmp_path: Path) -> None:
    base, state, seen = tmp_path / "base", tmp_path / "state", list[int]()
    root = Path(__file__).parents[3]
    died = subprocess.run(
        [sys.executable, "-c", KILLED, str(base), str(state)], cwd=root, check=False, capture_output=True,
        env=os.environ | {"PYTHONPATH": str(root)},
    )  # fmt: skip
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()[-500:]
    assert not base.exists()
    assert any(state.iterdir())
    pretrain(TEXTS, SETTINGS, seed=1, folder=base, progress=lambda step, *_: seen.append(step), checkpoints=state)
    assert seen == list(range(DIES_AT, SETTINGS.pretraining_steps + 1)), "from the last state on, not from the start"
    assert (base / "model.safetensors").read_bytes() == in_one_go
    assert not state.exists()


def test_what_another_pretraining_kept_is_not_taken(in_one_go: bytes, tmp_path: Path) -> None:
    class StoppedError(Exception):
        pass

    def stops(step: int, *_: float) -> None:
        if step == 20:
            raise StoppedError

    others, state, seen = TEXTS[::-1], tmp_path / "state", list[int]()
    with pytest.raises(StoppedError):
        pretrain(others, SETTINGS, seed=1, folder=tmp_path / "others", progress=stops, checkpoints=state)
    made = pretrain(
        TEXTS, SETTINGS, seed=1, folder=tmp_path / "base", progress=lambda step, *_: seen.append(step),
        checkpoints=state,
    )  # fmt: skip
    assert seen[0] == 1
    assert (made / "model.safetensors").read_bytes() == in_one_go
