"""What annotators say of the texts of some days: by the vote on each text, and utterance by utterance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from jobs.evaluation.scored_texts import annotators_votes
from jobs.lake.store import Lake
from models.evaluation.metrics import Counts, count
from models.evaluation.predictions import complete_class_labels
from models.tasks import TaskSettings

Gold: TypeAlias = tuple[NDArray[np.bool_], NDArray[np.bool_]]
"""Decisions (rows, labels), and where there is one."""


@dataclass(frozen=True, slots=True)
class Utterances:
    """The annotated utterances themselves: fourteen that were misheard as one text are fourteen.

    Attributes:
        row: (n,) each one's row of the evaluation set.
        gold: (n, labels) what annotators say of it.
        known: (n, labels) where they say anything; an even split says nothing.
    """

    row: NDArray[np.int64]
    gold: NDArray[np.bool_]
    known: NDArray[np.bool_]

    def counts(
        self, decisions: NDArray[np.bool_], chosen: NDArray[np.bool_], labels: Sequence[str]
    ) -> dict[str, Counts]:
        """Each label's counts.

        Args:
            decisions: Of the evaluation set's rows, (rows, labels).
            chosen: The rows that are counted, (rows,).
            labels: The labels, in their order.
        """
        inside = chosen[self.row]
        counts = {}
        for column, label in enumerate(labels):
            here = inside & self.known[:, column]
            counts[label] = count(decisions[self.row[here], column], self.gold[here, column])
        return counts


def human_gold(
    lake: Lake, name: str, declared: TaskSettings, rows: pa.Table, wanted: Sequence[str]
) -> tuple[Gold, Utterances]:
    """What annotators say of the rows' texts by majority, and of each utterance that they labelled.

    Args:
        lake: The tables.
        name: The task.
        declared: As the settings declare it: a class that is not wanted denies those that are.
        rows: With dt and text_hash.
        wanted: The labels wanted, in their order.
    """
    labels = declared.label_names
    votes = annotators_votes(lake, name, labels, rows.column("text_hash").combine_chunks())
    of_texts = votes.group_by(["text_hash", "label"]).aggregate([("yes", "sum"), ("votes", "sum")])
    of_texts = of_texts.rename_columns(["text_hash", "label", "yes", "votes"])
    rows_of_text: dict[Any, list[int]] = {}
    rows_of_day: dict[Any, int] = {}
    keys = zip(rows.column("dt").to_pylist(), rows.column("text_hash").to_pylist(), strict=True)
    for index, (day, text_hash) in enumerate(keys):
        rows_of_text.setdefault(text_hash, []).append(index)
        rows_of_day.setdefault((day, text_hash), index)
    by_text = _answers(of_texts, {key: at for at, key in enumerate(rows_of_text)}, "text_hash", declared, wanted)
    by_row = np.full((rows.num_rows, len(wanted)), np.nan, np.float32)
    for answer, indexes in zip(by_text, rows_of_text.values(), strict=True):
        by_row[indexes] = answer
    there = votes.filter(pa.array([key in rows_of_day for key in _keys(votes)], pa.bool_()))
    ids = {text_id: at for at, text_id in enumerate(dict.fromkeys(there.column("text_id").to_pylist()))}
    row = np.zeros(len(ids), np.int64)
    for text_id, key in zip(there.column("text_id").to_pylist(), _keys(there), strict=True):
        row[ids[text_id]] = rows_of_day[key]
    by_utterance = _answers(there, ids, "text_id", declared, wanted)
    return (by_row == 1, ~np.isnan(by_row)), Utterances(row, by_utterance == 1, ~np.isnan(by_utterance))


def _keys(votes: pa.Table) -> list[tuple[Any, str]]:
    return list(zip(votes.column("dt").to_pylist(), votes.column("text_hash").to_pylist(), strict=True))


def _answers(
    votes: pa.Table, places: Mapping[str, int], key: str, declared: TaskSettings, wanted: Sequence[str]
) -> NDArray[np.float32]:
    """1, 0 or NaN: (places, labels wanted). Votes: the key, label, yes and votes."""
    column_of = {label: column for column, label in enumerate(declared.label_names)}
    answers = np.full((len(places), len(column_of)), np.nan, np.float32)
    columns = (votes.column(name).to_pylist() for name in (key, "label", "yes", "votes"))
    for place, label, yes, cast in zip(*columns, strict=True):
        if 2 * yes != cast:
            answers[places[place], column_of[label]] = 2 * yes > cast
    return complete_class_labels(answers, declared.kind)[:, [column_of[label] for label in wanted]]
