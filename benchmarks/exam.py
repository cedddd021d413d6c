"""Exam questions as a task of 106 labels over four scenes: files, annotations and settings made from the public set.

The set is one file of questions with a subject, a split and their knowledge points. Here each subject is a scene, the
three splits are three days (train, threshold, test), and every knowledge point is a label, named by its place in order.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

DAYS = {"train": "2026-03-01 08:00:00", "dev": "2026-03-02 08:00:00", "test": "2026-03-03 08:00:00"}
TASK = "knowledge"


def prepare(data: Path, out: Path) -> tuple[dict[str, Any], Path]:
    """Write the sources' files and the annotations under `out`; returns the settings and the annotations' file."""
    with gzip.open(data / "exam_kp_multilabel" / "exam_kp.jsonl.gz", "rt", encoding="utf-8") as file:
        questions = [json.loads(line) for line in file]
    labels = {
        name: f"kp_{at:03d}" for at, name in enumerate(sorted({one for row in questions for one in row["labels"]}))
    }
    subjects = {name: f"subject_{at}" for at, name in enumerate(sorted({row["scene"] for row in questions}))}
    out.mkdir(parents=True, exist_ok=True)
    sources = {}
    for split, moment in DAYS.items():
        for subject, scene in subjects.items():
            rows = [row for row in questions if (row["split"], row["scene"]) == (split, subject)]
            written = _write(out / f"{split}-{scene}.jsonl", ({"id": row["id"], "text": row["text"]} for row in rows))
            sources[f"{split}_{scene}"] = {
                "path": str(written), "format": "jsonl", "columns": {"source_id": "id", "text": "text"},
                "constants": {"scene": scene, "source": "exam", "event_time": moment},
            }  # fmt: skip
    annotations = _write(out / "annotations.jsonl", _annotations(questions, labels))
    return _settings(sources, tuple(subjects.values()), tuple(labels.values())), annotations


def _annotations(questions: Iterable[Mapping[str, Any]], labels: Mapping[str, str]) -> Iterable[dict[str, Any]]:
    """Every label of every question, denied ones too: the set's authors looked at all of them."""
    for row in questions:
        for name, label in labels.items():
            yield {
                "task": TASK, "label": label, "value": name in row["labels"], "annotator": "dataset",
                "source": "exam", "source_id": row["id"],
            }  # fmt: skip


def _settings(sources: Mapping[str, Any], scenes: tuple[str, ...], labels: tuple[str, ...]) -> dict[str, Any]:
    task = {
        "kind": "multi_label", "scenes": scenes, "labels": {label: {} for label in labels},
        "teacher": {"max_tokens": 192, "epochs": 6, "batch": 32, "learning_rate": 2e-4},
        "student": {"epochs": 25, "max_length": 256, "validation_share": 0.1, "patience": 4},
    }  # fmt: skip
    return {
        "sources": sources, "tasks": {TASK: task},
        "rounds": {"threshold_days": 1, "test_days": 1, "gate_days": 0, "min_train_days": 1, "rounds": 1},
        "teacher_scoring": {"train_texts": 20000},
    }  # fmt: skip


def _write(file: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    with file.open("w", encoding="utf-8") as target:
        for row in rows:
            target.write(json.dumps(row, ensure_ascii=False) + "\n")
    return file
