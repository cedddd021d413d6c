"""What a model is worth on an evaluation set: thresholds from the threshold days, counts by slice on the test days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from jobs.evaluation.evaluation_set import EvaluationSet
from jobs.lake.evaluation_rows import evaluation_row, quality_columns
from jobs.lake.registry import RegisteredModel
from models.evaluation.figures import WEIGHTS, Figure, Weight, averages
from models.evaluation.metrics import Counts as LabelCounts
from models.evaluation.metrics import Quality
from models.evaluation.predictions import decide, first_threshold, keep_argmax, probabilities
from models.evaluation.sliced_metrics import (
    Agreement,
    GoldRows,
    SliceCounts,
    count_by_slice,
    search_thresholds,
    whole_agreement,
)
from models.evaluation.threshold_search import SearchedThreshold
from models.rounds.date_layout import Window
from models.tasks import TaskKind, TaskSettings


class EvaluationKey(NamedTuple):
    """Whose decisions were counted, against which gold, on which part of the days."""

    model: str  # student, undistilled or teacher
    model_id: str
    gold: str
    part: str


@dataclass(frozen=True, slots=True)
class PartCounts:
    """The counts of a part of the texts.

    Attributes:
        slices: By day, scene and label.
        labels: By label, over all days and scenes together: a text that was said on two days is one distinct text.
        rows: By label, where annotators' answers were counted utterance by utterance.
    """

    slices: Sequence[SliceCounts] = ()
    labels: Mapping[str, Agreement] = field(default_factory=dict)
    rows: Mapping[str, LabelCounts] = field(default_factory=dict)

    @classmethod
    def of(cls, decisions: NDArray[np.bool_], evidence: GoldRows, labels: Sequence[str]) -> PartCounts:
        """Those of decisions (rows, labels)."""
        return cls(count_by_slice(decisions, evidence, labels), whole_agreement(decisions, evidence, labels))

    def by(self, weight: Weight) -> dict[str, LabelCounts]:
        """Each label's counts, by what counts once."""
        if weight == "row":
            return dict(self.rows)
        return {label: one.distinct if weight == "text" else one.counts for label, one in self.labels.items()}

    @property
    def qualities(self) -> dict[str, Quality]:
        """Each label's quality by occurrence; a label whose gold never holds is left out."""
        counts = self.by("occurrence")
        return {label: quality for label, one in counts.items() if (quality := one.quality) is not None}


Counts: TypeAlias = dict[EvaluationKey, PartCounts]
"""Counts of each model, gold and part."""


@dataclass(frozen=True, slots=True)
class ModelEvaluation:
    """A model's thresholds, in the labels' order, and its counts."""

    thresholds: tuple[SearchedThreshold, ...]
    counts: Counts

    def on_test_days(self, gold: str, part: str = "test") -> PartCounts:
        """The counts against one gold; none where it says nothing."""
        wanted = (counts for key, counts in self.counts.items() if (key.gold, key.part) == (gold, part))
        return next(wanted, PartCounts())


def evaluate_model(
    evaluation: EvaluationSet, task: TaskSettings, model: str, model_id: str, scores: NDArray[np.float32],
    min_positives: int = 1,
) -> ModelEvaluation:  # fmt: skip
    """Search a model's thresholds on the threshold days, and count its decisions against each gold on the test days.

    Args:
        evaluation: The texts.
        task: The task with the labels that are scored.
        model: What the model is called in `rounds`.
        model_id: What it is called in `evaluations`.
        scores: Its probabilities of the distinct texts, (texts, labels).
        min_positives: The fewest distinct positive texts that a threshold is searched with.
    """
    of_rows = scores[evaluation.text_of_row]
    targets = [settings.target for settings in task.labels.values()]
    fallback = first_threshold(task.kind, len(targets))
    before = ~evaluation.testing & evaluation.drawn
    thresholds = search_thresholds(
        keep_argmax(of_rows, task.kind)[before], evaluation.golds["teacher"].where(before), targets, fallback,
        min_positives,
    )  # fmt: skip
    decisions = decide(of_rows, np.array([one.value for one in thresholds], np.float32), task.kind)
    return ModelEvaluation(thresholds, count_decisions(evaluation, task, model, model_id, decisions, evaluation.golds))


def evaluate_teacher(evaluation: EvaluationSet, task: TaskSettings, teacher: RegisteredModel) -> Counts:
    """The teacher's counts against the annotators."""
    gold, humans = evaluation.decided or evaluation.golds["teacher"], evaluation.golds["human"]
    both = replace(humans, known=humans.known & gold.known)
    return count_decisions(evaluation, task, "teacher", teacher.model_id, gold.gold, {"human": both})


def count_decisions(
    evaluation: EvaluationSet, task: TaskSettings, model: str, model_id: str, decisions: NDArray[np.bool_],
    golds: Mapping[str, GoldRows],
) -> Counts:  # fmt: skip
    """A model's decisions (rows, labels) against each gold on each part of the days, where the gold says anything."""
    counts: Counts = {}
    for gold, evidence in golds.items():
        for part, rows in evaluation.parts.items():
            if not evidence.known[rows].any():
                continue
            of_part = PartCounts.of(decisions[rows], evidence.where(rows), task.label_names)
            if gold == "human" and evaluation.utterances is not None:
                by_row = evaluation.utterances.counts(decisions, rows, task.label_names)
                of_part = replace(of_part, rows=by_row)
            counts[EvaluationKey(model, model_id, gold, part)] = of_part
    return counts


def first_decisions(logits: NDArray[np.float32], kind: TaskKind) -> NDArray[np.bool_]:
    """What a model decides where no threshold was searched yet: (rows, labels)."""
    return decide(probabilities(logits, kind), first_threshold(kind, logits.shape[1]), kind)


def figures_of(counts: Counts) -> list[Figure]:
    """The averages of all counts, by each weight."""
    return [
        Figure(key.model, key.gold, key.part, weight, averaged)
        for key, of_part in counts.items()
        for weight in WEIGHTS
        for averaged in averages(of_part.by(weight))
    ]


def evaluation_rows(round_id: str, counts: Counts, run_id: str) -> list[dict[str, Any]]:
    """The rows of `evaluations`, one a day, scene and label."""
    return [
        evaluation_row(cut, round_id=round_id, model_id=key.model_id, gold=key.gold, purpose=key.part, run_id=run_id)
        for key, of_part in counts.items()
        for cut in of_part.slices
    ]


def threshold_row(
    model_id: str, label: str, scene: str, version: int, found: SearchedThreshold, window: Window,
    gold: str = "teacher",
) -> dict[str, Any]:  # fmt: skip
    """A row of `thresholds` with its evidence; what says who made it when is the writer's."""
    quality = quality_columns(found.counts.quality)
    low_high = ("low", "high")
    intervals = {f"precision_{end}": value for end, value in zip(low_high, found.precision_interval, strict=True)}
    intervals |= {f"recall_{end}": value for end, value in zip(low_high, found.recall_interval, strict=True)}
    return {
        "model_id": model_id, "label": label, "scene": scene, "version": version, "value": found.value,
        "method": found.method, "gold": gold, "first_dt": window.first, "last_dt": window.last,
        "positives": found.counts.positives, "precision": quality["precision"], "recall": quality["recall"],
        "worst_precision": found.worst_precision, "worst_recall": found.worst_recall, **intervals,
    }  # fmt: skip
