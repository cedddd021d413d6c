"""A student with its thresholds on the gate days, and beside it, on the very same texts, the student in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any

import numpy as np

from jobs.evaluation.evaluation_set import EvaluationSet, decide_by_scene, read_days, student_probabilities
from jobs.evaluation.model_evaluation import Counts, EvaluationKey, PartCounts, evaluation_rows
from jobs.evaluation.scored_texts import days_with_texts
from jobs.evaluation.trusted_labels import untrusted_labels
from jobs.lake import registry, tables, threshold_queries
from jobs.lake.evaluation_rows import EPOCH
from jobs.lake.registry import RegisteredModel
from jobs.lake.store import Lake
from models.evaluation.sliced_metrics import GoldRows, agreement_by_label
from models.rounds.hash_draw import Draw
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
        drawn: How many distinct texts were drawn by hash of the gate days and scored.
        seen: How many of them a student learnt from on earlier days: these do not count.
        forgotten: Rounds whose rows maintenance removed, so that nobody knows what their students learnt from.
    """

    candidate: Agreements
    live: Agreements | None
    counts: Counts
    unscored: tuple[date, ...]
    drawn: int
    seen: int
    forgotten: tuple[str, ...]

    @property
    def notes(self) -> tuple[str, ...]:
        """What of the evidence does not count, or cannot be told."""
        seen = f"{self.seen} of {self.drawn} texts drawn of the gate days were learnt from on earlier days: not counted"
        gone = [f"the rows of {name} were removed: texts that it learnt from count" for name in self.forgotten]
        return (*([seen] if self.seen else []), *gone)

    def rows(self, name: str, run_id: str) -> list[dict[str, Any]]:
        """The rows of `evaluations`, under a name that stands for the candidate and its thresholds."""
        return evaluation_rows(name, self.counts, run_id)


def evaluate_gate(
    lake: Lake, candidate: Judged, live: Judged | None, declared: TaskSettings, draw: Draw, engine: EngineKind
) -> GateEvaluation:
    """Decide the texts of the gate days as `label` would, and count against the candidate's teacher and annotators.

    Labels that the teacher was not trusted with are held to annotators alone.

    What counts are the texts drawn by hash that neither student learnt from: texts come again day after day, and one
    that was learnt by heart says nothing of those to come. Both are judged on the same texts.

    Args:
        lake: The tables.
        candidate: Who is to go in force.
        live: Who is in force.
        declared: Their task.
        draw: The gate days, and what is drawn of them.
        engine: Which engine scores.
    """
    teacher = registry.model(lake, candidate.student.teacher_id or "")
    students = [one.student for one in (candidate, live) if one is not None]
    learnt = sorted({student.round_id for student in students if student.round_id is not None})
    evaluation = read_days(lake, teacher, declared, draw, learnt, untrusted_labels(lake, candidate.student))
    task = declared.of(teacher.labels)
    counts: Counts = {}
    agreements: dict[str, Agreements] = {}
    for purpose, judged in {"gate": candidate, "live": live}.items():
        if judged is not None:
            agreements[purpose] = _judge(lake, judged, task, evaluation, engine, purpose, counts)
    scored = {EPOCH + timedelta(int(day)) for day in np.unique(evaluation.golds["teacher"].days)}
    silent = [day for day in lake.days(tables.TEXTS) if day in draw.window and day not in scored]
    unscored = days_with_texts(lake, teacher.task, task, silent)
    drawn, seen = (
        len(np.unique(evaluation.text_of_row[rows])) for rows in (evaluation.drawn, evaluation.drawn & evaluation.seen)
    )
    return GateEvaluation(
        agreements["gate"], agreements.get("live"), counts, tuple(sorted(unscored)), drawn, seen,
        _forgotten(lake, learnt),
    )  # fmt: skip


def _forgotten(lake: Lake, rounds: Sequence[str]) -> tuple[str, ...]:
    """Those of the rounds of which no row is left."""
    if lake.catalog.left_to_spark(tables.ROUND_SAMPLES) is not None:
        return ()  # maintenance leaves such a table alone
    there = {file.partition["round_id"] for file in lake.catalog.arrow.files(tables.ROUND_SAMPLES)}
    return tuple(name for name in rounds if name not in there)


def _judge(
    lake: Lake, judged: Judged, task: TaskSettings, evaluation: EvaluationSet, engine: EngineKind, purpose: str,
    counts: Counts,
) -> Agreements:  # fmt: skip
    """A student's agreement with each gold; adds its counts by slice."""
    student, labels = judged.student, task.label_names
    scores = student_probabilities(lake, student, evaluation, engine)
    thresholds = threshold_queries.read(lake, student.model_id, judged.threshold_version)
    decisions, decided = decide_by_scene(scores, student, thresholds, evaluation.scenes, task.kind, labels)
    counted = evaluation.drawn & ~evaluation.seen
    golds: Mapping[str, GoldRows] = {
        gold: replace(evaluation.golds[gold], known=evaluation.golds[gold].known & decided).only(counted)
        for gold in GOLDS
    }
    for gold, rows in golds.items():
        if rows.known.any():
            key = EvaluationKey("student", student.model_id, gold, purpose)
            counts[key] = PartCounts.of(decisions, rows, labels)
    return {gold: agreement_by_label(decisions, rows, labels) for gold, rows in golds.items()}
