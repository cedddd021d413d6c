"""The gate of a promotion: a candidate judged on the gate days, and its figures kept in `evaluations`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow.compute as pc

from jobs.evaluation.gate_evaluation import GateEvaluation, Judged, evaluate_gate
from jobs.lake import registry, tables, text_queries
from jobs.lake.commits import Scope
from jobs.lake.promotions import Promotion
from jobs.lake.registry import RegisteredModel
from jobs.runtime.context import Context
from models.rounds import promotion_gate
from models.rounds.promotion_gate import GateDecision
from models.tasks import TaskSettings


@dataclass(frozen=True, slots=True)
class Candidate:
    """A student with a version of its thresholds that may go in force, and what is in force now.

    Attributes:
        promotion: What would go in force; it withholds what was named by hand.
        student: Its model.
        live: What is in force for the task.
    """

    promotion: Promotion
    student: RegisteredModel
    live: Promotion | None


def judge(context: Context, candidate: Candidate) -> tuple[Promotion, GateDecision]:
    """What would go in force of a candidate, and what the gate says; its figures are rows of `evaluations` then.

    The gate days are the most recent whole days; with `rounds.gate_days: 0` the test days stand in for them.
    """
    lake, settings = context.lake, context.settings
    declared = settings.task(candidate.promotion.task)
    layout = text_queries.date_layout(lake, settings.rounds)
    live = registry.model(lake, candidate.live.model_id) if candidate.live else None
    evaluation = evaluate_gate(
        lake, Judged(candidate.student, candidate.promotion.threshold_version),
        Judged(live, candidate.live.threshold_version) if live and candidate.live else None,
        declared, settings.draw(layout, "gate" if layout.gate else "test"), settings.scoring.engine,
    )  # fmt: skip
    _keep(context, candidate.promotion, evaluation)
    in_force = _in_force(candidate.live, live, declared)
    decision = _decide(context, candidate, evaluation, declared, in_force)
    return replace(candidate.promotion, withheld=decision.withheld), decision


def _in_force(live: Promotion | None, model: RegisteredModel | None, declared: TaskSettings) -> tuple[str, ...]:
    """The labels that are decided now, of those that the settings still declare."""
    if live is None or model is None:
        return ()
    return tuple(label for label in model.labels if label in declared.labels and label not in live.withheld)


def _decide(
    context: Context, candidate: Candidate, evaluation: GateEvaluation, declared: TaskSettings,
    in_force: Sequence[str],
) -> GateDecision:  # fmt: skip
    """The gate's decision; a day that cannot be judged lets nothing pass."""
    gate, by_hand = context.settings.gate, candidate.promotion.withheld
    labels = [label for label in candidate.student.labels if label in declared.labels]
    verdicts = {
        label: promotion_gate.judge_label(label, evaluation.candidate, declared.labels[label].target, gate)
        for label in labels
    }
    worse = None
    if evaluation.live is not None:
        both = [label for label in labels if label in in_force and label not in by_hand]
        worse = promotion_gate.worse_than_live(evaluation.candidate, evaluation.live, both, gate)
    decision = promotion_gate.decide(verdicts, in_force, by_hand, worse, gate)
    decision = replace(decision, notes=(*evaluation.notes, *decision.notes))
    if not evaluation.unscored:
        return decision
    days = ", ".join(map(str, evaluation.unscored))
    teacher = registry.model(context.lake, candidate.student.teacher_id or "")
    unscored = f"{teacher.model_id} scored no text of {days}; {teacher.how_to_score}"
    return replace(decision, refusals=(unscored, *decision.refusals))


def _keep(context: Context, promotion: Promotion, evaluation: GateEvaluation) -> None:
    """Put the figures in place of those of an earlier look at the same model and thresholds, where they differ."""
    name = f"gate/{promotion.model_id}/{promotion.threshold_version}"
    rows = evaluation.rows(name, context.run_id)
    before = context.lake.rows(tables.EVALUATIONS, where=pc.field("round_id") == name)
    if _figures(rows) != _figures(before):
        scope = Scope(column="round_id", values=(name,))
        context.lake.replace_rows(tables.EVALUATIONS, rows, context.stamp(), scope)


def _figures(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """The rows without what tells the run, to be compared."""
    return sorted(str(sorted((name, value) for name, value in row.items() if name != "run_id")) for row in rows)
