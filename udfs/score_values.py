"""Scores of a record in the shapes that people, language models and other platforms give them, by our labels."""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from models.tasks import TaskKind
from udfs.annotation_values import is_blank, label_names, listed, parsed_list, truth
from udfs.labelled_files import TOOLS_LISTS
from udfs.readers.record_spans import RejectedError
from udfs.score_settings import COLUMNS, OutsideScoreSettings, Scale, ScoreColumn

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII)
_LARGEST = 3.4e38
_UNKNOWN = "no such label is in the settings of the task; outside_scores.labels maps it, to null where it says nothing"
Record = Mapping[str, Any]
Scored = dict[str, float]


@dataclass(frozen=True, slots=True)
class ScoreRules:
    """What makes a record scores.

    Attributes:
        settings: The files' names for ours.
        task: Whose labels are scored.
        kind: The task's kind.
        labels: The task's, in their order.
        others: Labels of other tasks alone: what a record says of these is of no interest here.
        scale: What a score is.
    """

    settings: OutsideScoreSettings
    task: str
    kind: TaskKind
    labels: tuple[str, ...]
    others: frozenset[str]
    scale: Scale

    @property
    def asked(self) -> tuple[str, ...]:
        """The labels that an answer by names alone is about: all but those that are mapped to nothing."""
        silent = {name for name, ours in self.settings.labels.items() if ours is None}
        return tuple(label for label in self.labels if label not in silent)

    def named(self, record: Record) -> dict[ScoreColumn, Any]:
        """A record's values under our names; what no mapping mentions keeps its name."""
        values: dict[ScoreColumn, Any] = {
            ours: record.get(self.settings.columns.get(ours, ours)) for ours in COLUMNS
        }  # fmt: skip
        return values | dict(self.settings.constants)

    def label(self, name: Any) -> str | None:
        """Our label that a file's name stands for; None for what says nothing of this task.

        Raises:
            RejectedError: with `unknown_label`.
        """
        for spelt in label_names(name):
            if spelt in self.settings.labels:
                return self.settings.labels[spelt]
            if spelt in self.labels:
                return spelt
            if spelt in self.others:
                return None
        raise RejectedError("unknown_label", _UNKNOWN)

    def knows(self, name: str) -> bool:
        """Whether a file's name is a label's."""
        return any(spelt in self.settings.labels or spelt in self.labels for spelt in label_names(name))


def scored_labels(record: Record, rules: ScoreRules) -> tuple[Scored, bool]:
    """The scores of a record by our labels, and whether it names what holds and leaves out what does not.

    Raises:
        RejectedError: with `unknown_label`, `wrong_score`, `out_of_range` or `no_score`.
    """
    values = rules.named(record)
    if not is_blank(values["scores"]):
        return _of_cell(values["scores"], rules)
    columns = list(_columns(record, rules))
    if columns:  # they say more than the likeliest label, which may stand beside them
        return _scores(columns, rules), False
    own = values["label"]
    if is_blank(own) and "label" not in rules.settings.columns:
        own = next((record[name] for name in TOOLS_LISTS if not is_blank(record.get(name))), None)
    if is_blank(own):
        raise RejectedError("no_score", "no score of any label of the task")
    if not is_blank(values["score"]):
        return _scores([(own, values["score"])], rules), False
    return _of_cell(own, rules)


def _columns(record: Record, rules: ScoreRules) -> Iterator[tuple[Any, Any]]:
    """The columns that are called as labels, with their values."""
    taken = {*COLUMNS, *rules.settings.columns.values(), *TOOLS_LISTS} - {*rules.settings.labels}
    for name, value in record.items():
        if name not in taken and rules.knows(name) and not is_blank(value):
            yield name, value


def _of_cell(cell: Any, rules: ScoreRules) -> tuple[Scored, bool]:
    """The scores in a cell: an object of labels, a list of labels with scores, or the labels that hold."""
    if isinstance(cell, str):
        spelt = parsed_list(cell)
        cell = cell if spelt is None else spelt
    if isinstance(cell, Mapping) and {"label", "score"} <= {*cell}:
        cell = [cell]
    if isinstance(cell, Mapping) and "choices" not in cell:
        return _scores(cell.items(), rules), False
    if isinstance(cell, list) and cell and all(isinstance(one, Mapping) for one in cell):
        return _scores([(one.get("label"), one.get("score")) for one in cell], rules), False
    if isinstance(cell, list) and cell and all(isinstance(one, tuple | list) and len(one) == 2 for one in cell):
        return _scores(cell, rules), False
    return _of_names(cell, rules), True


def _of_names(cell: Any, rules: ScoreRules) -> Scored:
    """The labels that hold are 1, of labels that do not exclude each other all others 0."""
    if rules.scale == "logit":
        raise RejectedError(
            "wrong_score", "labels without scores, which have no logits; --scale probability takes them"
        )
    pairs = listed(cell, rules.settings.list_separator, rules.knows) or []
    holding = {label for name, _ in pairs if (label := rules.label(name)) is not None}
    if rules.kind != "multi_class":
        return {label: float(label in holding) for label in rules.asked}
    if len(holding) != 1:
        raise RejectedError("wrong_score", f"{len(holding)} classes of a text that has one")
    return dict.fromkeys(holding, 1.0)


def _scores(pairs: Collection[tuple[Any, Any]], rules: ScoreRules) -> Scored:
    found: Scored = {}
    for name, value in pairs:
        label = rules.label(name)
        if label is None or is_blank(value):
            continue
        score = number(value, rules.scale)
        if found.setdefault(label, score) != score:
            raise RejectedError("wrong_score", "two scores of one label")
    if not found:
        raise RejectedError("no_score", "no score of any label of the task")
    return found


def number(value: Any, scale: Scale) -> float:
    """A score as a number; yes is 1 and no is 0, where scores are probabilities.

    Raises:
        RejectedError: with `wrong_score`, or `out_of_range` for what is no probability.
    """
    found = None if isinstance(value, bool) else _number(value)
    if found is None:
        try:
            found = float(truth(value))
        except RejectedError:
            raise RejectedError("wrong_score", "a score is neither a finite number, nor yes or no") from None
        if scale == "logit":
            raise RejectedError("wrong_score", "yes or no has no logit; --scale probability takes it")
    if scale == "probability" and not 0 <= found <= 1:
        raise RejectedError("out_of_range", "a score outside 0 to 1 is no probability; --scale logit takes logits")
    return found


def _number(value: Any) -> float | None:
    """A number, or one that is spelt, that a column of float32 holds as a finite one; None for all else."""
    if isinstance(value, str):
        text = unicodedata.normalize("NFKC", value).strip().lower()
        value = float(text) if _NUMBER.fullmatch(text) else None
    if not isinstance(value, int | float | Decimal) or not math.isfinite(value):
        return None
    found = float(value)
    return found if abs(found) <= _LARGEST else None
