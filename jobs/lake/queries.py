"""Questions that several jobs ask of the tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.lake import tables
from jobs.lake.commits import Scope
from jobs.lake.store import Lake
from models.errors import DataError
from models.rounds.date_layout import DateLayout, Part, RoundSettings, Window, lay_out
from models.tasks import (
    EVERY_SCENE,
    EVERY_TASK,
    TaskSettings,
)


@dataclass(frozen=True, slots=True)
class Model:
    """A row of `models`: what it is called, where it lies, and the order of its scores."""

    model_id: str
    task: str
    kind: str
    role: str
    labels: tuple[str, ...]
    teacher_id: str | None
    round_id: str | None
    path: str
    clean_version: str
    digests: Mapping[str, str] = field(default_factory=dict)


def date_layout(lake: Lake, settings: RoundSettings) -> DateLayout:
    """The windows of the days that have texts now."""
    return lay_out(lake.days(tables.TEXTS), settings)


def newest_model(lake: Lake, task: str, role: str) -> Model | None:
    """The task's latest teacher or student."""
    found = _newest_first(lake, task, role).limit(1).collect()
    return _model(found[0].asDict()) if found else None


def _newest_first(lake: Lake, task: str, role: str) -> DataFrame:
    rows = lake.read(tables.MODELS).where((F.col("task") == task) & (F.col("role") == role))
    return rows.orderBy(F.col("created_at").desc(), "model_id")


def scope_of_models(task: str, role: str) -> Scope:
    """What a commit of a task's new teacher or student is about."""
    return Scope(column="task and role", values=(f"{task}/{role}",))


def model_name(lake: Lake, task: str, role: str, made_from: str) -> tuple[str, bool]:
    """The name of a model whose name says what it is made from, and whether it is yet to be made.

    The newest model is in force, and a name stands for one row. So what an earlier model was made from (settings
    changed, and changed back) comes back as a model of its own, with a number behind the name.
    """
    names = [row["model_id"] for row in _newest_first(lake, task, role).select("model_id").collect()]
    same = [name for name in names if name == made_from or name.startswith(f"{made_from}-")]
    if same and same[0] == names[0]:
        return same[0], False
    return (f"{made_from}-{len(same) + 1}" if same else made_from), True


def model(lake: Lake, model_id: str) -> Model:
    """The model of this name, or `DataError`."""
    found = lake.read(tables.MODELS).where(F.col("model_id") == model_id).collect()
    if not found:
        raise DataError(
            f"{lake.name(tables.MODELS)}: no model {model_id}; `pingti sql 'SELECT model_id FROM models'` lists them"
        )
    return _model(found[0].asDict())


def _model(row: dict[str, object]) -> Model:
    return Model(**{name: row[name] for name in Model.__slots__} | {"labels": tuple(row["labels"])})  # type: ignore[arg-type]


def require_model(lake: Lake, task: str, role: str, remedy: str) -> Model:
    """The task's latest teacher or student, or `DataError` saying which job makes one."""
    found = newest_model(lake, task, role)
    if found is None:
        raise DataError(f"{lake.name(tables.MODELS)}: no {role} of task {task}; {remedy}")
    return found


def texts_of(texts: DataFrame, name: str, task: TaskSettings) -> DataFrame:
    """The texts a task's models are for: of its scenes, settled by no rule for it, of a task of pairs with a second."""
    own = texts.where(F.col("scene").isin(*task.scenes) & ~settled_for(name))
    return own.where("text_b IS NOT NULL") if task.kind == "pair" else own


def settled_for(task: str) -> Column:
    """True where a rule settled the text for this task, or for every task."""
    return F.exists("settled", lambda rule: rule["task"].isin(task, EVERY_TASK))


def within(window: Window) -> Column:
    """True for the days of a window."""
    return F.col("dt").between(window.first, window.last)


def drawn_by_hash(column: str, seed: int) -> Column:
    """A number by which to sort for a random draw: the same for a seed, whatever the partitioning."""
    return F.xxhash64(F.col(column), F.lit(seed))


