"""A sealed student of the default sizes with random weights: its answers mean nothing, its speed is a trained one's."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import torch

from benchmarks.texts import MAX_LENGTH
from models.export.exporter import export_student
from models.student_settings import TextCNNSettings
from models.students.textcnn import TextCNN
from models.text.vocabulary import Vocabulary

LABELS = tuple(f"label_{at}" for at in range(10))
MODEL = "bench/textcnn/01"


def seal(folder: Path, texts: pa.Array, task: str = "bench", model_id: str = MODEL) -> tuple[TextCNN, Vocabulary, Path]:
    """The student, its vocabulary made of these texts, and the bundle in `folder`."""
    settings = TextCNNSettings()
    vocabulary = Vocabulary.build(texts, max_size=settings.vocabulary_size)
    torch.manual_seed(1)
    student = TextCNN(settings, len(vocabulary), len(LABELS))
    bundle = export_student(
        student, folder=folder, task=task, kind="textcnn", labels=LABELS, vocabulary=vocabulary,
        max_length=MAX_LENGTH, clean_version="1", model_id=model_id,
    )  # fmt: skip
    return student, vocabulary, bundle
