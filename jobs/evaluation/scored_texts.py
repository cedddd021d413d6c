"""What a teacher scored of some days, and what annotators say of it: the evidence of rounds, thresholds and the gate.

Evidence is bounded by what the teacher scores. Where the files that it lies in are few, the driver reads them by
itself, without a session; where they are many, or a table is left to Spark, frames do. Both ways give equal rows.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date
from functools import reduce

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as F

from jobs.lake import tables, teacher_scores, text_queries
from jobs.lake.commits import Scope
from jobs.lake.driver_share import DRIVER_BYTES
from jobs.lake.registry import RegisteredModel
from jobs.lake.store import Lake
from jobs.lake.tables import Table
from models.rounds.date_layout import Window
from models.rounds.hash_draw import Draw, draw_order, drawn
from models.tasks import TaskSettings
from udfs.settled import rules_of, settled_for

_ORDER = [("dt", "ascending"), ("scene", "ascending"), ("text_hash", "ascending")]
_KEY = [name for name, _ in _ORDER]


def scored_texts(
    lake: Lake, teacher: RegisteredModel, task: TaskSettings, draws: Sequence[Draw], seen_by: Collection[str] = (),
    limit: int = DRIVER_BYTES,
) -> pa.Table:  # fmt: skip
    """The texts of some days that a task's models are for and its teacher scored.

    A teacher also scores texts for other reasons than the draws of these days: its fine-tuning rows, and draws of other
    days on which they were said too. Which texts are of a draw is worked out from the texts that are there, as
    `score-teacher` does; so it holds for scores of any age, and for windows that moved since.

    Args:
        lake: The tables.
        teacher: Whose scores bound it.
        task: Its task.
        draws: The days, and how many of their texts are drawn. No two share a day.
        seen_by: The rounds and teachers whose training rows count as seen.
        limit: The most bytes of files that the driver reads by itself.

    Returns:
        A row a day, scene and distinct text, in their order: dt, scene, text_hash, text, text_b, occurrences (how often
        it is there), logits (the teacher's, in its own order), seen, drawn (whether it is of the draw of its days, and
        so stands for all their texts).
    """
    scopes = [(tables.TEXTS, Scope(draw.window.first, draw.window.last)) for draw in draws if draw.window]
    scopes.append((tables.TEACHER_SCORES, Scope(column="model_id", values=(teacher.model_id,))))
    if seen_by:
        scopes.append((tables.ROUND_SAMPLES, Scope(column="round_id", values=tuple(sorted(seen_by)))))
    read = _by_arrow if fits_the_driver(lake, scopes, limit) else _by_frames
    rows, pools = read(lake, teacher, task, draws, seen_by)
    return rows.append_column("drawn", _drawn(rows, draws, pools))


def _drawn(rows: pa.Table, draws: Sequence[Draw], pools: Sequence[pa.Table]) -> pa.Array:
    """Which rows are of the draw of their days. Pools: text_hash and scored, in the order of each draw."""
    kept = np.zeros(rows.num_rows, np.bool_)
    for draw, pool in zip(draws, pools, strict=True):
        hashes = pool.column("text_hash").filter(pa.array(drawn(pool.column("scored").to_numpy())))
        inside = pc.and_(
            pc.greater_equal(rows.column("dt"), pa.scalar(draw.window.first)),
            pc.less_equal(rows.column("dt"), pa.scalar(draw.window.last)),
        )
        kept |= pc.and_(inside, pc.is_in(rows.column("text_hash"), hashes.combine_chunks())).to_numpy()
    return pa.array(kept)


def fits_the_driver(lake: Lake, scopes: Sequence[tuple[Table, Scope]], limit: int) -> bool:
    """Whether the files of these parts of tables are few enough, and open to the driver."""
    if any(lake.catalog.left_to_spark(table) is not None for table, _ in scopes):
        return False
    return sum(file.size for table, scope in scopes for file in lake.catalog.arrow.files(table, scope)) <= limit


def _by_arrow(
    lake: Lake, teacher: RegisteredModel, task: TaskSettings, draws: Sequence[Draw], seen_by: Collection[str]
) -> tuple[pa.Table, list[pa.Table]]:
    scores = teacher_scores.arrow(lake, teacher.model_id, "text_hash", "logits").combine_chunks()
    hashes = scores.column("text_hash").combine_chunks()
    columns = (*_KEY, "text", "text_b", "settled")
    inside = within_windows([draw.window for draw in draws])
    texts = lake.arrow(tables.TEXTS, *columns, where=inside & pc.field("text_hash").isin(hashes))
    own = wanted_rows(texts, teacher.task, task).drop_columns(["settled"])
    grouped = own.group_by(_KEY, use_threads=False)
    rows = grouped.aggregate([("text", "first"), ("text_b", "first"), ([], "count_all")])
    rows = rows.rename_columns([*_KEY, "text", "text_b", "occurrences"]).sort_by(_ORDER)
    logits = scores.column("logits").take(pc.index_in(rows.column("text_hash"), hashes))
    seen = pa.array([], pa.string())
    if seen_by:
        trained = lake.arrow(tables.ROUND_SAMPLES, "text_hash", where=pc.field("round_id").isin(sorted(seen_by)))
        seen = trained.column("text_hash").combine_chunks()
    rows = rows.append_column("logits", logits).append_column("seen", pc.is_in(rows.column("text_hash"), seen))
    return rows, [_pool(lake, teacher.task, task, draw, hashes) for draw in draws]


def _pool(lake: Lake, name: str, task: TaskSettings, draw: Draw, scored: pa.Array) -> pa.Table:
    """The texts of a draw in its order, and whether each was scored."""
    texts = lake.arrow(tables.TEXTS, "text_hash", "scene", "text_b", "settled", where=within_windows([draw.window]))
    hashes = wanted_rows(texts, name, task).column("text_hash").unique().sort()
    order = np.argsort(draw_order(hashes.to_pylist(), draw.seed), kind="stable")[: draw.texts]
    first = hashes.take(pa.array(order))
    return pa.table({"text_hash": first, "scored": pc.is_in(first, scored)})


def _by_frames(
    lake: Lake, teacher: RegisteredModel, task: TaskSettings, draws: Sequence[Draw], seen_by: Collection[str]
) -> tuple[pa.Table, list[pa.Table]]:
    scored = teacher_scores.frame(lake, teacher.model_id)
    texts = text_queries.texts_for(lake.read(tables.TEXTS), teacher.task, task)
    windows = [draw.window for draw in draws]
    joined = text_queries.occurrences(texts, windows).join(scored.select("text_hash", "logits"), "text_hash")
    if not seen_by:
        marked = joined.withColumn("seen", F.lit(False))
    else:
        trained = lake.read(tables.ROUND_SAMPLES).where(F.col("round_id").isin(*seen_by)).select("text_hash")
        trained = trained.distinct().withColumn("seen", F.lit(True))
        marked = joined.join(trained, "text_hash", "left").fillna(False, "seen")
    columns = (*_KEY, "text", "text_b", "occurrences", "logits", "seen")
    marks = scored.select("text_hash", F.lit(True).alias("scored"))
    pools = []
    for draw in draws:
        order = (text_queries.drawn_by_hash("text_hash", draw.seed), F.col("text_hash"))
        pool = texts.where(text_queries.within(draw.window)).select("text_hash").distinct()
        first = pool.orderBy(*order).limit(draw.texts).join(marks, "text_hash", "left").fillna(False, "scored")
        pools.append(first.orderBy(*order).toArrow())
    return marked.select(*columns).orderBy(*_KEY).toArrow(), pools


def days_with_texts(
    lake: Lake, name: str, task: TaskSettings, days: Collection[date], limit: int = DRIVER_BYTES
) -> set[date]:
    """Those of the days on which there are texts that a task's models are for."""
    found = set()
    for day in days:
        window = Window(day, day)
        if fits_the_driver(lake, [(tables.TEXTS, Scope(day, day))], limit):
            texts = lake.arrow(tables.TEXTS, "scene", "text_b", "settled", where=within_windows([window]))
            some = wanted_rows(texts, name, task).num_rows > 0
        else:
            frame = text_queries.texts_for(lake.read(tables.TEXTS), name, task)
            some = not frame.where(text_queries.within(window)).isEmpty()
        if some:
            found.add(day)
    return found


