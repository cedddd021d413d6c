"""Students for the contract tests, and bundles that were tampered with and sealed again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import numpy_helper

from models.export.exporter import export_student
from models.serving.bundle import BundleFacts, Precision, open_bundle, seal
from models.student_settings import TextCNNSettings
from models.students.architectures import build_student
from models.students.student import Student
from models.text.vocabulary import Vocabulary

ROOT = Path(__file__).parents[2]
VOCABULARY = Vocabulary(tuple("abcdefgh好老师é😀"))
SETTINGS = TextCNNSettings(embedding=8, filters=70, widths=(2, 3, 4), max_length=12)  # two parts, one of them not full
LABELS = ("asks", "got", "thanks")
PRECISIONS: tuple[Precision, ...] = ("int16", "int8", "float32")


def make_student(widths: tuple[int, ...] = SETTINGS.widths) -> Student:
    torch.manual_seed(5)
    student = build_student(SETTINGS.model_copy(update={"widths": widths}), len(VOCABULARY), len(LABELS))
    with torch.no_grad():
        student.head.weight.mul_(4)  # probabilities far from one half, so that a wrong one shows
    return student


def export(student: Student, folder: Path, **changes: Any) -> Path:
    options = {"task": "praise", "kind": "textcnn", "labels": LABELS, "vocabulary": VOCABULARY, "clean_version": "1"}
    return export_student(student, folder=folder, max_length=SETTINGS.max_length, **(options | changes))


def resealed(bundle: Path, folder: Path, model: bytes, **changes: Any) -> Path:
    manifest = open_bundle(bundle).manifest
    facts = {name: getattr(manifest, name) for name in BundleFacts.model_fields}
    return seal(folder, model=model, vocabulary=VOCABULARY, facts=BundleFacts(**(facts | changes)))


def with_initializer(bundle: Path, name: str, change: Callable[[Any], Any]) -> bytes:
    model = onnx.load(bundle / "model.onnx")
    (tensor,) = [item for item in model.graph.initializer if item.name == name]
    changed = change(numpy_helper.to_array(tensor).copy())
    model.graph.initializer.remove(tensor)
    if changed is not None:
        changed = changed if isinstance(changed, onnx.TensorProto) else numpy_helper.from_array(changed, name)
        model.graph.initializer.append(changed)
    return bytes(model.SerializeToString())


def run_fresh(code: str, *arguments: str, **environment: str) -> dict[str, Any]:
    ended = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(ended.stdout)
    return found
