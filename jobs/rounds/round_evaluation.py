"""What a round's student is worth beside its undistilled baseline and its teacher, and what follows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from jobs.evaluation.evaluation_set import EvaluationSet
from jobs.evaluation.model_evaluation import (
    Counts,
    ModelEvaluation,
    evaluate_model,
    evaluate_teacher,
    figures_of,
)
from jobs.rounds.round import Round
from jobs.rounds.student_training import TrainedRound
from models.evaluation.figures import Figure, averaged, headline, named
from models.evaluation.predictions import probabilities
from models.rounds import round_decision
from models.rounds.date_layout import RoundSettings
from models.rounds.round_decision import CHOSEN_HUMAN_POSITIVES, HUMAN_POSITIVES, UNSEEN_POSITIVES, Decision
from models.serving.engine import EngineKind
from models.serving.open_engine import engine_for

ABSENT = "false_positives_of_absent/"  # comes before a label's name


@dataclass(frozen=True, slots=True)
class RoundEvaluation:
    """A round's figures.

    Attributes:
        student: The student's thresholds and counts.
        counts: Those of the student, of the undistilled baseline, and of the teacher against annotators.
        row_counts: Rows of the threshold days and of each part of the test days, positives on unseen texts, and false
            positives of labels that the teacher finds nowhere.
        min_positives: With fewer unseen positive texts a label is judged on seen ones too.
    """

    student: ModelEvaluation
    counts: Counts
    row_counts: Mapping[str, int]
    min_positives: int

    @property
    def figures(self) -> list[Figure]:
        """The averages, by what counts once."""
        return figures_of(self.counts)

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """As `rounds.metrics` has them: the figures by occurrence, without micro averages."""
        shown = (one for one in self.figures if one.weight == "occurrence" and one.averaged.average != "micro")
        names = ("model", "gold", "part", "precision", "recall", "f1")
        return [{name: one.as_row()[name] for name in names} for one in shown]


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
    row_counts = {"train": trained.rows, "threshold": int((~evaluation.testing & evaluation.drawn).sum())}
    row_counts |= {part: int(rows.sum()) for part, rows in evaluation.parts.items()}
    unseen = student.on_test_days("teacher", "test_unseen").labels.values()
    row_counts[UNSEEN_POSITIVES] = sum(one.distinct.positives for one in unseen)
    for prefix, part in ((HUMAN_POSITIVES, "test_unseen"), (CHOSEN_HUMAN_POSITIVES, "test_chosen")):
        positives = evaluation.human_positives(round_.labels, part)
        row_counts |= {f"{prefix}{label}": count for label, count in positives.items()}
    row_counts |= {f"{ABSENT}{label}": count for label, count in false_positives_of_absent(student).items()}
    return RoundEvaluation(student, counts, row_counts, min_positives)


def false_positives_of_absent(student: ModelEvaluation) -> dict[str, int]:
    """How often labels that the teacher finds nowhere on the test days are decided: no precision or F1 tells of it."""
    counts = student.on_test_days("teacher").by("occurrence")
    return {label: one.fp for label, one in counts.items() if not one.positives and one.fp}


def decide(round_: Round, evaluation: RoundEvaluation, settings: RoundSettings) -> Decision:
    """What follows the round, from the student's agreement with its teacher on unseen texts of the test days."""
    unseen, every = (evaluation.student.on_test_days("teacher", part).labels for part in ("test_unseen", "test"))
    qualities, on_all = round_decision.qualities_to_judge(unseen, every, evaluation.min_positives)
    targets = {label: one.target for label, one in round_.task.labels.items()}
    lost = round_decision.loses(evaluation.figures, evaluation.row_counts, settings)
    weak = told_weak(round_, evaluation)
    if weak is not None and not round_.trust and not settings.accept_weak_teacher:
        return Decision("stop", None, f"{weak}; a better teacher, or rounds.accept_weak_teacher, goes on")
    decision = round_decision.decide(round_.number, qualities, targets, settings, lost, on_all)
    if round_.is_undistilled and decision.action == "go_on":
        return Decision("stop", None, f"{decision.reason}; the teacher is trusted with no label: annotate more")
    return decision


def told_weak(round_: Round, evaluation: RoundEvaluation) -> str | None:
    """That the teacher is no better than who learnt from annotators alone; None where it is, or nobody can tell.

    Only a round that samples the annotated rows can tell: in later ones the undistilled student learns from the
    teacher's decisions too.
    """
    figures = round_decision.weak_teacher(evaluation.figures) if round_.sampling == "annotated" else None
    if figures is None:
        return None
    teacher, undistilled = figures
    return (
        f"{round_.teacher.model_id} reaches {named(teacher)} {teacher.f1:.3f} against annotators, the same student "
        f"without it {undistilled.f1:.3f}"
    )


def summary(evaluation: RoundEvaluation) -> str:
    """The round in a few words: against annotators where there are any, and against its teacher."""
    golds = {"annotators": "human", "its teacher": "teacher"}
    told = (f"against {name}: {line}" for name, gold in golds.items() if (line := _line(evaluation.figures, gold)))
    return "; ".join(told)


def _line(figures: Sequence[Figure], gold: str) -> str:
    """The student's figures against one gold: unseen texts first, by occurrence; then what they are to be read with."""
    part = next((part for part in ("test_unseen", "test") if headline(figures, "student", gold, part)), None)
    first = headline(figures, "student", gold, part) if part else None
    if part is None or first is None:
        return ""
    beside = {
        "by text": headline(figures, "student", gold, part, "text"),
        "by annotated row": headline(figures, "student", gold, part, "row"),
        "micro": averaged(figures, "student", gold, part, "micro"),
        "seen and unseen": headline(figures, "student", gold, "test") if part != "test" else None,
        "teacher": headline(figures, "teacher", gold, part),
        "undistilled": headline(figures, "undistilled", gold, part),
    }
    told = ", ".join(f"{name} {figure.f1:.3f}" for name, figure in beside.items() if figure is not None)
    texts = "unseen texts" if part == "test_unseen" else "texts seen in training"
    return f"{named(first)} {first.f1:.3f} on {texts} by occurrence ({told})"
