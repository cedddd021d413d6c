"""The rows that a teacher is fine-tuned on: texts, and the targets that are known of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.errors import DataError
from models.tasks import TaskKind


@dataclass(frozen=True)
class FineTuningRows:
    """Texts and their targets, label by label.

    Attributes:
        texts: Clean texts.
        targets: (texts, labels), 0 to 1, read where `mask` is True.
        mask: (texts, labels) bool, True where the target is known.
        labels: Label names, in the order of the columns.
        kind: The task's kind, which decides the loss.
        second: Of pairs, the second texts.
    """

    texts: Sequence[str]
    targets: NDArray[np.float32]
    mask: NDArray[np.bool_]
    labels: tuple[str, ...]
    kind: TaskKind = "multi_label"
    second: Sequence[str] | None = None

    def check(self) -> None:
        """Raise `DataError` if there are no texts, or arrays of other shapes."""
        expected = (len(self.texts), len(self.labels))
        if not len(self.texts) or self.targets.shape != expected or self.mask.shape != expected:
            raise DataError(
                f"fine-tuning: got targets {self.targets.shape} and mask {self.mask.shape} for {len(self.texts)} texts "
                f"and {len(self.labels)} labels, expected {expected} with at least one text; annotate or join again"
            )
