"""Parsed records brought together: a text's scores of all its records, as logits, or why a record gives none.

Pure: what texts there are, and what the teacher said before, is given.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.evaluation.predictions import to_logits
from udfs.score_values import ScoreRules
from udfs.set_aside import SCORE

Reasons = NDArray[np.object_]
_SAME_LOGIT = 1e-4
"""Logits that differ by less are the same answer, written by another tool."""
_MOST_SUM = 1.001
DETAILS = {
    "unknown_text": "no such text in texts; of another cleaner, or not ingested yet",
    "unlike": "two unlike scores of one text and label",
    "incomplete": "not all labels of the teacher are scored for its text",
    "no_class": "no class has a probability",
    "scored_otherwise": "the teacher scored the text before, otherwise; another --name begins anew",
}
"""The reasons of this module, and what they mean."""


@dataclass(frozen=True, slots=True)
class KnownTexts:
    """Texts that records may mean: text_id and text_hash, a row a text."""

    ids: pa.Array
    hashes: pa.Array


@dataclass(frozen=True, slots=True)
class ScoredTexts:
    """Logits of distinct texts, ordered by hash.

    Attributes:
        labels: In the order of the columns.
        hashes: Of the texts.
        logits: (texts, labels), finite.
    """

    labels: tuple[str, ...]
    hashes: NDArray[np.str_]
    logits: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Gathered:
    """What the records come to.

    Attributes:
        fresh: What the teacher had not said before.
        known: How many texts it had scored, the same.
        reasons: Why a record gives nothing, (records,); None where it gives something, or is of another task.
        others: How many records are of other tasks.
        missing: Of the texts that are incomplete, how many lack each label.
    """

    fresh: ScoredTexts
    known: int
    reasons: Reasons
    others: int
    missing: Counter[str]


def gather(records: pa.Table, texts: KnownTexts, rules: ScoreRules, before: ScoredTexts | None) -> Gathered:
    """Bring the records (`udfs.score_parsing.PARSED`) of all files together.

    A text has a score of every label of the teacher, or none: a label that is not known would be taken for one that
    does not hold. Of classes the rest up to 1 is shared by those that the records do not name.

    Args:
        records: The records.
        texts: The texts that they may mean.
        rules: What they were parsed by.
        before: What the teacher has said so far, with its labels; None for a new one, which knows the labels scored.
    """
    reasons: Reasons = np.array(records.column("reason").to_pylist(), object)
    said = pc.is_valid(records.column("scores")).to_numpy()
    hashes = _hashes(records, texts)
    reasons[said & (hashes == "")] = f"{SCORE}unknown_text"
    used = said & (hashes != "")
    distinct, of_record = np.unique(hashes[used], return_inverse=True)
    low, high = _extremes(_matrix(records, used, len(rules.labels)), of_record, len(distinct))
    by_name = bool(records.column("by_name").to_numpy(zero_copy_only=False)[used].any()) if used.any() else False
    labels = before.labels if before is not None else labels_scored(low, rules, by_name=by_name)
    columns = [rules.labels.index(label) for label in labels if label in rules.labels]
    values = _with_rest(low[:, columns], rules)
    why: Reasons = np.full(len(distinct), None, object)
    if rules.kind == "multi_class" and rules.scale == "probability":
        why[np.nansum(values, axis=1) == 0] = f"{SCORE}no_class"
    lacking = np.isnan(values)
    why[lacking.any(axis=1)] = f"{SCORE}incomplete"
    why[((low != high) & ~np.isnan(low)).any(axis=1)] = f"{SCORE}unlike"
    short = lacking[why == f"{SCORE}incomplete"].sum(axis=0) if len(distinct) else []
    logits = (to_logits(values, rules.kind) if rules.scale == "probability" else values).astype(np.float32)
    known = _known(distinct, logits, before, why)
    reasons[used] = why[of_record]
    good = np.array([one is None for one in why], np.bool_) & ~known
    fresh = ScoredTexts(tuple(labels), distinct[good], logits[good])
    silent = int((~said & np.array([one is None for one in reasons], np.bool_)).sum())
    missing = Counter({label: int(count) for label, count in zip(labels, short, strict=False) if count})
    return Gathered(fresh, int(known.sum()), reasons, silent, missing)


def labels_scored(scores: NDArray[np.float64], rules: ScoreRules, *, by_name: bool) -> tuple[str, ...]:
    """The labels that are scored at all, in the order of the settings.

    Answers by name, and of classes the likeliest alone, are about all labels that were asked for.

    Args:
        scores: (texts, labels of the task), NaN where nothing is said.
        rules: Whose labels they are.
        by_name: Whether a record names what holds and leaves out what does not.
    """
    there = ~np.isnan(scores)
    likeliest = rules.kind == "multi_class" and len(scores) > 0 and int(there.sum(axis=1).max()) == 1
    named = {label for at, label in enumerate(rules.labels) if there[:, at].any()}
    asked = {*rules.asked} if named and (by_name or likeliest) else set()
    return tuple(label for label in rules.labels if label in named | asked)


def unknown_labels(records: pa.Table, rules: ScoreRules, labels: Sequence[str]) -> list[str]:
    """The labels that records score and the teacher does not know."""
    matrix = _matrix(records, pc.is_valid(records.column("scores")).to_numpy(), len(rules.labels))
    by_name = pc.any(records.column("by_name")).as_py() or False
    scored = ~np.isnan(matrix) if not by_name else np.nan_to_num(matrix) > 0
    return [label for at, label in enumerate(rules.labels) if label not in labels and scored[:, at].any()]


def _hashes(records: pa.Table, texts: KnownTexts) -> NDArray[np.str_]:
    """The hash of each record's text; empty where there is no such text."""
    own = records.column("text_hash").combine_chunks()
    by_hash = pc.if_else(pc.is_in(own, texts.hashes), own, pa.scalar(None, pa.string()))
    by_id = texts.hashes.take(pc.index_in(records.column("text_id").combine_chunks(), texts.ids))
    found = pc.fill_null(pc.coalesce(by_hash, by_id), "")
    hashes: NDArray[np.str_] = np.array(found.to_pylist(), np.str_)
    return hashes


