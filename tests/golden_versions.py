"""What a fixed student and fixed deciders answer, held under the versions that make days again.

A change that alters an answer must raise its version: days that were made would keep the old answers for ever.
"""

from __future__ import annotations

import json
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from models.export.exporter import export_student
from models.serving.engine import SCORING_VERSION
from models.serving.open_engine import open_engine
from models.student_settings import TextCNNSettings
from models.students.architectures import build_student
from models.tasks import TaskSettings
from models.text.vocabulary import Vocabulary
from udfs.label_deciding import DECIDING_VERSION, SCORES, TaskDecider, decide_batch

FILE = Path(__file__).with_name("golden") / "versions.json"
TEXTS = ("", "好", "老师好", "老师好老师好老师好老师好", "abc 好 😀", "未知的字", "aaaaaaaa", "老a师b好c")
SETTLED = pa.list_(pa.struct([(name, pa.string()) for name in ("task", "label", "outcome", "rule")]))
_SETTINGS = TextCNNSettings(embedding=6, filters=5, widths=(1, 2, 3), max_length=10)
_VOCABULARY = Vocabulary(tuple("abc好老师😀"))


def probabilities() -> list[list[float]]:
    """Of a student whose weights are a formula, to the 5 places that engines share."""
    student = build_student(_SETTINGS, len(_VOCABULARY), 3)
    with torch.no_grad():
        for number, weights in enumerate(student.parameters()):
            values = torch.arange(weights.numel(), dtype=torch.float64).mul(0.7).add(number).sin()
            weights.copy_(values.reshape(weights.shape))
    with tempfile.TemporaryDirectory() as folder:
        bundle = export_student(
            student, folder=Path(folder) / "student", task="golden", kind="textcnn", labels=("a", "b", "c"),
            vocabulary=_VOCABULARY, max_length=10, clean_version="1",
        )  # fmt: skip
        found = open_engine(bundle).probabilities(pa.array(TEXTS))
    rounded: list[list[float]] = np.round(found.astype(np.float64), 5).tolist()
    return rounded


def labels() -> list[list[Any]]:
    """Of texts with scores at, above and below thresholds, rules, two scenes, and labels that need each other."""
    tasks = {
        "a": TaskSettings.model_validate({
            "scenes": ["chat", "photo"],
            "labels": {"x": {"excludes": ["y"]}, "y": {}, "z": {"requires": ["b.w"]}},
        }),
        "b": TaskSettings.model_validate({"kind": "multi_class", "scenes": ["chat"], "labels": {"v": {}, "w": {}}}),
    }  # fmt: skip
    deciders = [
        TaskDecider("a", "a/1", ("y", "x", "z"), 3, {"*": (0.5, 0.5, 0.5), "photo": (0.5, 0.9, 0.5)}),
        TaskDecider("b", "b/1", ("v", "w"), 1, {"*": (0.4, 0.4)}),
    ]
    cases = [
        ("both", "chat", [("a/1", [0.9, 0.5, 0.9]), ("b/1", [0.4, 0.6])], []),
        ("photo", "photo", [("a/1", [0.9, 0.5, 0.9])], []),
        ("loses", "chat", [("a/1", [0.5, 0.25, 0.9]), ("b/1", [0.6, 0.4])], []),
        ("ruled", "chat", [("b/1", [0.4, 0.6])], [("a", "x", "positive", "flower")]),
        ("settled", "chat", [("a/1", [0.9, 0.9, 0.9])], [("*", None, "useless", "empty")]),
        ("elsewhere", "speech", [("a/1", [0.9, 0.9, 0.9])], [("a", "x", "positive", "flower")]),
        ("failed", "chat", [("a/1", None), ("b/1", None)], []),
        ("unscored", "chat", None, []),
    ]  # fmt: skip
    batch = pa.RecordBatch.from_pydict({
        "text_id": pa.array([case[0] for case in cases]), "scene": pa.array([case[1] for case in cases]),
        "dt": pa.array([date(2026, 3, 1)] * len(cases)),
        "scores": pa.array(
            [None if case[2] is None else [{"model_id": m, "probs": p} for m, p in case[2]] for case in cases], SCORES
        ),
        "settled": pa.array(
            [[dict(zip(("task", "label", "outcome", "rule"), one, strict=True)) for one in case[3]] for case in cases],
            SETTLED,
        ),
    })  # fmt: skip
    rows = decide_batch(batch, tasks, deciders).to_pylist()
    names = ("text_id", "task", "label", "score", "threshold", "model_id", "threshold_version", "rule")
    return sorted([None if row[name] is None else row[name] for name in names] for row in rows)


def answers() -> dict[str, Any]:
    """All of it, as the file holds it."""
    return {
        "scoring_version": SCORING_VERSION, "probabilities": probabilities(),
        "deciding_version": DECIDING_VERSION, "labels": json.loads(json.dumps(labels())),
    }  # fmt: skip


def rewrite() -> None:
    """Write the file anew; refuses other answers under the same version."""
    now = answers()
    if FILE.exists():
        held = json.loads(FILE.read_text("utf-8"))
        close = np.allclose(held["probabilities"], now["probabilities"], rtol=0, atol=2e-5)
        if not close and held["scoring_version"] == now["scoring_version"]:
            raise SystemExit("golden: other probabilities; raise SCORING_VERSION in models/serving/engine.py first")
        if held["labels"] != now["labels"] and held["deciding_version"] == now["deciding_version"]:
            raise SystemExit("golden: other labels; raise DECIDING_VERSION in udfs/label_deciding.py first")
    FILE.write_text(json.dumps(now, ensure_ascii=False, indent=1) + "\n", "utf-8")
