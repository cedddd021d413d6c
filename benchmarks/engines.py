"""Rows a second of the student's engines on one core, on the demo corpus' own utterances: part of `make bench`.

The same rows for all: one to four utterances in a row, about 24 characters, which is a segment of speech recognition.
A student of the default sizes with random weights: its speed does not depend on them.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import torch

from benchmarks.results import rates, record
from jobs.corpus.composing import compose
from jobs.corpus.plan import stream
from jobs.corpus.settings import CorpusSettings
from models.engine import OnnxEngine, session_of
from models.fused import FusedEngine
from models.tasks import StudentSettings
from models.text import clean
from models.training.export import export_student, to_onnx
from models.training.folded_graph import fold, folded_graph
from models.training.students import build_student
from models.vocabulary import Vocabulary

SCENES = {"live_chat": 0.6, "teacher_speech": 0.25, "homework_photo": 0.15}  # as in the demo
LABELS = tuple("abcdef")
ROWS = 20_000
BATCHES = (16, 32, 64)


def rows_of_the_demo(rows: int = ROWS) -> list[str]:
    """Clean texts, joined from utterances of one scene and day."""
    settings = CorpusSettings()
    texts: list[str] = []
    for scene, share in SCENES.items():
        random = stream(settings, "benchmark", scene)
        many = round(rows * share)
        spoken = [wording.text for wording in compose(scene, settings.last_day, 4 * many, settings, random)]
        at = 0
        for _ in range(many):
            joined = random.choice((1, 2, 2, 3, 4))
            texts.append(clean("".join(spoken[at : at + joined]), 128))
            at += joined
    stream(settings, "benchmark", "order").shuffle(texts)
    return texts


def _both(engine: FusedEngine, column: pa.Array) -> None:
    encoded = engine.encode(column)
    for _ in range(2):
        engine.probabilities_encoded(encoded)


def main() -> int:
    """Measure and write."""
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    torch.set_num_threads(1)
    texts = rows_of_the_demo()
    column = pa.array(texts, pa.string())
    vocabulary = Vocabulary.build(column, max_size=StudentSettings().vocabulary_size)
    torch.manual_seed(1)
    student = build_student(StudentSettings(), len(vocabulary), len(LABELS))
    with tempfile.TemporaryDirectory() as folder:
        bundle = export_student(
            student, folder=Path(folder) / "bundle", task="bench", kind="textcnn", labels=LABELS,
            vocabulary=vocabulary, max_length=128, clean_version="1",
        )  # fmt: skip
        fused, onnx = FusedEngine.open(bundle), OnnxEngine.open(bundle)
    encoded, every = fused.encode(column), np.arange(len(texts))
    plain = replace(onnx, session=session_of(to_onnx(student)))
    exact = replace(onnx, session=session_of(folded_graph(fold(student), "float32")))
    found = {
        "decode": rates(lambda: fused.encode(column), len(texts)),
        "kernel": rates(lambda: fused.network.probabilities(encoded, every), len(texts)),
        "engine": rates(lambda: fused.probabilities(column), len(texts)),
    }
    # Two students that share a vocabulary, as texts a second: each encoding for itself, and one for both.
    found["two_students_apart"] = rates(lambda: [fused.probabilities(column) for _ in range(2)], len(texts))
    found["two_students_sharing"] = rates(lambda: _both(fused, column), len(texts))
    for name, engine in (("onnxruntime_folded", onnx), ("onnxruntime_folded_float", exact)):
        for batch in BATCHES:
            sized = replace(engine, batch=batch)
            found[f"{name}_{batch}"] = rates(partial(sized.probabilities, column), len(texts))
        found[name] = max((found[f"{name}_{batch}"] for batch in BATCHES), key=median)
    found["onnxruntime_textcnn"] = rates(lambda: plain.probabilities(column), len(texts))
    mean = float(encoded.lengths.mean())
    record(found, {"texts": len(texts), "mean_characters": round(mean, 1), "cores": 1})
    print(f"compiled in {fused.compile_seconds:.2f} s; {mean:.1f} characters a text; {len(vocabulary)} ids")
    return 0


if __name__ == "__main__":
    sys.exit(main())