def annotators_votes(
    lake: Lake, name: str, labels: Sequence[str], hashes: pa.Array, limit: int = DRIVER_BYTES
) -> pa.Table:
    """What annotators say of some texts: text_id, dt, text_hash, label, yes and votes (how many say yes, and anything).

    A row an utterance and label.
    """
    key = ["text_id", "dt", "text_hash", "label"]
    if fits_the_driver(lake, [(tables.ANNOTATIONS, Scope())], limit):
        where = (pc.field("task") == name) & pc.field("label").isin(list(labels)) & pc.field("text_hash").isin(hashes)
        votes = lake.arrow(tables.ANNOTATIONS, *key, "value", where=where)
        said = votes.set_column(len(key), "value", votes.column("value").cast(pa.int64()))
        return (
            said.group_by(key).aggregate([("value", "sum"), ([], "count_all")]).rename_columns([*key, "yes", "votes"])
        )
    annotations = lake.read(tables.ANNOTATIONS).where((F.col("task") == name) & F.col("label").isin(*labels))
    wanted = lake.spark.createDataFrame(pa.table({"text_hash": hashes.unique()}))
    votes = annotations.join(wanted, "text_hash").groupBy(*key)
    return votes.agg(F.sum(F.col("value").cast("int")).alias("yes"), F.count("*").alias("votes")).toArrow()


def within_windows(windows: Sequence[Window]) -> pc.Expression:
    """The days of some windows; of none no day is."""
    inside = [(pc.field("dt") >= pa.scalar(one.first)) & (pc.field("dt") <= pa.scalar(one.last)) for one in windows]
    return reduce(lambda some, more: some | more, inside, pc.scalar(False))


def wanted_rows(texts: pa.Table, name: str, task: TaskSettings) -> pa.Table:
    """As `text_queries.texts_for`: of the task's scenes, settled by no rule for it, of pairs with a second text."""
    rows = pc.is_in(texts.column("scene"), pa.array(task.scenes, pa.string())).to_numpy()
    rows = rows & ~settled_for(rules_of(texts.column("settled").combine_chunks()), name, texts.num_rows)
    if task.kind == "pair":
        rows = rows & pc.is_valid(texts.column("text_b")).to_numpy()
    return texts.filter(pa.array(rows))
