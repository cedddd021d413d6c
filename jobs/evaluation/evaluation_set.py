"""The texts that a task's models are evaluated on, and their golds: teacher, annotators, student in force."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from jobs.evaluation.human_gold import Gold, Utterances, human_gold
from jobs.evaluation.scored_texts import scored_texts
from jobs.lake import registry, threshold_queries
from jobs.lake.evaluation_rows import EPOCH
from jobs.lake.registry import RegisteredModel
from jobs.lake.store import Lake
from jobs.lake.threshold_queries import Thresholds
from models.evaluation.ensemble import in_order
from models.evaluation.predictions import Floats, decide, probabilities
from models.evaluation.sliced_metrics import GoldRows
from models.rounds.hash_draw import Draw
from models.serving.engine import EngineKind
from models.serving.open_engine import open_engine
from models.tasks import TaskKind, TaskSettings
from udfs.list_arrays import to_matrix

Probabilities: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EvaluationSet:
    """The scored texts of some days, a row a day, scene and distinct text.

    Attributes:
        rows: As they were read: text, text_b, the teacher's logits in its own order, and more.
        distinct: (texts,) a row of each distinct text: those are scored.
        text_of_row: (rows,) each row's place among the distinct texts.
        testing: (rows,) True on the test days.
        seen: (rows,) True where the text is among the round's training rows.
        drawn: (rows,) True where the text is of the draw by hash of its days: these stand for all texts.
        golds: By name: `teacher`, what a student is to follow: the teacher's decisions, or annotators' answers where
            the teacher is not trusted; `human`, where annotators labelled; `live`, what the student in force decides.
        decided: The teacher's own decisions, of untrusted labels too.
        utterances: What annotators say of each utterance, where texts were asked for it.
    """

    rows: pa.Table
    distinct: NDArray[np.int64]
    text_of_row: NDArray[np.int64]
    testing: NDArray[np.bool_]
    seen: NDArray[np.bool_]
    drawn: NDArray[np.bool_]
    golds: Mapping[str, GoldRows]
    decided: GoldRows | None = None
    utterances: Utterances | None = None

    @property
    def parts(self) -> dict[str, NDArray[np.bool_]]:
        """What is evaluated apart on the test days.

        `test`: the draw by hash. `test_unseen` and `test_seen`: those of it that training has not seen, and has.
        `test_chosen`: unseen texts that were scored for another reason, which stand for nothing but themselves.
        """
        test = self.testing & self.drawn
        return {
            "test_unseen": test & ~self.seen, "test": test, "test_seen": test & self.seen,
            "test_chosen": self.testing & ~self.drawn & ~self.seen,
        }  # fmt: skip

    @property
    def scenes(self) -> list[str]:
        """The scene of each row."""
        scenes: list[str] = self.rows.column("scene").to_pylist()
        return scenes

    def with_gold(self, name: str, gold: Gold) -> EvaluationSet:
        """The same texts with one more gold."""
        occurrences, scenes = self.rows.column("occurrences").to_numpy(), np.array(self.scenes, np.str_)
        rows = GoldRows(day_numbers(self.rows), scenes, occurrences, *gold, self.text_of_row)
        return replace(self, golds={**self.golds, name: rows})

    def human_positives(self, labels: Sequence[str], part: str = "test_unseen") -> dict[str, int]:
        """How many distinct texts of a part have each label by the annotators."""
        humans = self.golds["human"]
        positive = humans.gold & humans.known & self.parts[part][:, None]
        return {label: len(np.unique(self.text_of_row[positive[:, at]])) for at, label in enumerate(labels)}

    def texts(self) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
        """The distinct texts and, of pairs, their second ones."""
        rows = pa.array(self.distinct)
        return self.rows.column("text").take(rows), self.rows.column("text_b").take(rows)


def read_evaluation_set(
    lake: Lake, teacher: RegisteredModel, declared: TaskSettings, threshold: Draw, test: Draw, round_id: str,
    engine: EngineKind, untrusted: Collection[str] = (),
) -> EvaluationSet:  # fmt: skip
    """What a round's models are evaluated on: what the teacher scored of the threshold and test days.

    Args:
        lake: The tables.
        teacher: Whose scores bound it.
        declared: The task as the settings declare it; models are evaluated on the labels that the teacher knows.
        threshold: The threshold days, and what is drawn of them.
        test: The test days likewise.
        round_id: The round, whose training rows count as seen.
        engine: Which engine scores with the student in force.
        untrusted: The labels that are held to annotators in the teacher's place.
    """
    task = declared.of(teacher.labels)
    rows = scored_texts(lake, teacher, task, [threshold, test], [round_id])
    testing = day_numbers(rows) >= (test.window.first - EPOCH).days
    evaluation = _with_golds(lake, teacher, declared, rows, testing, untrusted)
    live = _live_gold(lake, teacher.task, task, evaluation, engine)
    return evaluation if live is None else evaluation.with_gold("live", live)


def read_days(
    lake: Lake, teacher: RegisteredModel, declared: TaskSettings, draw: Draw, seen_by: Collection[str] = (),
    untrusted: Collection[str] = (),
) -> EvaluationSet:  # fmt: skip
    """What a teacher scored of some days, all of them test days.

    Args:
        lake: The tables.
        teacher: Whose scores bound it.
        declared: The task as the settings declare it.
        draw: The days, and what is drawn of them.
        seen_by: The rounds and teachers whose training rows count as seen.
        untrusted: The labels that are held to annotators in the teacher's place.
    """
    rows = scored_texts(lake, teacher, declared.of(teacher.labels), [draw], seen_by)
    return _with_golds(lake, teacher, declared, rows, np.ones(rows.num_rows, np.bool_), untrusted)


def _with_golds(
    lake: Lake, teacher: RegisteredModel, declared: TaskSettings, rows: pa.Table, testing: NDArray[np.bool_],
    untrusted: Collection[str],
) -> EvaluationSet:  # fmt: skip
    """The rows with the decisions of the teacher and of annotators."""
    labels = declared.of(teacher.labels).label_names
    hashes = rows.column("text_hash").to_numpy(zero_copy_only=False)
    _, distinct, text_of_row = np.unique(hashes, return_index=True, return_inverse=True)
    seen, drawn = (rows.column(name).to_numpy() for name in ("seen", "drawn"))
    evaluation = EvaluationSet(rows, distinct, text_of_row, testing, seen, drawn, {})
    of_teacher = teacher_gold(lake, teacher, declared.kind, rows, labels)
    human, utterances = human_gold(lake, teacher.task, declared, rows, labels)
    followed = _where(np.isin(labels, list(untrusted)), human, of_teacher)
    decided = evaluation.with_gold("decided", of_teacher).golds["decided"]
    evaluation = evaluation.with_gold("teacher", followed).with_gold("human", human)
    return replace(evaluation, decided=decided, utterances=utterances)


def _where(labels: NDArray[np.bool_], one: Gold, other: Gold) -> Gold:
    """One gold for some labels (labels,), the other for the rest."""
    gold, known = (np.where(labels, first, second) for first, second in zip(one, other, strict=True))
    return gold, known


def student_probabilities(
    lake: Lake, student: RegisteredModel, evaluation: EvaluationSet, engine: EngineKind
) -> Probabilities:
    """A sealed student's probabilities of an evaluation set's rows: (rows, labels of the student)."""
    if not len(evaluation.text_of_row):
        return np.zeros((0, len(student.labels)), np.float32)
    opened = open_engine(registry.files(lake, student).local(), engine)
    return opened.probabilities(opened.read(*evaluation.texts()))[evaluation.text_of_row]


def day_numbers(rows: pa.Table) -> NDArray[np.int32]:
    """The column `dt` as days since 1970, which is what Arrow keeps of it."""
    numbers: NDArray[np.int32] = rows.column("dt").cast(pa.int32()).to_numpy()
    return numbers


def teacher_gold(lake: Lake, teacher: RegisteredModel, kind: TaskKind, rows: pa.Table, labels: Sequence[str]) -> Gold:
    """The teacher's decisions for rows with `scene` and `logits`, by its newest thresholds; none of unknown labels."""
    thresholds = threshold_queries.read_newest(lake, teacher.model_id)
    scores = probabilities(to_matrix(rows.column("logits"), len(teacher.labels)), kind)
    return decide_by_scene(scores, teacher, thresholds, rows.column("scene").to_pylist(), kind, labels)


