"""What follows a round, from its figures alone: promote, go on with a named sampling, or stop."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import sqrt
from typing import Any, Literal

from models.evaluation.metrics import Quality
from models.rounds.date_layout import RoundSettings
from models.tasks import Target

HUMAN_POSITIVES = "human_positives/"  # comes before a label's name


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows a round: promote its student, go on with a named sampling, or stop; and why."""

    action: Literal["promote", "go_on", "stop"]
    sampling: str | None
    reason: str


def decide(
    number: int, qualities: Mapping[str, Quality], targets: Mapping[str, Target], settings: RoundSettings,
    lost: str | None = None,
) -> Decision:  # fmt: skip
    """The next step after round `number`, from each label's quality on the test days.

    Promote when every label reaches its target; otherwise go on while rounds are left, else stop and leave the
    choice to `promote`. A label that is not among the qualities (no positive on the test days) has not reached its own.
    A student that lost to the same one without distillation (`loses`) is not promoted, whatever it reached.
    """
    short = [name for name, target in targets.items() if not _reached(qualities.get(name), target)]
    if not short and lost is None:
        return Decision("promote", None, "every label reaches its target on the test days")
    why = lost or f"below target on the test days: {', '.join(sorted(short))}"
    if number < settings.rounds:
        return Decision("go_on", settings.sampling_of(number + 1), why)
    reason = why if lost else f"still below target: {', '.join(sorted(short))}"
    return Decision("stop", None, f"after {number} rounds {reason}")


def loses(metrics: Iterable[Mapping[str, Any]], row_counts: Mapping[str, int], settings: RoundSettings) -> str | None:
    """Why a student must not be promoted: its macro F1 on the test days lies below its undistilled baseline's.

    It may lie below by noise.

    Each is one training of one seed: what seeds alone move is noise (`seed_margin`), and `undistilled_margin` is.
    Annotators label few texts, and some that training has seen, which are left out; two standard errors are noise too:
    of a share of n positives 1 / sqrt(n) at most, of the mean of labels as below.

    Args:
        metrics: Of a round: model, gold, part and f1.
        row_counts: Of a round; those that begin with `HUMAN_POSITIVES` say how many unseen texts of the test days
            have a label by the annotators.
        settings: Where the margin is.

    Returns:
        The reason, or None if the student may be promoted.
    """
    f1 = {(row["model"], row["gold"], row["part"]): row["f1"] for row in metrics}
    counts = [count for name, count in row_counts.items() if name.startswith(HUMAN_POSITIVES) and count]
    humans = sqrt(sum(1 / count for count in counts)) / len(counts) if counts else 1.0
    if ("student", "teacher", "test") not in f1 or ("undistilled", "teacher", "test") not in f1:
        if row_counts.get("test"):
            return None  # the teacher finds no positive there: both have nothing to find
        return "its teacher scored no text of the test days: `pingti score-teacher`, then `pingti distil`"
    noise = max(settings.undistilled_margin, seed_margin(settings.seed_deviation))
    for gold, part, margin in (("teacher", "test", noise), ("human", "test_unseen", max(noise, humans))):
        f1_distilled, f1_baseline = f1.get(("student", gold, part), 1.0), f1.get(("undistilled", gold, part), 0.0)
        if f1_distilled < f1_baseline - margin:
            return (
                f"macro F1 {f1_distilled:.3f} against the gold `{gold}` is below the {f1_baseline:.3f} of the same "
                f"student without distillation by more than {margin:.3f} (rounds.undistilled_margin "
                f"{settings.undistilled_margin:g}, rounds.seed_deviation {settings.seed_deviation:g})"
            )
    return None


def weak_teacher(metrics: Iterable[Mapping[str, Any]]) -> tuple[float, float] | None:
    """The macro F1 of a teacher and of the undistilled student, where the teacher does not reach that student's.

    Both learnt from the same annotated rows, and are held to annotators on texts of the test days that neither has
    seen. None where the teacher is better, or nobody annotated such texts.
    """
    f1 = {row["model"]: row["f1"] for row in metrics if (row["gold"], row["part"]) == ("human", "test_unseen")}
    teacher, undistilled = f1.get("teacher"), f1.get("undistilled")
    if teacher is None or undistilled is None or teacher > undistilled:
        return None
    return teacher, undistilled


def seed_margin(deviation: float) -> float:
    """By how much one of two equal students lies below the other in fewer than one training of twenty.

    Args:
        deviation: The standard deviation of one training over seeds; that of a difference is the square root of two
            times as large, and 1.645 of these leave one twentieth below.
    """
    return 1.645 * sqrt(2) * deviation


def _reached(quality: Quality | None, target: Target) -> bool:
    if quality is None:
        return False
    return quality.precision >= target.precision and quality.recall >= target.recall
