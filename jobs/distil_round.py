"""Inside a round: from its rows to a sealed student, and from the later days to what it is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyspark.sql import Column, DataFrame, Window, WindowSpec
from pyspark.sql import functions as F

from jobs.lake import queries, tables
from jobs.lake.queries import Model
from jobs.runtime.job import Context
from models import round_plan
from models.evaluation import Cell, Evidence, by_label, macro_of, search_thresholds, tally
from models.metrics import Quality
from models.round_plan import DateLayout, Decision
from models.serving import open_engine
from models.threshold_search import EVERY_SCENE, Found
from models.vocabulary import Encoded, Vocabulary

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Trained:
    """A round's student, sealed, and beside it the same student without distillation."""

    model_id: str
    bundle: Path
    undistilled: Any  # the twin's network; it is measured, never sealed
    losses: tuple[float, ...]
    rows: int


@dataclass(frozen=True, slots=True)
class Judged:
    """What a round's student and its twin are worth: cells by (model name, model_id, gold, purpose); their means."""

    cells: Mapping[tuple[str, str, str, str], list[Cell]]
    metrics: list[dict[str, Any]]
    row_counts: dict[str, int]
    thresholds: tuple[Found, ...]  # the student's, in the labels' order


def in_hash_order(seed: int) -> WindowSpec:
    """The order in which the trainer meets the rows, whatever the partitioning."""
    return Window.orderBy(queries.drawn_by_hash("text_hash", seed), "text_hash")


def decided(context: Context, teacher: Model, logits: str) -> Column:
    """The teacher's decisions as hard targets, 0 or 1, from a column of its logits."""
    found = queries.newest_thresholds(context.lake, teacher.model_id)
    limits = F.array(*[F.lit(value) for value in queries.threshold_row(found, EVERY_SCENE, teacher.labels)])
    return F.zip_with(
        logits,
        limits,
        lambda logit, limit: F.when(_sigmoid(logit) >= limit, 1.0).otherwise(0.0).cast("float"),
    )


def _sigmoid(logit: Column) -> Column:
    return 1 / (1 + F.exp(-logit))


def train(context: Context, task: str, rows: pa.Table, *, seed: int, lineage: dict[str, Any]) -> Trained:
    """Train the student by the scheme and its twin without distillation, on the same rows; seal the student."""
    from models.training.export import export_student, model_id_of
    from models.training.trainer import TrainingRows, train_student

    settings = context.settings.task(task)
    labels = settings.label_names
    vocabulary = Vocabulary.build(rows.column("text"), max_size=settings.student.vocabulary_size)
    hard, soft = _matrix(rows.column("hard"), len(labels)), _matrix(rows.column("soft"), len(labels))
    training = TrainingRows(
        texts=vocabulary.encode(rows.column("text"), settings.student.max_length),
        hard=np.nan_to_num(hard), hard_mask=~np.isnan(hard), soft=np.nan_to_num(soft), soft_mask=~np.isnan(soft),
        weight=rows.column("weight").to_numpy(),
    )  # fmt: skip
    both = []
    for distil in (True, False):
        name = "distilling" if distil else "the same without distillation"
        both.append(
            train_student(
                training,
                settings.student,
                vocabulary_size=len(vocabulary),
                labels=len(labels),
                seed=seed,
                distil=distil,
                progress=context.teller(f"{lineage['round']} {name}"),
            )
        )
    student = both[0].student
    model_id = model_id_of(student, task=task, kind=settings.student.kind, labels=labels, vocabulary=vocabulary)
    bundle = export_student(
        student,
        folder=context.lake.bundles / "students" / model_id.replace("/", "-"),
        task=task,
        kind=settings.student.kind,
        labels=labels,
        vocabulary=vocabulary,
        max_length=settings.student.max_length,
        clean_version=context.settings.cleaning.version,
        model_id=model_id,
        extra=lineage,
    )
    return Trained(model_id, bundle, both[1].student, both[0].losses, rows.num_rows)