def _matrix(records: pa.Table, chosen: NDArray[np.bool_], width: int) -> NDArray[np.float64]:
    """The scores of the chosen records, (records, labels of the task), NaN where nothing is said."""
    lists = records.column("scores").filter(pa.array(chosen)).combine_chunks()
    flat = lists.flatten().to_numpy(zero_copy_only=False)
    matrix: NDArray[np.float64] = flat.astype(np.float64).reshape(-1, width)
    return matrix


def _extremes(
    scores: NDArray[np.float64], of_record: NDArray[np.int64], texts: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The least and the greatest score of each text and label, over its records."""
    low, high = (np.full((texts, scores.shape[1]), np.nan) for _ in range(2))
    np.fmin.at(low, of_record, scores)
    np.fmax.at(high, of_record, scores)
    return low, high


def _with_rest(scores: NDArray[np.float64], rules: ScoreRules) -> NDArray[np.float64]:
    """Of classes what is left of 1 goes to those that nothing is said of, in equal shares."""
    if rules.kind != "multi_class" or rules.scale != "probability":
        return scores
    silent = np.isnan(scores)
    total = np.nansum(scores, axis=1, keepdims=True)
    some = silent.any(axis=1, keepdims=True) & ~silent.all(axis=1, keepdims=True) & (total <= _MOST_SUM)
    share = np.maximum(1 - total, 0) / np.maximum(silent.sum(axis=1, keepdims=True), 1)
    return np.where(silent & some, share, scores)


def _known(
    hashes: NDArray[np.str_], logits: NDArray[np.float32], before: ScoredTexts | None, why: Reasons
) -> NDArray[np.bool_]:
    """Which texts the teacher scored before; those that it scored otherwise are told in `why`."""
    known: NDArray[np.bool_] = np.zeros(len(hashes), np.bool_)
    if before is None or not len(before.hashes) or not len(hashes):
        return known
    place = pc.index_in(pa.array(hashes, pa.string()), pa.array(before.hashes, pa.string()))
    there = pc.is_valid(place).to_numpy(zero_copy_only=False)
    earlier = before.logits[place.fill_null(0).to_numpy()]
    usable = np.array([one is None for one in why], np.bool_)
    same = (np.abs(earlier - logits) <= _SAME_LOGIT).all(axis=1)
    known = there & usable & same
    why[there & usable & ~same] = f"{SCORE}scored_otherwise"
    return known
