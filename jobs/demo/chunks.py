"""Makes one chunk of the corpus: what a worker process does, from its plan to bytes and counts."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from hashlib import blake2b

from jobs.demo import annotators, source_records
from jobs.demo.clusters import CHAT, SOURCES, SPEECH, TASK_LABELS, TASK_SCENES
from jobs.demo.composing import Wording, all_clusters, compose
from jobs.demo.corpus_plan import ChunkPlan, second_of_day, source_id, stream
from jobs.demo.corpus_settings import CorpusSettings
from jobs.demo.grammar import Draw

HASH_BYTES = 8  # enough to count distinct texts: at 10^7 texts the odds of any collision are below 10^-5


@dataclass(slots=True)
class Tally:
    """What was written, counted while writing."""

    read: int = 0
    valid: int = 0
    broken: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    clusters: Counter[str] = field(default_factory=Counter)
    weekdays: Counter[int] = field(default_factory=Counter)
    unlabelled: int = 0

    def add(self, other: Tally) -> None:
        """Count the other's records too."""
        self.read += other.read
        self.valid += other.valid
        self.unlabelled += other.unlabelled
        for name in ("broken", "labels", "clusters", "weekdays"):
            getattr(self, name).update(getattr(other, name))


@dataclass(slots=True)
class Chunk:
    """A made chunk: records (bytes, or columns for Parquet), their truth, counts, annotators' candidates."""

    plan: ChunkPlan
    body: bytes | source_records.PhotoColumns
    truth: bytes
    tally: Tally
    hashes: bytes
    candidates: annotators.Reservoir


def make_chunk(plan: ChunkPlan, settings: CorpusSettings) -> Chunk:
    """The chunk of a plan; the same for the same arguments, in any process."""
    random = stream(settings, "chunk", plan.scene, plan.day, plan.start)
    wordings = compose(plan.scene, plan.day, plan.count, settings, random)
    rows = _records(plan, wordings, random.random)
    hashes = [_text_hash(settings.seed, row.text) for row in rows]
    valid = [i for i, row in enumerate(rows) if row.kind is None]
    candidates = annotators.Reservoir(annotators.caps(settings, plan.per_label))
    if plan.per_label:
        for i in valid:
            priority = hashes[i] if plan.checked is None else _text_hash(settings.seed, rows[i].text, plan.checked)
            candidates.consider(plan.scene, rows[i], wordings[i], int.from_bytes(priority, "big"))
    return Chunk(
        plan,
        _body(plan.scene, rows, random.random),
        "".join(_truth_line(plan.scene, rows[i].source_id, wordings[i]) for i in valid).encode(),
        _tally(plan, rows, [wordings[i] for i in valid]),
        b"".join(hashes[i] for i in valid),
        candidates,
    )


def _records(plan: ChunkPlan, wordings: list[Wording], draw: Draw) -> list[source_records.Record]:
    midnight = datetime.combine(plan.day, time())
    rows = []
    for offset, wording in enumerate(wordings):
        index = plan.start + offset
        second = second_of_day((index + draw()) / plan.day_total, plan.day)
        row_id = source_id(plan.scene, plan.day, index)
        rows.append(source_records.Record(row_id, wording.text, midnight + timedelta(seconds=second)))
    for broken in plan.broken:
        row = rows[broken.position - plan.first]
        row.kind = broken.kind
        row.source_id = broken.same_as or row.source_id
    return rows


def _body(scene: str, rows: list[source_records.Record], draw: Draw) -> bytes | source_records.PhotoColumns:
    if scene == CHAT:
        return source_records.chat_lines(rows, draw)
    if scene == SPEECH:
        return source_records.speech_rows(rows, draw)
    return source_records.photo_columns(rows, draw)


def _truth_line(scene: str, row_id: str, wording: Wording) -> str:
    labels = {
        task: [label for label in TASK_LABELS[task] if label in wording.labels]
        for task, scenes in TASK_SCENES.items()
        if scene in scenes
    }
    names = [all_clusters()[place].name for place in wording.clusters]
    value = {"source": SOURCES[scene], "source_id": row_id, "labels": labels, "clusters": names}
    return json.dumps(value, ensure_ascii=False) + "\n"


def _tally(plan: ChunkPlan, rows: list[source_records.Record], valid: list[Wording]) -> Tally:
    return Tally(
        read=len(rows),
        valid=len(valid),
        broken=Counter(row.kind for row in rows if row.kind),
        labels=Counter(label for wording in valid for label in wording.labels),
        clusters=Counter(all_clusters()[place].name for wording in valid for place in wording.clusters),
        weekdays=Counter({plan.day.weekday(): len(valid)}),
        unlabelled=sum(not wording.labels for wording in valid),
    )


def _text_hash(seed: int, text: str, day: date | None = None) -> bytes:
    """The hash of what a text says; of a day, another one for each day."""
    salt = day.isoformat().encode() if day else b""
    return blake2b(text.encode(), digest_size=HASH_BYTES, key=str(seed).encode()[:64], salt=salt).digest()
