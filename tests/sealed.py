"""Sealed students whose answers a test chooses: real bundles, opened by the real engines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path


def seal_by_first_letter(
    folder: Path, labels: Sequence[str], answers: Mapping[str, Sequence[float]], model_id: str
) -> str:
    """A student that answers by a text's letters alone: digits, and whatever it does not know, change nothing.

    Args:
        folder: Where the bundle shall lie.
        labels: Its labels.
        answers: The probabilities of a text that has this letter once and no other, in the labels' order.
        model_id: Its name.
    """
    import torch

    from models.export.exporter import export_student
    from models.student_settings import BOWSettings
    from models.students.architectures import build_student
    from models.text.vocabulary import FIRST_CHAR, Vocabulary

    vocabulary, width = Vocabulary(tuple(sorted(answers))), len(labels)
    settings = BOWSettings(embedding=width, filters=2 * width, dropout=0.0)
    student = build_student(settings, len(vocabulary), width).eval()
    one = torch.eye(width)
    with torch.no_grad():
        for parameter in student.parameters():
            parameter.zero_()
        for at, letter in enumerate(sorted(answers)):
            logits = [math.log(p / (1 - p)) for p in answers[letter]]
            student.embedding.weight[FIRST_CHAR + at] = torch.tensor(logits)
        student.layer.weight.copy_(torch.cat([one, -one]))  # what ReLU cuts off on one side is on the other
        student.head.weight.copy_(torch.cat([one, -one], dim=1))
    bundle = export_student(
        student, folder=folder / model_id.replace("/", "-"), task=model_id.split("/")[0], kind="bow",
        labels=tuple(labels), vocabulary=vocabulary, max_length=32, clean_version="1", model_id=model_id,
        precision="float32",
    )  # fmt: skip
    return str(bundle)