def _matrix(column: pa.ChunkedArray, labels: int) -> NDArray[np.float32]:
    """Lists of label values as (rows, labels), NaN where a value or a whole list is null."""
    matrix = np.full((len(column), labels), np.nan, np.float32)
    there = ~column.is_null().to_numpy()
    flat = column.drop_null().combine_chunks().flatten()
    matrix[there] = flat.to_numpy(zero_copy_only=False).astype(np.float32).reshape(-1, labels)
    return matrix


def judge(context: Context, task: str, teacher: Model, layout: DateLayout, trained: Trained, rows: pa.Table) -> Judged:
    """Thresholds from the threshold days, quality on the test days; for the student and for its twin alike."""
    later = _later_rows(context, task, teacher, layout)
    texts, where = np.unique(later.column("text_hash").to_numpy(zero_copy_only=False), return_inverse=True)
    first = np.unique(where, return_index=True)[1]
    distinct = later.column("text").take(pa.array(first))
    gold = gold_of_teacher(context, teacher, later)
    days = day_numbers(later)
    testing = days >= (layout.test.first - _EPOCH).days
    seen = np.isin(texts, rows.column("text_hash").to_numpy(zero_copy_only=False))[where]
    engine = open_engine(trained.bundle, context.settings.scoring.engine)
    scores = {
        "student": engine.probabilities(distinct),
        "undistilled": _torch_scores(trained.undistilled, engine.encode(distinct)),
    }
    ids = {"student": trained.model_id, "undistilled": f"{trained.model_id}/undistilled"}
    targets = [settings.target for settings in context.settings.task(task).labels.values()]
    weight = later.column("occurrences").to_numpy()
    scenes = np.array(later.column("scene").to_pylist(), np.str_)
    cells: dict[tuple[str, str, str, str], list[Cell]] = {}
    searched: dict[str, tuple[Found, ...]] = {}
    golds = {
        "teacher": (gold, np.ones_like(gold)),
        "human": _gold_of_humans(context, task, later, teacher.labels),
    }
    for name, distinct_scores in scores.items():
        own = distinct_scores[where]
        evidence = Evidence(days, scenes, weight, *golds["teacher"])
        searched[name] = search_thresholds(own[~testing], evidence.where(~testing), targets)
        decisions = own >= np.array([one.value for one in searched[name]], np.float32)
        for source, (values, known) in golds.items():
            evidence = Evidence(days, scenes, weight, values, known)
            for purpose, chosen in (("test", testing), ("test_unseen", testing & ~seen)):
                if known[chosen].any():
                    cells[name, ids[name], source, purpose] = tally(
                        decisions[chosen], evidence.where(chosen), teacher.labels
                    )
    counts = {
        "threshold": int((~testing).sum()),
        "test": int(testing.sum()),
        "test_unseen": int((testing & ~seen).sum()),
    }
    return Judged(cells, _metrics(cells), counts, searched["student"])


def _later_rows(context: Context, task: str, teacher: Model, layout: DateLayout) -> pa.Table:
    """The scored texts of the threshold and test days, a row a day, scene and text: bounded by the teacher's sample."""
    settings = context.settings.task(task)
    scored = context.lake.read(tables.TEACHER_SCORES).where(F.col("model_id") == teacher.model_id)
    texts = queries.occurrences(context.lake, task, settings, [layout.threshold, layout.test])
    joined = texts.join(scored.select("text_hash", "logits"), "text_hash")
    return joined.orderBy("dt", "scene", "text_hash").toArrow()


def day_numbers(rows: pa.Table) -> NDArray[np.int32]:
    """The column `dt` as days since 1970, which is what Arrow keeps of it."""
    numbers: NDArray[np.int32] = rows.column("dt").cast(pa.int32()).to_numpy()
    return numbers


def gold_of_teacher(context: Context, teacher: Model, rows: pa.Table) -> NDArray[np.bool_]:
    """The teacher's decisions for rows with `scene` and `logits`, by its newest thresholds: (rows, labels)."""
    found = queries.newest_thresholds(context.lake, teacher.model_id)
    scenes = rows.column("scene").to_pylist()
    limits = {scene: queries.threshold_row(found, scene, teacher.labels) for scene in set(scenes)}
    probabilities = 1 / (1 + np.exp(-_matrix(rows.column("logits"), len(teacher.labels)).astype(np.float64)))
    decisions: NDArray[np.bool_] = probabilities >= np.array([limits[scene] for scene in scenes]).reshape(
        probabilities.shape
    )
    return decisions


