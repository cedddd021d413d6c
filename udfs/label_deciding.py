"""From the scores of all tasks to labels, text by text: thresholds of the scene, rules, labels that need each other.

One pass over the labels in the order of their dependencies, in NumPy: its time is linear in the labels, however many
exclude each other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models import label_dependencies
from models.evaluation.predictions import keep_argmax
from models.label_dependencies import Label
from models.tasks import EVERY_SCENE, TaskSettings
from udfs.list_arrays import to_matrix
from udfs.settled import Rule, rules_of, settled_for
from udfs.student_scoring import Batches

DECIDING_VERSION = 1
"""Raised where other labels come out of the same scores, thresholds and rules; all days are decided again then."""
SCORES = pa.list_(pa.struct([("model_id", pa.string()), ("probs", pa.list_(pa.float32()))]))
"""A text's scores, by model."""
DECIDED = pa.schema([
    ("text_id", pa.string()), ("dt", pa.date32()), ("task", pa.string()), ("label", pa.string()),
    ("scene", pa.string()), ("score", pa.float32()), ("threshold", pa.float64()), ("model_id", pa.string()),
    ("threshold_version", pa.int32()), ("rule", pa.string()),
])  # fmt: skip
"""The columns of a label that holds."""


@dataclass(frozen=True, slots=True)
class TaskDecider:
    """What decides a task.

    Attributes:
        task: The task.
        model_id: Its promoted model.
        labels: The model's labels, in the order of its scores.
        version: Of the thresholds.
        limits: The thresholds by scene, in the order of the labels; `*` is for every scene without its own.
        withheld: Labels that are not in force: they hold nowhere.
    """

    task: str
    model_id: str
    labels: tuple[str, ...]
    version: int
    limits: Mapping[str, tuple[float, ...]]
    withheld: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class _Scored:
    """A task's scores of a batch: (rows, labels) float32, the thresholds of the same shape, and where there is one."""

    scores: NDArray[np.float32]
    limits: NDArray[np.float64]
    known: NDArray[np.bool_]


def label_decider(tasks: Mapping[str, TaskSettings], deciders: Sequence[TaskDecider]) -> Callable[[Batches], Batches]:
    """A batch function from texts (text_id, dt, scene, settled, scores as `SCORES`) to labels that hold (`DECIDED`)."""
    tasks, deciders = dict(tasks), tuple(deciders)

    def decide(batches: Batches) -> Batches:
        for batch in batches:
            if batch.num_rows:
                yield decide_batch(batch, tasks, deciders)

    return decide


def decide_batch(
    batch: pa.RecordBatch, tasks: Mapping[str, TaskSettings], deciders: Sequence[TaskDecider]
) -> pa.RecordBatch:
    """Decide one batch: a row a label that holds.

    A text of no scene of a task has none of its labels; one that a rule settled has no score that counts; one that was
    not scored has none but those that a rule gives it.
    """
    rules = rules_of(batch.column("settled"))
    scored = {one.task: _scored(batch, tasks[one.task], one) for one in deciders}
    above: dict[Label, NDArray[np.bool_]] = {}
    for one in deciders:
        above |= _above(batch, tasks[one.task], one, scored[one.task], rules)
    holds = label_dependencies.decide(tasks, above, never=np.zeros(batch.num_rows, np.bool_))
    parts = [
        _labels(batch, one, label, holds[one.task, label], scored[one.task], rules)
        for one in deciders
        for label in tasks[one.task].labels
    ]
    return pa.concat_batches(parts)


def _scored(batch: pa.RecordBatch, task: TaskSettings, decider: TaskDecider) -> _Scored:
    column = batch.column("scores")
    entries = column.flatten()
    own = np.flatnonzero(pc.equal(entries.field("model_id"), decider.model_id).to_numpy(zero_copy_only=False))
    rows = pc.list_parent_indices(column).to_numpy(zero_copy_only=False)[own]
    found = to_matrix(entries.field("probs").take(pa.array(own)), len(decider.labels))
    known = np.zeros(batch.num_rows, np.bool_)
    known[rows] = ~np.isnan(found).any(axis=1)
    scores = np.zeros((batch.num_rows, len(decider.labels)), np.float32)
    scores[rows] = np.nan_to_num(found)
    return _Scored(keep_argmax(scores, task.kind), _limits(batch.column("scene"), decider), known)


def _limits(scenes: pa.Array, decider: TaskDecider) -> NDArray[np.float64]:
    limits = np.empty((len(scenes), len(decider.labels)), np.float64)
    limits[:] = decider.limits[EVERY_SCENE]
    for scene, values in decider.limits.items():
        if scene != EVERY_SCENE:
            limits[pc.equal(scenes, scene).to_numpy(zero_copy_only=False)] = values
    return limits


def _above(
    batch: pa.RecordBatch, task: TaskSettings, decider: TaskDecider, scored: _Scored, rules: list[Rule]
) -> dict[Label, NDArray[np.bool_]]:
    """Where each label's score reaches its threshold, or a rule settled the text as positive for it."""
    rows = batch.num_rows
    in_scenes = pc.is_in(batch.column("scene"), pa.array(task.scenes)).to_numpy(zero_copy_only=False)
    counts = scored.known & ~settled_for(rules, decider.task, rows)
    found = {}
    for label in task.labels:
        reached = np.zeros(rows, np.bool_)
        if label in decider.labels:
            at = decider.labels.index(label)
            reached = counts & (scored.scores[:, at] >= scored.limits[:, at])
        positive = [one.row for one in rules if one[1:4] == (decider.task, label, "positive")]
        reached[positive] = True
        found[decider.task, label] = reached & in_scenes if label not in decider.withheld else np.zeros(rows, np.bool_)
    return found


def _labels(
    batch: pa.RecordBatch, decider: TaskDecider, label: str, holds: NDArray[np.bool_], scored: _Scored,
    rules: list[Rule],
) -> pa.RecordBatch:  # fmt: skip
    """The rows of one label."""
    rows = np.flatnonzero(holds)
    first_rule: dict[int, str] = {}
    for one in rules:
        if (one.task, one.label) == (decider.task, label):
            first_rule.setdefault(one.row, one.rule)
    scores, limits = pa.nulls(len(rows), pa.float32()), pa.nulls(len(rows), pa.float64())
    if label in decider.labels:
        at, unknown = decider.labels.index(label), ~scored.known[rows]
        scores = pa.array(scored.scores[rows, at], pa.float32(), mask=unknown)
        limits = pa.array(scored.limits[rows, at], pa.float64(), mask=unknown)
    kept = batch.select(["text_id", "dt", "scene"]).take(pa.array(rows))
    columns = dict(zip(kept.schema.names, kept.columns, strict=True)) | {
        "task": pa.repeat(pa.scalar(decider.task), len(rows)), "label": pa.repeat(pa.scalar(label), len(rows)),
        "score": scores, "threshold": limits, "model_id": pa.repeat(pa.scalar(decider.model_id), len(rows)),
        "threshold_version": pa.repeat(pa.scalar(decider.version, pa.int32()), len(rows)),
        "rule": pa.array([first_rule.get(row) for row in rows.tolist()], pa.string()),
    }  # fmt: skip
    return pa.RecordBatch.from_pydict(columns, DECIDED)
