"""The days of a round: disjoint windows for training, thresholds, test and gate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import median
from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from models.errors import DataError
from models.settings_base import Frozen, Share

Part = Literal["train", "threshold", "test", "gate"]
PARTS: tuple[Part, ...] = ("train", "threshold", "test", "gate")
Sampling = Literal["annotated", "random"]
"""The strategies that draw a round's rows (`jobs/rounds/sampling.py`)."""
ANNOTATED: Sampling = "annotated"
RANDOM: Sampling = "random"
_WEEK, _TWO_WEEKS = 7, 14


class RoundSettings(Frozen):
    """How rounds are laid out and how many there are."""

    seed: int = Field(1, description="Of everything that is drawn or trained.")
    rounds: PositiveInt = Field(2, description="The most rounds under one teacher.")
    sampling: Annotated[tuple[Sampling, ...], Field(min_length=1)] = Field(
        ("annotated", "random"),
        description="How the rows of round 1, of round 2 and so on are drawn; the last one draws those of later rounds "
        "too. `annotated`: the teacher's fine-tuning rows. `random`: these, and texts that the teacher scored.",
    )
    threshold_days: NonNegativeInt | None = Field(
        None,
        description="Days of the threshold search; 0: nothing is searched, every label keeps its first threshold. "
        "`null`: a fifth of the days with texts, rounded down, at most 7.",
    )
    test_days: PositiveInt | None = Field(
        None, description="Days of the test. `null`: a fifth of the days with texts, at least 1 and at most 7."
    )
    gate_days: NonNegativeInt | None = Field(
        None,
        description="The most recent days, which promotion looks at; 0: it looks at the test days. `null`: as for "
        "`threshold_days`. So of a training and a test file, each one day, the later is the test.",
    )
    accept_weak_teacher: bool = Field(
        False,
        description="Whether the teacher teaches every label, whatever annotators say. Otherwise it teaches a label as "
        "far as they agree with it more than with a student that learnt from them alone (table `label_trust`), and "
        "where they never do the student learns without it: whoever learns from a weak teacher copies its mistakes.",
    )
    min_train_days: PositiveInt | None = Field(
        None,
        description="The fewest days of training. `null`: two fifths of the days with texts, at least 1, at most 14, "
        "so that the week's rhythm repeats.",
    )
    train_days: PositiveInt | None = Field(
        None, description="The most days of training, the latest ones; `null`: all that there are."
    )
    min_day_share: Share = Field(
        0.02,
        description="A day with a smaller share than this of the median day's texts is not laid out: a clock that was "
        "wrong for a few texts would move the windows.",
    )
    random_texts: PositiveInt = Field(24_000, description="Rows that `random` draws by hash.")
    undistilled_margin: Share = Field(
        0.01,
        description="A student whose macro F1 lies further below that of the same student without distillation is not "
        "promoted, and `pingti promote` ends with code 3. It is looked at against the teacher and against annotators, "
        "on texts of the test days that training has not seen; of annotators with a margin of at least two standard "
        "errors. The margin is never less than what seeds alone move (`seed_deviation`).",
    )
    seed_deviation: Share = Field(
        0.014,
        description="The standard deviation of a student's macro F1 over training seeds, as `pingti compare --seeds "
        "1,2,3` measures it: two trainings of one student differ by more than 1.645 √2 times this once in twenty, and "
        "so does a scheme that is worth nothing.",
    )

    def sampling_of(self, number: int) -> Sampling:
        """The strategy of round `number`, counted from 1."""
        return self.sampling[min(number, len(self.sampling)) - 1]


@dataclass(frozen=True, slots=True)
class Window:
    """Days from `first` to `last`, both inside; a window of no days ends the day before it begins."""

    first: date
    last: date

    def __bool__(self) -> bool:
        return self.first <= self.last

    def __contains__(self, day: date) -> bool:
        return self.first <= day <= self.last


@dataclass(frozen=True, slots=True)
class DateLayout:
    """Disjoint windows of days: train, then threshold, then test, then gate (the most recent)."""

    train: Window
    threshold: Window
    test: Window
    gate: Window

    def window(self, part: Part) -> Window:
        """The window of one part."""
        window: Window = getattr(self, part)
        return window


def lay_out(texts: Mapping[date, int | None], settings: RoundSettings) -> DateLayout:
    """Cut the days that have texts into the four windows, the most recent for the gate.

    `texts` is how many each day has, None where that is not known. Days with too few are passed over
    (`rounds.min_day_share`).

    The test is apart from training in time: it also tests whether what was learnt still holds later (the
    isolation in time that the published method asks for).

    Raises:
        DataError: where fewer days are there than the four windows need.
    """
    known = _full_days(texts, settings.min_day_share)
    sizes = _sizes(len(known), settings)
    held_out = sum(sizes.values())
    least = min(_TWO_WEEKS, max(1, 2 * len(known) // 5)) if settings.min_train_days is None else settings.min_train_days
    if len(known) < least + held_out:
        raise DataError(
            f"date layout: got {len(known)} days with texts, expected at least {least + held_out} "
            f"(rounds.min_train_days {least} + threshold, test and gate {held_out}); "
            "ingest more days or shorten the windows in the settings"
        )
    windows: dict[str, Window] = {}
    end = len(known)
    for part, days_of_part in sizes.items():
        start = end - days_of_part
        after = known[end - 1] + timedelta(1)
        windows[part] = Window(known[start], known[end - 1]) if days_of_part else Window(after, known[end - 1])
        end = start
    start = 0 if settings.train_days is None else max(0, end - settings.train_days)
    return DateLayout(train=Window(known[start], known[end - 1]), **windows)


def _sizes(days: int, settings: RoundSettings) -> dict[str, int]:
    """The days of the gate, test and threshold windows, the most recent first.

    What the settings leave open grows with the days that there are, up to a week each: a labelled set of a training and
    a test day has its test, and a platform its windows, before there are five weeks.
    """
    fifth = min(_WEEK, days // 5)
    wanted = {"gate": settings.gate_days, "test": settings.test_days, "threshold": settings.threshold_days}
    open_sizes = {"gate": fifth, "test": max(1, fifth), "threshold": fifth}
    return {part: open_sizes[part] if size is None else size for part, size in wanted.items()}


def _full_days(texts: Mapping[date, int | None], least_share: float) -> list[date]:
    """The days with at least a share of the median day's texts, rising."""
    counts = [count for count in texts.values() if count]
    least = least_share * median(counts) if counts else 0
    return sorted(day for day, count in texts.items() if count is None or (count and count >= least))
