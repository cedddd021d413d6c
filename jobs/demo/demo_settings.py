"""The demo's own settings: its tasks, its sources, its rules. Laid under whatever `--settings` says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jobs.demo.clusters import SOURCES
from jobs.demo.source_records import COLUMNS, FILES

# The rules of the cleaning that belong to the demo corpus: texts of only symbols or emoji mean something certain.
# Patterns match the whole of the cleaned text: NFKC, lower case, no zero-width characters, a run of one symbol or
# emoji collapsed to a single one.
FLOWERS = "🌹🙏"
REACTIONS = "😂🤣😄😁😊😭👍👏❤🎉😅😆🤔😎💪🥳🔥"
EMOTES = ("呲牙", "偷笑", "强", "鼓掌", "微笑", "捂脸", "大哭", "得意", "可爱", "抱拳")
PUNCTUATION = r"\s。.,、!?~…·\-—_:;\"'()*#=<>/^"

DEMO_RULES: list[dict[str, Any]] = [
    {
        "name": "flowers_thank",
        "pattern": rf"^(?:[{FLOWERS}]\s*)+$",
        "outcome": "positive",
        "task": "praise",
        "label": "thanks_teacher",
    },
    {
        "name": "flowers_are_no_feedback",
        "pattern": rf"^(?:[{FLOWERS}]\s*)+$",
        "outcome": "negative",
        "task": "feedback",
        "label": None,
    },
    {
        "name": "only_punctuation",
        "pattern": rf"^[{PUNCTUATION}]+$",
        "outcome": "useless",
        "task": "*",
        "label": None,
    },
    {
        "name": "only_reactions",
        "pattern": rf"^(?:[{REACTIONS}]\ufe0f?\s*)+$",
        "outcome": "negative",
        "task": "*",
        "label": None,
    },
    {
        "name": "only_emotes",
        "pattern": rf"^(?:\[(?:{'|'.join(EMOTES)})\]\s*)+$",
        "outcome": "negative",
        "task": "*",
        "label": None,
    },
    {
        "name": "sixes_ones_pluses",
        "pattern": r"^(?:(?:6\s*)+|(?:1\s*)+|(?:\+\s*1?\s*)+)$",
        "outcome": "negative",
        "task": "*",
        "label": None,
    },
]

_TARGET = {"precision": 0.80, "recall": 0.80}
# A longer schedule gains nothing here, and two thousand rows are too few to keep some back (docs/teachers.md).
_TEACHER = {"pretrain_steps": 4000, "min_steps": 0, "validation_share": 0.0}
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


def demo_settings(folder: Path) -> dict[str, Any]:
    """Settings of a demo that lives in `folder`: warehouse, bundles, and the corpus' files as sources."""
    sources = {
        scene: {
            "path": str(folder / "corpus" / file),
            "format": Path(file).suffix.removeprefix("."),
            "columns": {
                "source_id": COLUMNS[scene]["id"],
                "text": COLUMNS[scene]["text"],
                "event_time": COLUMNS[scene]["time"],
            },
            "constants": {"scene": scene, "source": SOURCES[scene]},
        }
        for scene, file in FILES.items()
    }
    return {
        "lake": {"location": str(folder / "warehouse"), "bundles": str(folder / "bundles")},
        "sources": sources,
        "cleaning": {"rules": DEMO_RULES},
        "tasks": TASKS,
        # A BERT of two layers, pretrained in minutes, is no better than who learns from annotators alone, and these
        # answer too few texts of the gate days to hold a student to them (docs/teachers.md). So it is trusted all the
        # way: the demo shows the way of a round, and each round says what the teacher is.
        "rounds": {"accept_weak_teacher": True, "random_texts": 48_000},
        # As many as it takes to follow such a teacher past the gate.
        "teacher_scoring": {"train_texts": 48_000},
    }
