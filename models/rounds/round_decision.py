"""What follows a round, from its figures alone: promote, go on with a named sampling, or stop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal

from models.evaluation.figures import Figure, headline, named
from models.evaluation.metrics import Quality
from models.evaluation.sliced_metrics import Agreement
from models.rounds.date_layout import RoundSettings
from models.tasks import Target

HUMAN_POSITIVES = "human_positives/"  # comes before a label's name: distinct texts of `test_unseen`
CHOSEN_HUMAN_POSITIVES = "human_positives_chosen/"  # likewise of `test_chosen`
UNSEEN_POSITIVES = "test_unseen_positives"  # distinct texts of `test_unseen` of any label, by the teacher
FEWEST_UNSEEN = 20
"""With fewer unseen positive texts of all labels together, baselines are compared on seen and unseen texts."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows a round: promote its student, go on with a named sampling, or stop; and why."""

    action: Literal["promote", "go_on", "stop"]
    sampling: str | None
    reason: str


def qualities_to_judge(
    unseen: Mapping[str, Agreement], every: Mapping[str, Agreement], min_positives: int
) -> tuple[dict[str, Quality], tuple[str, ...]]:
    """Each label's quality on texts that training has not seen, and of which labels there are too few of these.

    Args:
        unseen: By label, over the unseen texts of the draw.
        every: By label, over all texts of the draw.
        min_positives: With fewer unseen distinct positive texts, a label is judged on all of the draw, if it has more.

    Returns:
        The qualities by occurrence, without labels that the gold never holds for; and the labels judged on all.
    """
    found: dict[str, Quality] = {}
    on_all = []
    for label in {**every, **unseen}:
        few, more = unseen.get(label), every.get(label)
        fewer = few.distinct.positives if few else 0
        judged = few
        if more is not None and fewer < min_positives and more.distinct.positives > fewer:
            judged = more
            on_all.append(label)
        quality = judged.counts.quality if judged else None
        if quality is not None:
            found[label] = quality
    return found, tuple(sorted(on_all))


def decide(
    number: int, qualities: Mapping[str, Quality], targets: Mapping[str, Target], settings: RoundSettings,
    lost: str | None = None, on_all: Sequence[str] = (),
) -> Decision:  # fmt: skip
    """The next step after round `number`, from each label's quality on unseen texts of the test days.

    Promote when every label reaches its target; otherwise go on while rounds are left, else stop and leave the
    choice to `promote`. A label that is not among the qualities (no positive on the test days) has not reached its own.
    A student that lost to the same one without distillation (`loses`) is not promoted, whatever it reached. `on_all`
    names the labels with too few unseen texts (`qualities_to_judge`), which the reason tells.
    """
    short = [name for name, target in targets.items() if not _reached(qualities.get(name), target)]
    judged = sorted({*on_all} & {*targets})
    told = f" (too few of {', '.join(judged)}: on texts seen in training too)" if judged else ""
    if not short and lost is None:
        return Decision("promote", None, f"every label reaches its target on unseen texts of the test days{told}")
    why = lost or f"below target on unseen texts of the test days: {', '.join(sorted(short))}{told}"
    if number < settings.rounds:
        return Decision("go_on", settings.sampling_of(number + 1), why)
    reason = why if lost else f"still below target: {', '.join(sorted(short))}{told}"
    return Decision("stop", None, f"after {number} rounds {reason}")


def loses(figures: Sequence[Figure], row_counts: Mapping[str, int], settings: RoundSettings) -> str | None:
    """Why a student must not be promoted: its F1 on the test days lies below its undistilled baseline's.

    Both are held to the teacher, and to annotators, on texts that training has not seen. With too few of these (fewer
    than `FEWEST_UNSEEN` positive ones) the teacher's are all that were drawn, which the reason says; where annotators
    labelled none that was drawn, those of theirs are taken that were scored for another reason.

    It may lie below by noise. Each is one training of one seed: what seeds alone move is noise (`seed_margin`), and
    `undistilled_margin` is. Annotators label few texts; two standard errors are noise too: of a share of n positives
    1 / sqrt(n) at most, of the mean of labels as below.

    Args:
        figures: Of a round.
        row_counts: Of a round; those that begin with `HUMAN_POSITIVES` or `CHOSEN_HUMAN_POSITIVES` say how many texts
            have a label by the annotators.
        settings: Where the margin is.

    Returns:
        The reason, or None if the student may be promoted.
    """
    few = row_counts.get(UNSEEN_POSITIVES, FEWEST_UNSEEN) < FEWEST_UNSEEN
    by_teacher = _beside(figures, "teacher", ("test",) if few else ("test_unseen", "test"))
    if by_teacher is None:
        if row_counts.get("test"):
            return None  # the teacher finds no positive there: both have nothing to find
        return "its teacher scored no text of the test days: `pingti score-teacher`, then `pingti distil`"
    noise = max(settings.undistilled_margin, seed_margin(settings.seed_deviation))
    by_humans = _beside(figures, "human", ("test_unseen", "test_chosen"))
    for pair in (by_teacher, by_humans):
        if pair is None:
            continue
        student, baseline = pair
        margin = max(noise, _human_noise(row_counts, student.part)) if pair is by_humans else noise
        if student.f1 < baseline.f1 - margin:
            return (
                f"{named(student)} {student.f1:.3f} against the gold `{student.gold}` on {_PARTS[student.part]} is "
                f"below the {baseline.f1:.3f} of the same student without distillation by more than {margin:.3f} "
                f"(rounds.undistilled_margin {settings.undistilled_margin:g}, rounds.seed_deviation "
                f"{settings.seed_deviation:g})"
            )
    return None


_PARTS = {
    "test_unseen": "unseen texts of the test days", "test": "texts of the test days, also seen ones",
    "test_chosen": "unseen texts of the test days that were not drawn by hash",
}  # fmt: skip


def _beside(
    figures: Sequence[Figure], gold: str, parts: Sequence[str], first: str = "student"
) -> tuple[Figure, Figure] | None:
    """A model's figure and the undistilled student's, on the first part that has both."""
    for part in parts:
        own, baseline = (headline(figures, model, gold, part) for model in (first, "undistilled"))
        if own is not None and baseline is not None:
            return own, baseline
    return None


def _human_noise(row_counts: Mapping[str, int], part: str) -> float:
    """Two standard errors of a mean over labels, at most; 1 where nobody counted."""
    prefix = CHOSEN_HUMAN_POSITIVES if part == "test_chosen" else HUMAN_POSITIVES
    counts = [count for name, count in row_counts.items() if name.startswith(prefix) and count]
    return sqrt(sum(1 / count for count in counts)) / len(counts) if counts else 1.0


def weak_teacher(figures: Sequence[Figure]) -> tuple[Figure, Figure] | None:
    """The figures of a teacher and of the undistilled student, where the teacher does not reach that student's.

    Both learnt from the same annotated rows, and are held to annotators on texts of the test days that neither has
    seen. None where the teacher is better, or nobody annotated such texts.
    """
    pair = _beside(figures, "human", ("test_unseen", "test_chosen"), "teacher")
    return None if pair is None or pair[0].f1 > pair[1].f1 else pair


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
