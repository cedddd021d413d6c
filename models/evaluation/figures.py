"""Figures of a model by their exact names: which average, over how many labels, of which texts, each weighing what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from models.evaluation.metrics import Counts, Quality, macro

Average = Literal["macro", "micro", "positives"]
Weight = Literal["occurrence", "text", "row"]
WEIGHTS: tuple[Weight, ...] = get_args(Weight)
NAMES: Mapping[str, str] = {"macro": "macro F1", "micro": "micro F1", "positives": "F1 of positives"}


@dataclass(frozen=True, slots=True)
class Averaged:
    """An average over labels.

    Attributes:
        average: `macro`, the mean of the labels' measures; `micro`, those of all labels' decisions counted together;
            `positives`, those of a task's only label, which are no average.
        labels: How many labels are in it.
        left_out: How many are not: of the macro average those whose gold holds nowhere, of the micro average those of
            which the gold says nothing.
        quality: The measures.
    """

    average: Average
    labels: int
    left_out: int
    quality: Quality


@dataclass(frozen=True, slots=True)
class Figure:
    """An average of a model's decisions against a gold on a part of the texts.

    Attributes:
        model: `student`, `undistilled` or `teacher`.
        gold: `teacher`, `human` or `live`.
        part: Of the texts.
        weight: What counts once: each `occurrence`, each distinct `text`, or each annotated `row` of raw texts.
        averaged: The average. Of a round of an earlier version it is a macro average over nobody knows how many labels.
    """

    model: str
    gold: str
    part: str
    weight: Weight
    averaged: Averaged

    @property
    def f1(self) -> float:
        """The F1."""
        return self.averaged.quality.f1

    def as_row(self) -> dict[str, Any]:
        """As `rounds.figures` has it."""
        quality = self.averaged.quality
        return {
            "model": self.model, "gold": self.gold, "part": self.part, "weight": self.weight,
            "average": self.averaged.average, "labels": self.averaged.labels, "labels_left_out": self.averaged.left_out,
            "precision": quality.precision, "recall": quality.recall, "f1": quality.f1,
        }  # fmt: skip


def averages(counts: Mapping[str, Counts]) -> list[Averaged]:
    """The averages over a task's labels; none where the gold holds nowhere.

    Args:
        counts: Of each label of the task, zeros where the gold says nothing of it.
    """
    qualities = [quality for one in counts.values() if (quality := one.quality) is not None]
    average = macro(qualities)
    if average is None:
        return []
    if len(counts) == 1:
        return [Averaged("positives", 1, 0, average)]
    whole = sum(counts.values(), Counts(0, 0, 0, 0))
    known = sum(one.tp + one.fp + one.fn + one.tn > 0 for one in counts.values())
    assert whole.quality is not None  # a label has positives, so all together have
    return [
        Averaged("macro", len(qualities), len(counts) - len(qualities), average),
        Averaged("micro", known, len(counts) - known, whole.quality),
    ]


def figures_of(row: Mapping[str, Any]) -> list[Figure]:
    """The figures of a row of `rounds`; of an earlier version's the macro averages that it has, by occurrence."""
    if row.get("figures") is None:
        return [_of_metric(metric) for metric in row["metrics"]]
    return [
        Figure(
            one["model"], one["gold"], one["part"], one["weight"],
            Averaged(one["average"], one["labels"], one["labels_left_out"], _quality(one)),
        )
        for one in row["figures"]
    ]  # fmt: skip


def _of_metric(metric: Mapping[str, Any]) -> Figure:
    averaged = Averaged("macro", 0, 0, _quality(metric))
    return Figure(metric["model"], metric["gold"], metric["part"], "occurrence", averaged)


def _quality(row: Mapping[str, Any]) -> Quality:
    return Quality(row["precision"], row["recall"], row["f1"])


def averaged(
    figures: Iterable[Figure], model: str, gold: str, part: str, average: Average, weight: Weight = "occurrence"
) -> Figure | None:
    """A model's average of one name; None where there is none."""
    wanted = (model, gold, part, weight, average)
    return next(
        (one for one in figures if (one.model, one.gold, one.part, one.weight, one.averaged.average) == wanted), None
    )


def headline(
    figures: Sequence[Figure], model: str, gold: str, part: str, weight: Weight = "occurrence"
) -> Figure | None:
    """A model's macro average, or of a task's only label its own measures; None where there is none."""
    macro_average = averaged(figures, model, gold, part, "macro", weight)
    return macro_average or averaged(figures, model, gold, part, "positives", weight)


def named(figure: Figure) -> str:
    """What a figure is called, with the labels that are left out of it."""
    averaged = figure.averaged
    name = NAMES[averaged.average]
    if not averaged.left_out:
        return name
    return f"{name} over {averaged.labels} of {averaged.labels + averaged.left_out} labels"
