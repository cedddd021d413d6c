"""A training's state after its last whole epoch, on disk: a killed training goes on from there."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch

from models.folders import replaced_file

_log = logging.getLogger(__name__)
_NAME = "checkpoint.pt"


class Checkpoints:
    """Keeps the newest state of one training in a folder.

    What is kept is for the same training alone: a state that another one wrote (other rows, settings, seed) is left
    aside. Only tensors and plain values are read back, never code.
    """

    def __init__(self, folder: Path, training: str) -> None:
        """`training` names rows, settings, seed and all else that decides the weights."""
        self._folder = folder
        self._training = training

    def save(self, state: dict[str, Any]) -> None:
        """Replace the state that was there, or leave it as it was."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with replaced_file(self._folder / _NAME) as staging:
            torch.save(state | {"training": self._training}, staging)

    def load(self) -> dict[str, Any] | None:
        """The state of this training; None where there is none, or none that can be read."""
        path = self._folder / _NAME
        if not path.is_file():
            return None
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except Exception as error:  # torch has no one class for files it cannot read
            _log.warning("%s: cannot be read (%s), the training begins anew", path, type(error).__name__)
            return None
        return state if state.get("training") == self._training else None

    def clear(self) -> None:
        """Forget the state, and what was being written when a process was killed; the training is done."""
        (self._folder / _NAME).unlink(missing_ok=True)
        for left in self._folder.glob(f".{_NAME}.*"):
            left.unlink(missing_ok=True)
        if self._folder.is_dir() and not any(self._folder.iterdir()):
            self._folder.rmdir()
