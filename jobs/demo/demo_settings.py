"""The demo's own settings: its tasks, its sources, its rules. Laid under whatever `--settings` says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jobs.demo.demo_rules import DEMO_RULES
from jobs.demo.source_records import COLUMNS, FILES

_TARGET = {"precision": 0.80, "recall": 0.80}
_TEACHER = {"pretrain_steps": 1500, "pretrain_seconds": 90}  # steps end it first: the same teacher every time
_STUDENT = {"epochs": 4}
TASKS: dict[str, Any] = {
    "praise": {
        "kind": "multi_label",
        "phase": 1,
        "scenes": ["live_chat", "teacher_speech"],
        "labels": {
            "asks_praise": {"target": _TARGET},
            "got_praise": {"target": _TARGET, "excludes": ["asks_praise"]},
            "complains_unfair": {"target": _TARGET, "requires": ["feedback.complaint"]},
            "thanks_teacher": {"target": _TARGET},
        },
        "teacher": _TEACHER,
        "student": _STUDENT,
    },
    "feedback": {
        "kind": "multi_label",
        "phase": 2,
        "scenes": ["live_chat", "teacher_speech", "homework_photo"],
        "labels": {
            "complaint": {"target": _TARGET},
            "cannot_hear": {"target": _TARGET},
            "wants_refund": {"target": _TARGET, "requires": ["complaint"]},
            "asks_homework": {"target": _TARGET},
            "technical_problem": {"target": _TARGET},
        },
        "teacher": _TEACHER,
        "student": _STUDENT,
    },
}
_FORMATS = {".jsonl": "jsonl", ".csv": "csv", ".parquet": "parquet"}
_SOURCES = {"live_chat": "chat", "teacher_speech": "asr", "homework_photo": "ocr"}


def demo_settings(folder: Path) -> dict[str, Any]:
    """Settings of a demo that lives in `folder`: warehouse, bundles, and the corpus' files as sources."""
    sources = {
        scene: {
            "path": str(folder / "corpus" / file),
            "format": _FORMATS[Path(file).suffix],
            "columns": {
                "source_id": COLUMNS[scene]["id"],
                "text": COLUMNS[scene]["text"],
                "event_time": COLUMNS[scene]["time"],
            },
            "constants": {"scene": scene, "source": _SOURCES[scene]},
        }
        for scene, file in FILES.items()
    }
    return {
        "lake": {"location": str(folder / "warehouse"), "bundles": str(folder / "bundles")},
        "sources": sources,
        "cleaning": {"rules": DEMO_RULES},
        "tasks": TASKS,
    }
