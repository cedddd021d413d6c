"""What a round's student is worth beside its undistilled baseline and its teacher, and what follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jobs.evaluation.evaluation_set import EvaluationSet
from jobs.evaluation.model_evaluation import (
    Counts,
    ModelEvaluation,
    evaluate_model,
    evaluate_teacher,
    metrics_of,
)
from jobs.rounds.round import Round
from jobs.rounds.student_training import TrainedRound
from models.evaluation.predictions import probabilities
from models.evaluation.sliced_metrics import by_label
from models.rounds import round_decision
from models.rounds.date_layout import RoundSettings
from models.rounds.round_decision import HUMAN_POSITIVES, Decision
from models.serving.engine import EngineKind
from models.serving.open_engine import engine_for

ABSENT = "false_positives_of_absent/"  # comes before a label's name


@dataclass(frozen=True, slots=True)
class RoundEvaluation:
    """A round's figures.

    Attributes:
        student: The student's thresholds and counts.
        counts: Those of the student, of the undistilled baseline, and of the teacher against annotators.
        row_counts: Rows of the threshold and test days, unseen ones, annotators' positives, and false positives of
            labels that the teacher finds nowhere.
    """

    student: ModelEvaluation
    counts: Counts
    row_counts: Mapping[str, int]

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The macro averages, as `rounds.metrics` has them."""
        return metrics_of(self.counts)


def evaluate_round(
    round_: Round, evaluation: EvaluationSet, trained: TrainedRound, engine: EngineKind, min_positives: int
) -> RoundEvaluation:
    """Thresholds from the threshold days, quality on the test days; for the student and for its baseline alike."""
    from models.students.student import predict

    task = round_.task
    opened = engine_for(trained.bundle, engine)
    column = opened.read(*evaluation.texts())
    logits = predict(trained.undistilled, opened.encode(column))
    baseline = probabilities(logits, task.kind).astype(np.float32)
    student = evaluate_model(evaluation, task, "student", trained.model_id, opened.probabilities(column), min_positives)
    undistilled = evaluate_model(
        evaluation, task, "undistilled", f"{trained.model_id}/undistilled", baseline, min_positives
    )
    counts = student.counts | undistilled.counts | evaluate_teacher(evaluation, task, round_.teacher)
    row_counts = {
        "train": trained.rows,
        "threshold": int((~evaluation.testing).sum()),
        "test": int(evaluation.testing.sum()),
        "test_unseen": int(evaluation.parts["test_unseen"].sum()),
    }
    positives = evaluation.human_positives(round_.labels)
    row_counts |= {f"{HUMAN_POSITIVES}{label}": count for label, count in positives.items()}
    row_counts |= {f"{ABSENT}{label}": count for label, count in false_positives_of_absent(student).items()}
    return RoundEvaluation(student, counts, row_counts)


def false_positives_of_absent(student: ModelEvaluation) -> dict[str, int]:
    """How often labels that the teacher finds nowhere on the test days are decided: no precision or F1 tells of it."""
    false: dict[str, int] = {}
    found = set(by_label(student.on_test_days("teacher")))
    for cut in student.on_test_days("teacher"):
        if cut.label not in found and cut.counts.fp:
            false[cut.label] = false.get(cut.label, 0) + cut.counts.fp
    return false


def decide(round_: Round, evaluation: RoundEvaluation, settings: RoundSettings) -> Decision:
    """What follows the round, from the student's agreement with its teacher on the test days."""
    qualities = by_label(evaluation.student.on_test_days("teacher"))
    targets = {label: one.target for label, one in round_.task.labels.items()}
    lost = round_decision.loses(evaluation.metrics, evaluation.row_counts, settings)
    weak = told_weak(round_, evaluation)
    if weak is not None and not settings.accept_weak_teacher:
        return Decision("stop", None, f"{weak}; a better teacher, or rounds.accept_weak_teacher, goes on")
    return round_decision.decide(round_.number, qualities, targets, settings, lost)


def told_weak(round_: Round, evaluation: RoundEvaluation) -> str | None:
    """That the teacher is no better than who learnt from annotators alone; None where it is, or nobody can tell.

    Only a round that samples the annotated rows can tell: in later ones the undistilled student learns from the
    teacher's decisions too.
    """
    figures = round_decision.weak_teacher(evaluation.metrics) if round_.sampling == "annotated" else None
    if figures is None:
        return None
    teacher, undistilled = figures
    return (
        f"{round_.teacher.model_id} reaches macro F1 {teacher:.3f} against annotators, the same student without it "
        f"{undistilled:.3f}"
    )


def summary(evaluation: RoundEvaluation) -> str:
    """The round in a few words: macro F1 of the student, on unseen texts, and of its baseline."""
    f1 = {(row["model"], row["part"]): row["f1"] for row in evaluation.metrics if row["gold"] == "teacher"}
    shown = {
        "F1": ("student", "test"),
        "unseen": ("student", "test_unseen"),
        "undistilled": ("undistilled", "test"),
    }
    return ", ".join(f"{name} {f1[key]:.3f}" for name, key in shown.items() if key in f1)
