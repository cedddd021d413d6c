"""The texts to ask a teacher outside for: the sample of `score-teacher`, without what it has scored.

They are in an order of which every beginning is a fair share: each part of the days by its draw's hash, as far into its
draw as all others. So whoever asks for the first thousand can evaluate on them, and goes on with the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as F

from jobs.evaluation.scored_texts import fits_the_driver, wanted_rows, within_windows
from jobs.lake import tables, text_queries
from jobs.lake.commits import Scope
from jobs.lake.driver_share import DRIVER_BYTES
from jobs.lake.registry import RegisteredModel
from jobs.lake.store import Lake
from jobs.settings import TeacherScoringSettings
from models.rounds.date_layout import PARTS, DateLayout
from models.rounds.hash_draw import draw_order
from models.tasks import TaskSettings

COLUMNS = ("text_id", "text_hash", "text", "text_b", "scene")
_SCHEMA = pa.schema([(name, pa.string()) for name in COLUMNS])


@dataclass(frozen=True, slots=True)
class Asking:
    """What a teacher outside is asked for.

    Attributes:
        task: The task's name.
        declared: Its settings.
        layout: The days.
        drawn: How many texts of each part of the days.
        seed: Of the draws.
        teacher: Who is asked; None for a new one, of which nothing is scored.
    """

    task: str
    declared: TaskSettings
    layout: DateLayout
    drawn: TeacherScoringSettings
    seed: int
    teacher: RegisteredModel | None


def unscored_texts(lake: Lake, asking: Asking, limit: int = DRIVER_BYTES) -> pa.Table:
    """The texts (`COLUMNS`) of the sample that the teacher has not scored, in the order to ask for them.

    The sample is that of `score-teacher`: the teacher's own rows (of a new one the annotated texts of the training
    days), and a draw by hash of each part.

    Args:
        lake: The tables.
        asking: Who is asked for what.
        limit: The most bytes of files that the driver reads by itself; beyond it frames do.
    """
    layout = asking.layout
    days = Scope(layout.train.first, layout.gate.last)
    parts = list((_by_arrow if fits_the_driver(lake, [(tables.TEXTS, days)], limit) else _by_frames)(lake, asking))
    ranks = np.concatenate([(np.arange(part.num_rows) + 1) / max(part.num_rows, 1) for part in parts])
    texts = pa.concat_tables(part.select(list(COLUMNS)).cast(_SCHEMA) for part in parts).combine_chunks()
    hashes = np.array(texts.column("text_hash").to_pylist(), np.str_)
    distinct, first, of_row = np.unique(hashes, return_index=True, return_inverse=True)
    earliest = np.full(len(distinct), np.inf)
    np.minimum.at(earliest, of_row, ranks)
    ordered = texts.take(pa.array(first[np.lexsort((distinct, earliest))], pa.int64()))
    if asking.teacher is None:
        return ordered
    scored = lake.arrow(
        tables.TEACHER_SCORES, "text_hash", where=pc.field("model_id") == asking.teacher.model_id
    ).column("text_hash")
    return ordered.filter(pc.invert(pc.is_in(ordered.column("text_hash"), scored.combine_chunks())))


def _own_rows(lake: Lake, asking: Asking) -> pa.Table:
    """text_id, text_hash, text and text_b of the teacher's own rows, or the hashes alone of what would be."""
    if asking.teacher is not None:
        columns = COLUMNS[:4]
        return lake.arrow(tables.ROUND_SAMPLES, *columns, where=pc.field("round_id") == asking.teacher.model_id)
    train = within_windows([asking.layout.train])
    of_task = (pc.field("task") == asking.task) & pc.field("label").isin(list(asking.declared.label_names))
    return lake.arrow(tables.ANNOTATIONS, "text_hash", where=of_task & train)


def _by_arrow(lake: Lake, asking: Asking) -> Iterator[pa.Table]:
    """The teacher's own rows and the draw of each part, each in the order of its hash."""
    windows = [asking.layout.window(part) for part in PARTS]
    columns = ("dt", "settled", *COLUMNS)
    texts = wanted_rows(lake.arrow(tables.TEXTS, *columns, where=within_windows(windows)), asking.task, asking.declared)
    texts = texts.drop_columns(["settled"]).sort_by("text_id").combine_chunks()
    own = _own_rows(lake, asking)
    train = texts.filter(within_windows(windows[:1]))
    yield _first_by_hash(_with_gone(_distinct(train), own), asking.seed, None)
    held_out = texts.filter(within_windows(windows[1:])).column("text_hash").combine_chunks()
    for part, window in zip(PARTS, windows, strict=True):
        pool = texts.filter(within_windows([window]))
        if part == "train":
            pool = pool.filter(pc.invert(pc.is_in(pool.column("text_hash"), held_out)))
        yield _first_by_hash(_distinct(pool), asking.seed, asking.drawn.texts(part))


def _by_frames(lake: Lake, asking: Asking) -> Iterator[pa.Table]:
    """As `_by_arrow`."""
    own = _own_rows(lake, asking)
    texts = text_queries.texts_for(lake.read(tables.TEXTS), asking.task, asking.declared)
    wanted = lake.spark.createDataFrame(pa.table({"text_hash": own.column("text_hash").unique()}))
    train = texts.where(text_queries.within(asking.layout.train)).join(F.broadcast(wanted), "text_hash")
    there = train.select(*COLUMNS).toArrow().sort_by("text_id").combine_chunks()
    yield _first_by_hash(_with_gone(_distinct(there), own), asking.seed, None)
    for part in PARTS:
        pool = text_queries.distinct_texts(lake, asking.task, asking.declared, asking.layout, part)
        order = (text_queries.drawn_by_hash("text_hash", asking.seed), F.col("text_hash"))
        drawn = pool.orderBy(*order).limit(asking.drawn.texts(part)).select(*COLUMNS).toArrow()
        yield _first_by_hash(drawn.combine_chunks(), asking.seed, None)


def _distinct(texts: pa.Table) -> pa.Table:
    """The first text of each hash, of texts in the order of their ids."""
    hashes = np.array(texts.column("text_hash").to_pylist(), np.str_)
    _, first = np.unique(hashes, return_index=True)
    return texts.select(list(COLUMNS)).take(pa.array(first, pa.int64()))


def _with_gone(there: pa.Table, own: pa.Table) -> pa.Table:
    """The texts of a teacher's own rows as the days have them; as the rows have them where the days went by."""
    kept = there.filter(pc.is_in(there.column("text_hash"), own.column("text_hash").combine_chunks()))
    if "text" not in own.column_names:
        return kept
    gone = own.filter(pc.invert(pc.is_in(own.column("text_hash"), there.column("text_hash").combine_chunks())))
    gone = gone.append_column("scene", pa.nulls(gone.num_rows, pa.string()))
    return pa.concat_tables([kept.cast(_SCHEMA), gone.select(list(COLUMNS)).cast(_SCHEMA)])


def _first_by_hash(texts: pa.Table, seed: int, count: int | None) -> pa.Table:
    """The first texts in the order of a draw; all of them without a count."""
    hashes = texts.column("text_hash").to_pylist()
    order = np.lexsort((np.array(hashes, np.str_), draw_order(hashes, seed)))[:count]
    return texts.take(pa.array(order, pa.int64()))