def _gold_of_humans(
    context: Context, task: str, rows: pa.Table, labels: Sequence[str]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """What annotators say of the rows' texts, and where they say anything; an even split says nothing."""
    annotations = context.lake.read(tables.ANNOTATIONS).where((F.col("task") == task) & F.col("label").isin(*labels))
    votes = annotations.groupBy("text_hash", "label").agg(F.avg(F.col("value").cast("int")).alias("share"))
    place = {label: column for column, label in enumerate(labels)}
    shares: dict[str, dict[int, float]] = {}
    for row in votes.where("share <> 0.5").collect():
        shares.setdefault(row["text_hash"], {})[place[row["label"]]] = row["share"]
    gold = np.zeros((rows.num_rows, len(labels)), np.bool_)
    known = np.zeros_like(gold)
    for index, text_hash in enumerate(rows.column("text_hash").to_pylist()):
        for column, share in shares.get(text_hash, {}).items():
            gold[index, column], known[index, column] = share > 0.5, True
    return gold, known


def _torch_scores(student: Any, encoded: Encoded) -> NDArray[np.float32]:
    from models.training.trainer import predict

    scores: NDArray[np.float32] = (1 / (1 + np.exp(-predict(student, encoded).astype(np.float64)))).astype(np.float32)
    return scores


def _metrics(cells: Mapping[tuple[str, str, str, str], list[Cell]]) -> list[dict[str, Any]]:
    metrics = []
    for (name, _, gold, purpose), found in cells.items():
        quality = macro_of(found)
        if quality is not None:
            values = {"precision": quality.precision, "recall": quality.recall, "f1": quality.f1}
            metrics.append({"model": name, "gold": gold, "part": purpose} | values)
    return metrics


def decide(context: Context, task: str, number: int, judged: Judged) -> Decision:
    """What follows the round, from the student's agreement with its teacher on the test days."""
    test = next(
        (found for key, found in judged.cells.items() if key[0] == "student" and key[2:] == ("teacher", "test")),
        [],
    )
    targets = {label: settings.target for label, settings in context.settings.task(task).labels.items()}
    return round_plan.decide(number, by_label(test), targets, context.settings.rounds)


def evaluations(context: Context, round_id: str, judged: Judged) -> DataFrame:
    """The rows of `evaluations`."""
    rows = []
    for (_, model_id, gold, purpose), cells in judged.cells.items():
        for cell in cells:
            counts = cell.counts
            rows.append((
                round_id, model_id, _EPOCH + timedelta(days=cell.day), cell.scene, cell.label, gold, purpose,
                counts.tp, counts.fp, counts.fn, counts.tn, *_measures(counts.quality), context.run_id,
            ))  # fmt: skip
    return context.spark.createDataFrame(rows, tables.EVALUATIONS.schema)


def threshold_row(
    key: tuple[str, str, str, int], found: Found, window: round_plan.Window, now: datetime, run_id: str
) -> tuple[Any, ...]:
    """A row of `thresholds`; its key is model_id, label, scene and version."""
    precision, recall, _ = _measures(found.counts.quality)
    return (
        *key, found.value, found.method, "teacher", window.first, window.last, found.counts.positives, precision,
        recall, found.worst_precision, found.worst_recall, *found.precision_interval, *found.recall_interval,
        now, run_id,
    )  # fmt: skip


def _measures(quality: Quality | None) -> tuple[float | None, float | None, float | None]:
    return (quality.precision, quality.recall, quality.f1) if quality else (None, None, None)


def summary(judged: Judged) -> str:
    """The round in a few words: macro F1 of the student, on unseen texts, and of its twin."""
    f1 = {(row["model"], row["part"]): row["f1"] for row in judged.metrics if row["gold"] == "teacher"}
    shown = {
        "F1": ("student", "test"),
        "unseen": ("student", "test_unseen"),
        "undistilled": ("undistilled", "test"),
    }
    return ", ".join(f"{name} {f1[key]:.3f}" for name, key in shown.items() if key in f1)
