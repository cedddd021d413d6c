"""A teacher whose scores come from outside: its own rows, its scores as the tables have them, its comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as F

from jobs.evaluation.scored_texts import fits_the_driver, within_windows
from jobs.lake import registry, tables
from jobs.lake.commits import Scope
from jobs.lake.driver_share import DRIVER_BYTES
from jobs.lake.registry import RegisteredModel
from jobs.lake.store import Lake
from jobs.outside.gathering import KnownTexts, ScoredTexts
from jobs.runtime.context import Context
from jobs.teachers import held_out
from jobs.teachers.annotated_texts import AnnotatedTexts, annotations_signature, answered_texts, answers
from jobs.teachers.held_out import TeacherVerdict
from jobs.teachers.held_out_texts import HeldOutTest
from models import digests
from models.errors import DataError
from models.evaluation.predictions import complete_class_labels
from models.rounds.date_layout import DateLayout
from models.rounds.hash_draw import buckets
from models.tasks import TaskSettings
from udfs.list_arrays import to_lists, to_matrix

NO_PROJECTION = ""
"""`projection_version` of scores that come without a state of a network; their `cls` is empty."""


@dataclass(frozen=True, slots=True)
class OutsideTeacher:
    """The teacher that scores are imported for.

    Attributes:
        model_id: Its name.
        task: The task's.
        declared: The task's settings.
        layout: The days.
        registered: Its row of `models`; None of one that is yet to be made.
    """

    model_id: str
    task: str
    declared: TaskSettings
    layout: DateLayout
    registered: RegisteredModel | None

    @property
    def scope(self) -> Scope:
        """What the commits of its scores are about."""
        return Scope(column="model_id", values=(self.model_id,))


def known_texts(lake: Lake, records: pa.Table, limit: int = DRIVER_BYTES) -> KnownTexts:
    """The texts that parsed records may mean, by id or hash; by the driver where `texts` is small, else by frames."""
    ids, hashes = (records.column(name).drop_null().unique() for name in ("text_id", "text_hash"))
    columns = ["text_id", "text_hash"]
    if fits_the_driver(lake, [(tables.TEXTS, Scope())], limit):
        found = lake.arrow(
            tables.TEXTS, *columns, where=pc.field("text_id").isin(ids) | pc.field("text_hash").isin(hashes)
        )
    else:
        texts = lake.read(tables.TEXTS).select(*columns)
        asked = [lake.spark.createDataFrame(pa.table({n: v})) for n, v in zip(columns, (ids, hashes), strict=True)]
        by_id, by_hash = (
            texts.join(F.broadcast(one), name) for one, name in zip(asked, columns, strict=True)
        )  # fmt: skip
        found = by_id.select(*columns).union(by_hash.select(*columns)).distinct().toArrow()
    found = found.combine_chunks()
    return KnownTexts(found.column("text_id").combine_chunks(), found.column("text_hash").combine_chunks())


def scored_before(lake: Lake, teacher: RegisteredModel) -> ScoredTexts:
    """What the teacher has said so far."""
    of_teacher = pc.field("model_id") == teacher.model_id
    rows = lake.arrow(tables.TEACHER_SCORES, "text_hash", "logits", where=of_teacher).sort_by("text_hash")
    hashes = np.array(rows.column("text_hash").to_pylist(), np.str_)
    return ScoredTexts(teacher.labels, hashes, to_matrix(rows.column("logits"), len(teacher.labels)))


def score_rows(model_id: str, scores: ScoredTexts) -> pa.Table:
    """The scores as `teacher_scores` has them."""
    count, hashes = len(scores.hashes), scores.hashes.tolist()
    none = np.zeros(count, np.bool_)
    columns = {
        "model_id": pa.array([model_id] * count, pa.string()), "text_hash": pa.array(hashes, pa.string()),
        "bucket": pa.array(buckets(hashes, tables.BUCKETS), pa.int32()), "logits": to_lists(scores.logits, none),
        "cls": to_lists(np.zeros((count, 0), np.float32), none),
        "projection_version": pa.array([NO_PROJECTION] * count, pa.string()),
    }  # fmt: skip
    declared = tables.TEACHER_SCORES.columns
    # What only a network can say of a text (why it could not score it) is null.
    arrays = [columns.get(field.name, pa.nulls(count)).cast(field.type) for field in declared]
    return pa.Table.from_arrays(arrays, schema=declared)


def own_rows(context: Context, teacher: OutsideTeacher, labels: tuple[str, ...]) -> list[dict[str, Any]]:
    """The rows of round 1, as `round_samples` has them: the annotated texts of the training days; there may be none."""
    lake, declared = context.lake, teacher.declared
    said = (pc.field("task") == teacher.task) & pc.field("label").isin(list(declared.label_names))
    if not lake.arrow(tables.ANNOTATIONS, "text_id", where=said & within_windows([teacher.layout.train])).num_rows:
        return []
    context.start_session()
    table = answered_texts(lake, teacher.task, declared, teacher.layout.train)
    values = complete_class_labels(answers(table, declared.label_names), declared.kind)
    targets = values[:, [declared.label_names.index(label) for label in labels]]
    answered = ~np.isnan(targets).all(axis=1)
    chosen = table.filter(pa.array(answered))
    ids, hashes, texts, second = (chosen.column(one).to_pylist() for one in ("text_id", "text_hash", "text", "text_b"))
    return AnnotatedTexts(ids, hashes, texts, second, targets[answered], labels).round_samples(teacher.model_id)


def compared_by(context: Context, teacher: OutsideTeacher) -> str | None:
    """A digest of what decides the teacher's comparison with its student; None where nobody annotated anything.

    Neither the days are in it, nor each text that it scores: it is looked at anew as these double.
    """
    lake, settings, declared = context.lake, context.settings, teacher.declared
    if not lake.arrow(tables.ANNOTATIONS, "text_id", where=pc.field("task") == teacher.task).num_rows:
        return None
    of_teacher = pc.field("model_id") == teacher.model_id
    scored = lake.arrow(tables.TEACHER_SCORES, "bucket", where=of_teacher).num_rows
    return digests.of_json(
        {
            "annotations": annotations_signature(lake, teacher.task), "seed": settings.rounds.seed,
            "labels": declared.label_names, "student": held_out.without_scheme(declared.student),
            "targets": {label: one.target.model_dump() for label, one in declared.labels.items()},
            "positives": [settings.thresholds.min_positives, settings.thresholds.min_positives_all_scenes],
            "scored": scored.bit_length(),
        },
        chars=32,
    )  # fmt: skip


def is_compared(context: Context, teacher: OutsideTeacher) -> bool:
    """Whether there is nothing to compare, or nothing that decides the comparison has changed since the last one."""
    decides = compared_by(context, teacher)
    scope = held_out.scope_of(teacher.model_id)
    return decides is None or context.unchanged(tables.EVALUATIONS, scope, decides)


def compare(context: Context, teacher: OutsideTeacher) -> TeacherVerdict | None:
    """Hold the teacher beside the student that learns from its own rows without it; None where there are none."""
    lake, settings = context.lake, context.settings
    model = registry.model(lake, teacher.model_id)
    rows = lake.arrow(tables.ROUND_SAMPLES, "position", where=pc.field("round_id") == teacher.model_id)
    stamp = context.stamp(compared_by(context, teacher))
    if not rows.num_rows:
        lake.append_rows(tables.EVALUATIONS, [], stamp, scope=held_out.scope_of(teacher.model_id))
        return None
    context.start_session()

    def no_network() -> NoReturn:
        raise DataError(f"{teacher.model_id}: its scores come from outside, it has no network")

    test = HeldOutTest(model, teacher.declared, teacher.layout, settings.rounds.seed, settings.thresholds)
    verdict, _ = held_out.verdict(lake, test, no_network, stamp, context.training_progress)
    return verdict
