"""Plays the annotators: which texts they are given, how they judge them, and where they err.

Texts are drawn by the hash of their words: the ones with the smallest hashes of each stratum. The draw
needs bounded memory, is the same in any order of chunks, and gives a text that occurs often only once. Most texts are
of the corpus' first days; of each of its last days a few are drawn apart, by hashes of that day, so that the words of
the first days are no likelier there than others.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from heapq import heappop, heappush
from pathlib import Path
from typing import NamedTuple

from jobs.demo.clusters import SCENES, SOURCES, TASK_LABELS, TASK_SCENES
from jobs.demo.composing import Wording, all_clusters
from jobs.demo.corpus_plan import source_id, stream
from jobs.demo.corpus_settings import AnnotationSettings, CorpusSettings
from jobs.demo.grammar import Draw
from jobs.demo.source_records import Record

HEADER = ("source", "source_id", "text", "dt", "task", "label", "value", "annotator", "annotated_at")
Stratum = tuple[str, str, str]  # task, one of positive, near, random; label (empty for random)


class Candidate(NamedTuple):
    """A text that may be annotated; `near` are labels whose words it shares without meaning them."""

    source: str
    source_id: str
    text: str
    local: datetime
    labels: frozenset[str]
    near: frozenset[str]


def caps(settings: CorpusSettings, per_label: int) -> dict[Stratum, int]:
    """How many texts each stratum gives at most."""
    shares = settings.annotation
    wanted: dict[Stratum, int] = {}
    for task, labels in TASK_LABELS.items():
        for label in labels:
            wanted[task, "positive", label] = round(per_label * shares.positives_per_label)
            wanted[task, "near", label] = round(per_label * shares.near_per_label)
        wanted[task, "random", ""] = round(per_label * shares.random_per_label * len(labels))
    return wanted


class Reservoir:
    """The candidates with the smallest hashes, stratum by stratum."""

    def __init__(self, wanted: dict[Stratum, int]) -> None:
        self._wanted = wanted
        self._kept: dict[Stratum, dict[int, Candidate]] = {stratum: {} for stratum in wanted}
        self._heaps: dict[Stratum, list[int]] = {stratum: [] for stratum in wanted}

    def consider(self, scene: str, record: Record, wording: Wording, priority: int) -> None:
        """Offer a valid record to all strata it belongs to; none if annotators must not see it."""
        clusters = [all_clusters()[place] for place in wording.clusters]
        if any(cluster.held_out or cluster.settled for cluster in clusters):
            return
        near = frozenset(label for cluster in clusters for label in cluster.near) - wording.labels
        source = SOURCES[scene]
        candidate = Candidate(source, record.source_id, record.text, record.local, wording.labels, near)
        for task, labels in TASK_LABELS.items():
            if scene not in TASK_SCENES[task]:
                continue
            held = [label for label in labels if label in wording.labels]
            for label in held:
                self._offer((task, "positive", label), priority, candidate)
            for label in near.intersection(labels):
                self._offer((task, "near", label), priority, candidate)
            if not held:
                self._offer((task, "random", ""), priority, candidate)

    def merge(self, other: Reservoir) -> None:
        """Take what another reservoir kept."""
        for stratum, kept in other._kept.items():
            for priority, candidate in kept.items():
                self._offer(stratum, priority, candidate)

    def chosen(self, task: str) -> list[Candidate]:
        """The texts of a task's strata, each once, by source and id."""
        texts = {c.source_id: c for s, kept in self._kept.items() if s[0] == task for c in kept.values()}
        return [texts[key] for key in sorted(texts)]

    def _offer(self, stratum: Stratum, priority: int, candidate: Candidate) -> None:
        kept, heap = self._kept[stratum], self._heaps[stratum]
        if priority in kept:  # the same words: the earliest record stands for them
            kept[priority] = min(kept[priority], candidate, key=lambda c: c.source_id)
            return
        if len(kept) >= self._wanted[stratum]:
            if not heap or -heap[0] < priority:
                return
            del kept[-heappop(heap)]
        kept[priority] = candidate
        heappush(heap, -priority)