def distinct_texts(lake: Lake, name: str, task: TaskSettings, layout: DateLayout, part: Part) -> DataFrame:
    """The distinct texts of one part: text_hash, text, text_b, text_id (its smallest).

    Those of the training days leave out every text that occurs on a test or gate day too: none of these is ever drawn.
    """
    own = texts_of(lake.read(tables.TEXTS), name, task)
    texts = own.where(within(layout.window(part))).groupBy("text_hash")
    grouped = texts.agg(
        F.first("text").alias("text"), F.first("text_b").alias("text_b"), F.min("text_id").alias("text_id")
    )
    if part != "train":
        return grouped
    held_out = own.where(within(layout.test) | within(layout.gate)).select("text_hash").distinct()
    return grouped.join(held_out, "text_hash", "left_anti")


def occurrences(lake: Lake, name: str, task: TaskSettings, windows: Sequence[Window]) -> DataFrame:
    """The texts of some days, a row a day, scene and distinct text, with how often it occurs."""
    texts = texts_of(lake.read(tables.TEXTS), name, task)
    inside = F.lit(False)
    for window in windows:
        inside = inside | within(window)
    grouped = texts.where(inside).groupBy("dt", "scene", "text_hash")
    first = [F.first(name).alias(name) for name in ("text", "text_b")]
    return grouped.agg(*first, F.count("*").alias("occurrences"))


def majority(lake: Lake, task: str, labels: Sequence[str], window: Window | None = None) -> DataFrame:
    """What most annotators say: text_hash, label, positive (boolean; null where they disagree evenly)."""
    annotations = lake.read(tables.ANNOTATIONS).where((F.col("task") == task) & F.col("label").isin(*labels))
    if window is not None:
        annotations = annotations.where(within(window))
    share = F.avg(F.col("value").cast("int"))
    votes = annotations.groupBy("text_hash", "label").agg(share.alias("share"))
    return votes.select("text_hash", "label", F.when(F.col("share") != 0.5, F.col("share") > 0.5).alias("positive"))


def aligned(values: Column, own: Sequence[str], wanted: Sequence[str]) -> Column:
    """An array column in the order of a model's own labels, in the order wanted: null for labels it does not know."""
    if tuple(own) == tuple(wanted):
        return values
    place = {label: number for number, label in enumerate(own)}
    found = [values[place[label]] if label in place else F.lit(None).cast("float") for label in wanted]
    return F.when(values.isNotNull(), F.array(*found))


def probabilities(logits: Column, task: TaskSettings) -> Column:
    """`predictions.probabilities` of an array column; a label without a logit (null) has no probability."""
    if task.kind != "multi_class":
        return F.transform(logits, lambda logit: 1 / (1 + F.exp(-logit)))
    shares = F.transform(logits, lambda logit: F.exp(logit - F.array_max(logits)))
    total = F.aggregate(shares, F.lit(0.0), lambda so_far, share: so_far + F.coalesce(share, F.lit(0.0)))
    return F.transform(shares, lambda share: share / total)


def keep_argmax(probabilities: Column, task: TaskSettings) -> Column:
    """`predictions.keep_argmax` of an array column: of classes, all but the likeliest become 0."""
    if task.kind != "multi_class":
        return probabilities
    winner = F.array_position(probabilities, F.array_max(probabilities)) - 1  # counted from 1, as SQL does
    return F.transform(probabilities, lambda one, at: F.when(at == winner, one).otherwise(F.lit(0).cast("float")))


def threshold_version(lake: Lake, model_id: str) -> int | None:
    """The newest version of a model's thresholds."""
    rows = lake.read(tables.THRESHOLDS).where(F.col("model_id") == model_id).agg(F.max("version")).collect()
    version = rows[0][0]
    return None if version is None else int(version)


def thresholds(lake: Lake, model_id: str, version: int) -> dict[tuple[str, str], float]:
    """Thresholds by (scene, label); the scene `*` stands for all without their own."""
    chosen = lake.read(tables.THRESHOLDS).where((F.col("model_id") == model_id) & (F.col("version") == version))
    return {(row["scene"], row["label"]): row["value"] for row in chosen.select("scene", "label", "value").collect()}


def newest_thresholds(lake: Lake, model_id: str) -> dict[tuple[str, str], float]:
    """A model's thresholds of its newest version, by (scene, label)."""
    return thresholds(lake, model_id, threshold_version(lake, model_id) or 1)


def threshold_row(found: dict[tuple[str, str], float], scene: str, labels: Sequence[str]) -> list[float]:
    """The thresholds of a scene in the order of the labels."""
    return [found.get((scene, label), found[EVERY_SCENE, label]) for label in labels]