def decide_by_scene(
    scores: Floats, model: RegisteredModel, thresholds: Thresholds, scenes: Sequence[str], kind: TaskKind,
    labels: Sequence[str],
) -> Gold:  # fmt: skip
    """A model's decisions by the thresholds of each row's scene, for the labels wanted.

    Args:
        scores: Probabilities (rows, labels of the model).
        model: Whose they are.
        thresholds: By scene and label.
        scenes: Of each row.
        kind: The task's kind.
        labels: The labels wanted, in their order; one that the model does not know has no decision.
    """
    limits = {scene: threshold_queries.for_scene(thresholds, scene, model.labels) for scene in set(scenes)}
    wanted = np.array([limits[scene] for scene in scenes]).reshape(scores.shape)
    decisions = in_order(decide(scores, wanted, kind).astype(np.float32), model.labels, labels)
    return decisions == 1, ~np.isnan(decisions)


def _live_gold(lake: Lake, name: str, task: TaskSettings, evaluation: EvaluationSet, engine: EngineKind) -> Gold | None:
    """What the task's student in force decides of the texts: whose positives a new one should keep."""
    promotion = registry.live(lake).get(name)
    if promotion is None or not len(evaluation.text_of_row):
        return None
    student = registry.model(lake, promotion.model_id)
    scores = student_probabilities(lake, student, evaluation, engine)
    thresholds = threshold_queries.read(lake, student.model_id, promotion.threshold_version)
    return decide_by_scene(scores, student, thresholds, evaluation.scenes, task.kind, task.label_names)
