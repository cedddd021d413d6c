"""What a teacher scored of some days, and what annotators say of it: the evidence of rounds, thresholds and the gate.

Evidence is bounded by what the teacher scores. Where the files that it lies in are few, the driver reads them by
itself, without a session; where they are many, or a table is left to Spark, frames do. Both ways give equal rows.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import date
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import functions as F

from jobs.lake import tables, text_queries
from jobs.lake.commits import Scope
from jobs.lake.driver_share import DRIVER_BYTES
from jobs.lake.registry import RegisteredModel
from jobs.lake.store import Lake
from jobs.lake.tables import Table
from models.rounds.date_layout import Window
from models.tasks import TaskSettings
from udfs.settled import rules_of, settled_for

_ORDER = [("dt", "ascending"), ("scene", "ascending"), ("text_hash", "ascending")]
_KEY = [name for name, _ in _ORDER]


def scored_texts(
    lake: Lake, teacher: RegisteredModel, task: TaskSettings, windows: Sequence[Window], round_id: str | None = None,
    limit: int = DRIVER_BYTES,
) -> pa.Table:  # fmt: skip
    """The texts of some days that a task's models are for and its teacher scored.

    Args:
        lake: The tables.
        teacher: Whose scores bound it.
        task: Its task.
        windows: The days.
        round_id: The round whose training rows count as seen; None: no text does.
        limit: The most bytes of files that the driver reads by itself.

    Returns:
        A row a day, scene and distinct text, in their order: dt, scene, text_hash, text, text_b, occurrences (how often
        it is there), logits (the teacher's, in its own order), seen.
    """
    scopes = [(tables.TEXTS, Scope(window.first, window.last)) for window in windows if window]
    scopes.append((tables.TEACHER_SCORES, Scope(column="model_id", values=(teacher.model_id,))))
    if round_id is not None:
        scopes.append((tables.ROUND_SAMPLES, Scope(column="round_id", values=(round_id,))))
    if fits_the_driver(lake, scopes, limit):
        return _by_arrow(lake, teacher, task, windows, round_id)
    return _by_frames(lake, teacher, task, windows, round_id)


def fits_the_driver(lake: Lake, scopes: Sequence[tuple[Table, Scope]], limit: int) -> bool:
    """Whether the files of these parts of tables are few enough, and open to the driver."""
    if any(lake.catalog.left_to_spark(table) is not None for table, _ in scopes):
        return False
    return sum(file.size for table, scope in scopes for file in lake.catalog.arrow.files(table, scope)) <= limit


def _by_arrow(
    lake: Lake, teacher: RegisteredModel, task: TaskSettings, windows: Sequence[Window], round_id: str | None
) -> pa.Table:
    scores = lake.arrow(
        tables.TEACHER_SCORES, "text_hash", "logits", where=pc.field("model_id") == teacher.model_id
    ).combine_chunks()
    hashes = scores.column("text_hash").combine_chunks()
    columns = (*_KEY, "text", "text_b", "settled")
    texts = lake.arrow(tables.TEXTS, *columns, where=_inside(windows) & pc.field("text_hash").isin(hashes))
    own = _wanted(texts, teacher.task, task).drop_columns(["settled"])
    grouped = own.group_by(_KEY, use_threads=False)
    rows = grouped.aggregate([("text", "first"), ("text_b", "first"), ([], "count_all")])
    rows = rows.rename_columns([*_KEY, "text", "text_b", "occurrences"]).sort_by(_ORDER)
    logits = scores.column("logits").take(pc.index_in(rows.column("text_hash"), hashes))
    seen = pa.array([], pa.string())
    if round_id is not None:
        trained = lake.arrow(tables.ROUND_SAMPLES, "text_hash", where=pc.field("round_id") == round_id)
        seen = trained.column("text_hash").combine_chunks()
    return rows.append_column("logits", logits).append_column("seen", pc.is_in(rows.column("text_hash"), seen))


def _by_frames(
    lake: Lake, teacher: RegisteredModel, task: TaskSettings, windows: Sequence[Window], round_id: str | None
) -> pa.Table:
    scored = lake.read(tables.TEACHER_SCORES).where(F.col("model_id") == teacher.model_id)
    texts = text_queries.texts_for(lake.read(tables.TEXTS), teacher.task, task)
    joined = text_queries.occurrences(texts, windows).join(scored.select("text_hash", "logits"), "text_hash")
    if round_id is None:
        marked = joined.withColumn("seen", F.lit(False))
    else:
        trained = lake.read(tables.ROUND_SAMPLES).where(F.col("round_id") == round_id).select("text_hash")
        trained = trained.distinct().withColumn("seen", F.lit(True))
        marked = joined.join(trained, "text_hash", "left").fillna(False, "seen")
    columns = (*_KEY, "text", "text_b", "occurrences", "logits", "seen")
    return marked.select(*columns).orderBy(*_KEY).toArrow()


def days_with_texts(
    lake: Lake, name: str, task: TaskSettings, days: Collection[date], limit: int = DRIVER_BYTES
) -> set[date]:
    """Those of the days on which there are texts that a task's models are for."""
    found = set()
    for day in days:
        window = Window(day, day)
        if fits_the_driver(lake, [(tables.TEXTS, Scope(day, day))], limit):
            texts = lake.arrow(tables.TEXTS, "scene", "text_b", "settled", where=_inside([window]))
            some = _wanted(texts, name, task).num_rows > 0
        else:
            frame = text_queries.texts_for(lake.read(tables.TEXTS), name, task)
            some = not frame.where(text_queries.within(window)).isEmpty()
        if some:
            found.add(day)
    return found


def annotators_shares(
    lake: Lake, name: str, labels: Sequence[str], hashes: pa.Array, limit: int = DRIVER_BYTES
) -> pa.Table:
    """What annotators say of some texts: text_hash, label, and the share of those who say yes."""
    if fits_the_driver(lake, [(tables.ANNOTATIONS, Scope())], limit):
        where = (pc.field("task") == name) & pc.field("label").isin(list(labels)) & pc.field("text_hash").isin(hashes)
        votes = lake.arrow(tables.ANNOTATIONS, "text_hash", "label", "value", where=where)
        yes = votes.set_column(2, "value", votes.column("value").cast(pa.int8()))
        shares = yes.group_by(["text_hash", "label"]).aggregate([("value", "mean")])
        return shares.rename_columns(["text_hash", "label", "share"])
    annotations = lake.read(tables.ANNOTATIONS).where((F.col("task") == name) & F.col("label").isin(*labels))
    wanted = lake.spark.createDataFrame(pa.table({"text_hash": hashes.unique()}))
    votes = annotations.join(wanted, "text_hash").groupBy("text_hash", "label")
    return votes.agg(F.avg(F.col("value").cast("int")).alias("share")).toArrow()


def _inside(windows: Sequence[Window]) -> pc.Expression:
    """The days of some windows; of none no day is."""
    inside = [(pc.field("dt") >= pa.scalar(one.first)) & (pc.field("dt") <= pa.scalar(one.last)) for one in windows]
    return reduce(lambda some, more: some | more, inside, pc.scalar(False))


def _wanted(texts: pa.Table, name: str, task: TaskSettings) -> pa.Table:
    """As `text_queries.texts_for`: of the task's scenes, settled by no rule for it, of pairs with a second text."""
    rows = pc.is_in(texts.column("scene"), pa.array(task.scenes, pa.string())).to_numpy()
    rows = rows & ~settled_for(rules_of(texts.column("settled").combine_chunks()), name, texts.num_rows)
    if task.kind == "pair":
        rows = rows & pc.is_valid(texts.column("text_b")).to_numpy()
    return texts.filter(pa.array(rows))