@dataclass(slots=True)
class Delivery:
    """One judged text: which, of which day, by whom, when, and the value of each label."""

    task: str
    source: str
    source_id: str
    text: str
    day: date
    annotator: str
    at: datetime
    values: dict[str, int]

    def rows(self) -> Iterator[tuple[str | int, ...]]:
        """The rows of the annotator's file."""
        for label, value in self.values.items():
            stamp = self.at.isoformat(timespec="seconds") + "+08:00"
            text = self.source, self.source_id, self.text, self.day.isoformat()
            yield *text, self.task, label, value, self.annotator, stamp


def annotate(
    settings: CorpusSettings, reservoirs: Mapping[date | None, Reservoir], folder: Path
) -> dict[str, int | dict[str, int]]:
    """Write one CSV file for each annotator and return the counts for the manifest.

    Args:
        settings: Of the corpus.
        reservoirs: The candidates of the first days together (None), and of each of the last days by itself.
        folder: Gets the files.
    """
    names = [f"ann{number:02d}" for number in range(1, settings.annotation.annotators + 1)]
    counts: Counter[str] = Counter()
    positives: Counter[str] = Counter()
    texts: dict[str, int] = {}
    files: dict[str, list[Delivery]] = {name: [] for name in names}
    for task in TASK_LABELS:
        judged: list[Delivery] = []
        for day in (None, *sorted(day for day in reservoirs if day is not None)):
            chosen = reservoirs[day].chosen(task)
            texts[task] = texts.get(task, 0) + len(chosen)
            draw = stream(settings, "annotate", task, *([day] if day else ())).random
            positives.update(label for c in chosen for label in TASK_LABELS[task] if label in c.labels)
            judged += _judged(task, chosen, names, settings.annotation, draw, counts)
        unmatched = list(_unmatched(task, settings, names))
        counts["unmatched"] += sum(len(delivery.values) for delivery in unmatched)
        for delivery in (*judged, *unmatched):
            files[delivery.annotator].append(delivery)
            counts["rows"] += len(delivery.values)
    for name, deliveries in files.items():
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\r\n")
            writer.writerow(HEADER)
            writer.writerows(row for delivery in deliveries for row in delivery.rows())
    return {"texts": texts, "positives": dict(sorted(positives.items())), **dict(sorted(counts.items()))}


def _judged(
    task: str,
    chosen: list[Candidate],
    names: list[str],
    rates: AnnotationSettings,
    draw: Draw,
    counts: Counter[str],
) -> Iterator[Delivery]:
    for candidate in chosen:
        first = int(draw() * len(names))
        by_text = draw() < rates.by_text_share
        second = draw() < rates.second_share
        for turn in range(1 + second):
            values = {label: _value(label, candidate, rates, draw) for label in TASK_LABELS[task]}
            counts["wrong"] += sum(value != (label in candidate.labels) for label, value in values.items())
            counts["by_text"] += len(values) if by_text else 0
            counts["second"] += len(values) if turn else 0
            at = candidate.local + timedelta(days=1 + turn, hours=int(draw() * 24), minutes=int(draw() * 60))
            row_id, text = ("", candidate.text) if by_text else (candidate.source_id, "")
            annotator = names[(first + turn) % len(names)]
            yield Delivery(task, candidate.source, row_id, text, candidate.local.date(), annotator, at, values)


def _value(label: str, candidate: Candidate, rates: AnnotationSettings, draw: Draw) -> int:
    """The value an annotator gives: people err more where a text looks like the label, in either direction."""
    alike = label in candidate.labels or label in candidate.near
    wrong = draw() < min(1.0, rates.wrong_share * (2.0 if alike else 0.8))
    return int((label in candidate.labels) != wrong)


def _unmatched(task: str, settings: CorpusSettings, names: list[str]) -> Iterator[Delivery]:
    """Judgements of texts nobody has: an id copied wrongly, or of a file that never came."""
    scene = next(scene for scene in SCENES if scene in TASK_SCENES[task])
    day = settings.all_days[0]
    for number in range(settings.annotation.unmatched):
        row_id = source_id(scene, day, number) + "x"
        at = datetime(day.year, day.month, day.day, 12) + timedelta(days=1)
        labels = TASK_LABELS[task]
        values = {label: int(place == number % len(labels)) for place, label in enumerate(labels)}
        yield Delivery(task, SOURCES[scene], row_id, "", day, names[number % len(names)], at, values)
