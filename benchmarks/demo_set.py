"""The demo's texts as a set to judge teachers by: what its annotators said, and what its generator meant.

Reads a demo's warehouse (`make demo`) without a session. Annotated are the rows that the task's first teacher learnt
from; the rest are other distinct texts of the training days; judged by are texts of the test days that are neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
from deltalake import DeltaTable
from numpy.typing import NDArray

from jobs.demo.demo_settings import TASKS
from jobs.demo.demo_truth import read as read_truth

JUDGED = 8000  # the most texts


@dataclass(frozen=True)
class DemoSet:
    """A task's texts: first those that are annotated, then the rest, then those that judge.

    Attributes:
        texts: All texts.
        targets: (texts, labels): of annotated ones the annotators' (NaN where they said nothing), else the generator's.
        labels: Their names.
        annotated: How many are annotated.
        judged: How many judge.
        base: What the demo's teachers begin as.
    """

    texts: list[str]
    targets: NDArray[np.float32]
    labels: tuple[str, ...]
    annotated: int
    judged: int
    base: Path


def read_demo(folder: Path, task: str) -> DemoSet:
    """A task of a demo in a folder."""
    tables = folder / "warehouse"
    models = _rows(tables / "models", pc.field("task").isin([task, "*"]))
    teacher = min((row for row in models if row["role"] == "teacher"), key=lambda row: str(row["created_at"]))
    base = next(row["path"] for row in models if row["role"] == "base")
    labels = tuple(teacher["labels"])
    of_teacher = _rows(tables / "round_samples", pc.field("round_id") == teacher["model_id"])
    own = sorted(of_teacher, key=lambda row: int(row["position"]))
    layout = _rows(tables / "rounds", pc.field("task") == task)[0]["layout"]
    days = {part: _texts(tables / "texts", task, layout[part]) for part in ("train", "test")}
    taken = {row["text_hash"] for row in own}
    hashes = {part: {row["text_hash"] for row in rows} for part, rows in days.items()}
    rest = _distinct(days["train"], taken | hashes["test"])
    judged = _distinct(days["test"], taken | hashes["train"])[:JUDGED]
    truth = read_truth(folder / "corpus" / "truth.jsonl").get(task, {})
    said = [[np.nan if value is None else value for value in row["hard"]] for row in own]
    meant = [[label in truth.get(row["text_id"], ()) for label in labels] for row in [*rest, *judged]]
    targets = np.concatenate([np.array(said, np.float32), np.array(meant, np.float32)])
    texts = [row["text"] for row in [*own, *rest, *judged]]
    return DemoSet(texts, targets, labels, len(own), len(judged), folder / "bundles" / base)


def _texts(table: Path, task: str, days: dict[str, Any]) -> list[dict[str, Any]]:
    """The texts of a task's scenes on some days."""
    within = (pc.field("dt") >= days["first"]) & (pc.field("dt") <= days["last"])
    return _rows(table, pc.field("scene").isin(TASKS[task]["scenes"]) & within, ["text_id", "text_hash", "text"])


def _rows(table: Path, where: Any, columns: list[str] | None = None) -> list[dict[str, Any]]:
    dataset = DeltaTable(str(table)).to_pyarrow_dataset()
    found: list[dict[str, Any]] = dataset.to_table(columns=columns, filter=where).to_pylist()
    return found


def _distinct(rows: list[dict[str, Any]], without: set[str]) -> list[dict[str, Any]]:
    """One row a distinct text, ordered by hash."""
    found = {row["text_hash"]: row for row in rows if row["text_hash"] not in without}
    return [found[text_hash] for text_hash in sorted(found)]
