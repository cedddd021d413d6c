"""Whether a student may be put in force, from its decisions on the gate days: label by label, day by day.

The gate judges what would decide labels from then on: the student with the thresholds that go in force with it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal, TypeAlias

from pydantic import Field, PositiveInt

from models.evaluation.figures import NAMES
from models.evaluation.metrics import Quality, macro, wilson
from models.evaluation.sliced_metrics import Agreement, LabelAgreement
from models.settings_base import Frozen, Share
from models.tasks import Target

Agreements: TypeAlias = Mapping[str, Mapping[str, LabelAgreement]]
"""By gold (`teacher`, `human`), then by label."""

Outcome = Literal["reached", "missed", "rare"]
_EPOCH = date(1970, 1, 1)


class GateSettings(Frozen):
    """What a student must show on the gate days before `promote` puts it in force."""

    figure: Literal["value", "lower_bound"] = Field(
        "value",
        description="What must reach a label's target: precision and recall themselves, or the lower bounds of their "
        "95% Wilson intervals, by distinct texts.",
    )
    min_day_positives: PositiveInt = Field(
        50,
        description="A day with fewer distinct positive texts of a label says too little of it alone; the label is "
        "judged over all gate days together then. Of 50, a label that is truly ten points above a target of 0.8 misses "
        "it by chance on one of seven days once in eight times; of 20, once in two.",
    )
    min_positives: PositiveInt = Field(
        20, description="With fewer distinct positive texts on all gate days together a label is too rare to judge."
    )
    rare: Literal["withhold", "accept"] = Field(
        "withhold",
        description="What becomes of a label that is not in force and has too few positives on all gate days together.",
    )
    margin: Share = Field(
        0.02,
        description="How far the macro F1 may lie below that of the student in force, on the same texts, over the "
        "labels of both.",
    )


@dataclass(frozen=True, slots=True)
class LabelVerdict:
    """Whether a label reaches its target on the gate days, or is too rare to tell; and why not, with the figures."""

    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True, slots=True)
class GateDecision:
    """What a promotion may put in force.

    Attributes:
        withheld: The labels that must not be decided, sorted.
        refusals: Why nothing may go in force; empty: it may.
        notes: Why labels are withheld, and which were too rare to judge.
    """

    withheld: tuple[str, ...]
    refusals: tuple[str, ...]
    notes: tuple[str, ...]


def judge_label(label: str, agreements: Agreements, target: Target, settings: GateSettings) -> LabelVerdict:
    """A label's verdict: against the teacher's gold, and against annotators where they said enough.

    Each day with `min_day_positives` distinct positive texts must reach the target. Where one has fewer, the gate days
    together must. Annotators with fewer than `min_positives` on all days together say nothing of the label; the teacher
    with fewer makes it rare.
    """
    misses = []
    for gold, labels in agreements.items():
        agreement = labels.get(label)
        enough = agreement is not None and agreement.whole.distinct.positives >= settings.min_positives
        if agreement is None or not enough:
            if gold == "teacher":
                return LabelVerdict("rare", _rare(label, agreement, settings))
            continue
        misses += [f"{label}{where} against the gold `{gold}`" for where in _misses(agreement, target, settings)]
    return LabelVerdict("missed", "; ".join(misses)) if misses else LabelVerdict("reached")


def _misses(agreement: LabelAgreement, target: Target, settings: GateSettings) -> list[str]:
    """The days, or all of them together, whose figures are below the target."""
    rich = {day: one for day, one in agreement.daily.items() if one.distinct.positives >= settings.min_day_positives}
    judged = {f" on {_EPOCH + timedelta(day)}": one for day, one in sorted(rich.items())}
    if len(rich) < len(agreement.daily):
        judged[" over the gate days together"] = agreement.whole
    found = [f"{where}: {short}" for where, one in judged.items() if (short := _shortfall(one, target, settings))]
    return found if len(found) < 3 else [found[0], f" on {len(found) - 1} other days too (table evaluations)"]


def _shortfall(agreement: Agreement, target: Target, settings: GateSettings) -> str | None:
    """The figures of one day or of all together, where one is below its target."""
    precision, recall = _figures(agreement, settings)
    if precision >= target.precision and recall >= target.recall:
        return None
    bound = "at least " if settings.figure == "lower_bound" else ""
    return (
        f"precision {bound}{precision:.3f} (target {target.precision:g}), recall {bound}{recall:.3f} (target "
        f"{target.recall:g}), {agreement.distinct.positives} positive texts"
    )


def _figures(agreement: Agreement, settings: GateSettings) -> tuple[float, float]:
    if settings.figure == "lower_bound":
        counts = agreement.distinct
        return wilson(counts.tp, counts.tp + counts.fp)[0], wilson(counts.tp, counts.positives)[0]
    quality = agreement.counts.quality
    return (quality.precision, quality.recall) if quality else (0.0, 0.0)


def _rare(label: str, agreement: LabelAgreement | None, settings: GateSettings) -> str:
    positives = agreement.whole.distinct.positives if agreement else 0
    # Where the gold holds nowhere no quality tells of false positives, so they are told here.
    false = f", {agreement.whole.counts.fp} false positives" if agreement and agreement.whole.counts.fp else ""
    return (
        f"{label} is too rare to judge: {positives} positive texts on the gate days{false} (gate.min_positives "
        f"{settings.min_positives})"
    )


def worse_than_live(
    candidate: Agreements, live: Agreements, labels: Collection[str], settings: GateSettings
) -> str | None:
    """Why a student is worse than the one in force on the same texts; None where it is not by more than the margin.

    Args:
        candidate: The student's agreement with each gold.
        live: That of the student in force, on the same rows.
        labels: Those that both decide.
        settings: The margin, and how many positives a label must have to be compared.
    """
    for gold, own in candidate.items():
        others = live.get(gold, {})
        enough = [
            label for label in labels
            if label in own and label in others and own[label].whole.distinct.positives >= settings.min_positives
        ]  # fmt: skip
        f1, live_f1 = _macro_f1(own, enough), _macro_f1(others, enough)
        if f1 is not None and live_f1 is not None and f1 < live_f1 - settings.margin:
            name = NAMES["positives" if len(labels) == 1 else "macro"]
            some = f" over {len(enough)} of {len(labels)} labels" if len(enough) < len(labels) else ""
            return (
                f"{name}{some} {f1:.3f} against the gold `{gold}` on the gate days is below the {live_f1:.3f} of the "
                f"student in force by more than {settings.margin:g} (gate.margin)"
            )
    return None


def _macro_f1(agreements: Mapping[str, LabelAgreement], labels: Collection[str]) -> float | None:
    qualities: list[Quality] = [
        quality for label in labels if (quality := agreements[label].whole.counts.quality) is not None
    ]
    average = macro(qualities)
    return average.f1 if average else None


def decide(
    verdicts: Mapping[str, LabelVerdict], in_force: Collection[str], by_hand: Collection[str], worse: str | None,
    settings: GateSettings,
) -> GateDecision:  # fmt: skip
    """What may go in force.

    A label that is not in force yet is withheld where it misses its target (or, as set, is too rare to judge). One that
    is in force is never dropped in silence: where it misses its target nothing goes in force, unless it was named.

    Args:
        verdicts: Of each label that the student decides.
        in_force: The labels that the student in force decides; empty on a task's first promotion.
        by_hand: The labels that were named to be withheld.
        worse: Why the student is worse than the one in force; None if it is not.
        settings: What becomes of rare labels.
    """
    withheld, refusals, notes = set(by_hand) & set(verdicts), [worse] if worse else [], []
    gone = sorted(set(in_force) - set(verdicts) - set(by_hand))
    if gone:
        refusals.append(f"it does not know {', '.join(gone)}, which the student in force decides")
    for label, verdict in verdicts.items():
        if label in withheld or verdict.outcome == "reached":
            continue
        fatal = verdict.outcome == "missed" or settings.rare == "withhold"
        if label not in in_force and fatal:
            withheld.add(label)
        elif verdict.outcome == "missed":
            refusals.append(verdict.reason)
            continue
        notes.append(f"{verdict.reason}{'; withheld' if label in withheld else ''}")
    if len(withheld) == len(verdicts) and not refusals:
        refusals += [f"no label is left to decide: {'; '.join(notes) or 'all are withheld'}"]
    return GateDecision(tuple(sorted(withheld)), tuple(refusals), tuple(notes))
