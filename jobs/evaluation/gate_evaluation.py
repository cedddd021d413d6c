"""A student with its thresholds on the gate days, and beside it, on the very same texts, the student in force."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import numpy as np

from jobs.evaluation.evaluation_set import EPOCH, EvaluationSet, decide_by_scene, read_days, student_probabilities
from jobs.evaluation.model_evaluation import Counts, EvaluationKey, evaluation_rows
from jobs.evaluation.scored_texts import days_with_texts
from jobs.lake import registry, tables, threshold_queries
from jobs.lake.registry import RegisteredModel
from jobs.lake.store import Lake
from models.evaluation.sliced_metrics import GoldRows, agreement_by_label, count_by_slice
from models.rounds.date_layout import Window
from models.rounds.promotion_gate import Agreements
from models.serving.engine import EngineKind
from models.tasks import TaskSettings

GOLDS = ("teacher", "human")


@dataclass(frozen=True, slots=True)
class Judged:
    """A student and the version of its thresholds by which it decides."""

    student: RegisteredModel
    threshold_version: int


@dataclass(frozen=True, slots=True)
class GateEvaluation:
    """What a candidate and the student in force come to on the gate days.

    Attributes:
        candidate: The candidate's agreement with each gold, label by label.
        live: That of the student in force; None where there is none.
        counts: Both by day, scene and label: of the purposes `gate` and `live`.
        unscored: Gate days with texts of the task none of which the teacher scored.
    """

    candidate: Agreements
    live: Agreements | None
    counts: Counts
    unscored: tuple[date, ...]

    def rows(self, name: str, run_id: str) -> list[dict[str, Any]]:
        """The rows of `evaluations`, under a name that stands for the candidate and its thresholds."""
        return evaluation_rows(name, self.counts, run_id)


def evaluate_gate(
    lake: Lake, candidate: Judged, live: Judged | None, declared: TaskSettings, window: Window, engine: EngineKind
) -> GateEvaluation:
    """Decide the texts of the gate days as `label` would, and count against the candidate's teacher and annotators.

    Args:
        lake: The tables.
        candidate: Who is to go in force.
        live: Who is in force.
        declared: Their task.
        window: The gate days.
        engine: Which engine scores.
    """
    teacher = registry.model(lake, candidate.student.teacher_id or "")
    evaluation = read_days(lake, teacher, declared, window)
    task = declared.of(teacher.labels)
    counts: Counts = {}
    agreements: dict[str, Agreements] = {}
    for purpose, judged in {"gate": candidate, "live": live}.items():
        if judged is not None:
            agreements[purpose] = _judge(lake, judged, task, evaluation, engine, purpose, counts)
    scored = {EPOCH + timedelta(int(day)) for day in np.unique(evaluation.golds["teacher"].days)}
    silent = [day for day in lake.days(tables.TEXTS) if day in window and day not in scored]
    unscored = days_with_texts(lake, teacher.task, task, silent)
    return GateEvaluation(agreements["gate"], agreements.get("live"), counts, tuple(sorted(unscored)))


def _judge(
    lake: Lake, judged: Judged, task: TaskSettings, evaluation: EvaluationSet, engine: EngineKind, purpose: str,
    counts: Counts,
) -> Agreements:  # fmt: skip
    """A student's agreement with each gold; adds its counts by slice."""
    student, labels = judged.student, task.label_names
    scores = student_probabilities(lake, student, evaluation, engine)
    thresholds = threshold_queries.read(lake, student.model_id, judged.threshold_version)
    decisions, decided = decide_by_scene(scores, student, thresholds, evaluation.scenes, task.kind, labels)
    golds: Mapping[str, GoldRows] = {
        gold: replace(evaluation.golds[gold], known=evaluation.golds[gold].known & decided) for gold in GOLDS
    }
    for gold, rows in golds.items():
        if rows.known.any():
            key = EvaluationKey("student", student.model_id, gold, purpose)
            counts[key] = count_by_slice(decisions, rows, labels)
    return {gold: agreement_by_label(decisions, rows, labels) for gold, rows in golds.items()}
