"""The annotated texts of some days, by majority of the annotators: what a teacher learns from, and is held to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import functions as F

from jobs.lake import tables, text_queries
from jobs.lake.store import Lake
from models import digests
from models.errors import DataError
from models.evaluation.predictions import complete_class_labels
from models.rounds.date_layout import DateLayout, Window
from models.tasks import TaskSettings

if TYPE_CHECKING:
    from models.teachers.fine_tuning_rows import FineTuningRows


@dataclass(frozen=True, slots=True)
class AnnotatedTexts:
    """A teacher's fine-tuning rows, ordered by hash: one a distinct text, with the annotators' majority on each label.

    Attributes:
        text_ids: The texts' ids, each the smallest of its distinct text.
        hashes: Their hashes.
        texts: The texts.
        second: Of pairs the second texts.
        targets: (rows, labels); NaN where the annotators say nothing, or disagree evenly.
        labels: Those of the task that any annotator answered.
    """

    text_ids: list[str]
    hashes: list[str]
    texts: list[str]
    second: list[str | None]
    targets: NDArray[np.float32]
    labels: tuple[str, ...]

    def few(self, fewest: int) -> dict[str, int]:
        """The labels that hold for fewer texts than this, and for how many."""
        counts = (self.targets == 1).sum(0).tolist()
        return {label: count for label, count in zip(self.labels, counts, strict=True) if count < fewest}

    def round_samples(self, model_id: str) -> list[dict[str, Any]]:
        """The rows as round samples, under the teacher's own name."""
        columns = zip(self.text_ids, self.hashes, self.texts, self.second, self.targets, strict=True)
        return [
            {
                "round_id": model_id, "text_id": text_id, "text_hash": text_hash, "text": text, "text_b": second,
                "position": position, "split": "train", "reasons": ["annotated"], "weight": 1.0,
                "hard": [None if np.isnan(value) else float(value) for value in targets],
            }
            for position, (text_id, text_hash, text, second, targets) in enumerate(columns)
        ]  # fmt: skip

    def fine_tuning_rows(self, task: TaskSettings) -> FineTuningRows:
        """The rows as the trainer takes them: what is not known is masked."""
        from models.teachers.fine_tuning_rows import FineTuningRows

        second = [text or "" for text in self.second] if task.kind == "pair" else None
        known = ~np.isnan(self.targets)
        return FineTuningRows(self.texts, np.nan_to_num(self.targets), known, self.labels, task.kind, second)


def annotations_signature(lake: Lake, name: str) -> str:
    """What annotators said of a task, as one name, whatever the files that hold it."""
    columns = ("label", "text_id", "annotator", "value")
    rows = lake.arrow(tables.ANNOTATIONS, *columns, where=pc.field("task") == name).to_pydict()
    answers = sorted(zip(*(rows[column] for column in columns), strict=True))
    return digests.of_json(answers, chars=32)


def annotated_texts(lake: Lake, name: str, task: TaskSettings, layout: DateLayout) -> AnnotatedTexts:
    """The annotated texts of the training days, one row a distinct text, by majority of the annotators.

    A label without a single answer (of classes: that holds nowhere) is left out: nobody could teach it yet.

    Raises:
        DataError: No label has an answer, or of classes only one holds anywhere.
    """
    labels = task.label_names
    table = answered_texts(lake, name, task, layout.train)
    values = answers(table, labels)
    answered: NDArray[np.bool_] = np.any(values == 1 if task.kind == "multi_class" else ~np.isnan(values), axis=0)
    own = tuple(label for label, there in zip(labels, answered.tolist(), strict=True) if there)
    if not own:
        raise DataError(
            f"annotations: none for task {name} on {layout.train.first} to {layout.train.last}; import some"
        )
    if task.kind == "multi_class" and len(own) == 1:
        raise DataError(f"annotations: of the classes of task {name} only {own[0]} holds for any text; import more")
    targets = complete_class_labels(values[:, answered], task.kind)
    columns = {key: table.column(key).to_pylist() for key in ("text_id", "text_hash", "text", "text_b")}
    return AnnotatedTexts(columns["text_id"], columns["text_hash"], columns["text"], columns["text_b"], targets, own)


def answered_texts(lake: Lake, name: str, task: TaskSettings, window: Window) -> pa.Table:
    """The texts of some days that annotators answered there, a row a distinct text, ordered by hash.

    Beside text_id (the smallest of the distinct text), text_hash, text, text_b, first_day and first_scene there is
    a column for each label: 1, 0, or null where nobody answered or the annotators disagree evenly.
    """
    labels = task.label_names
    votes = text_queries.majority(lake, name, labels, window)
    voted = votes.groupBy("text_hash").pivot("label", list(labels)).agg(F.first(F.col("positive").cast("float")))
    texts = text_queries.texts_for(lake.read(tables.TEXTS), name, task).where(text_queries.within(window))
    texts = texts.groupBy("text_hash").agg(
        F.min("text_id").alias("text_id"), F.first("text").alias("text"), F.first("text_b").alias("text_b"),
        F.min("dt").alias("first_day"), F.min_by("scene", F.struct("dt", "scene")).alias("first_scene"),
    )  # fmt: skip
    return voted.join(texts, "text_hash").orderBy("text_hash").toArrow()


def answers(table: pa.Table, labels: tuple[str, ...]) -> NDArray[np.float32]:
    """The labels' columns of `answered_texts`: (texts, labels) of 1, 0, and NaN where nothing is known."""
    by_label = [table.column(label).to_numpy(zero_copy_only=False) for label in labels]
    return np.stack(by_label, axis=1).astype(np.float32)
