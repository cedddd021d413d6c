"""Whether a teacher beats the student that learns from the same annotations without it, on texts that neither has seen.

The texts are those of the threshold, test and gate days that annotators answered, without any of the teacher's rows.
Each distinct text counts once. The figures are rows of `evaluations`, of the purpose `held_out`, once for a teacher,
a student's settings and the annotators' answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyspark.sql import functions as F

from jobs.lake import tables, text_queries
from jobs.lake.commits import Scope, Stamp
from jobs.lake.evaluation_rows import EPOCH, evaluation_row
from jobs.lake.registry import RegisteredModel
from jobs.lake.store import Lake
from jobs.teachers.annotated_texts import answered_texts, answers
from jobs.teachers.base_model import MakeProgress
from jobs.training.encoded_rows import build_vocabulary, encoded_column, training_rows
from models import digests
from models.evaluation.held_out import HeldOutComparison, compare, cross_fitted_decisions
from models.evaluation.metrics import Counts
from models.evaluation.predictions import complete_class_labels, probabilities
from models.evaluation.sliced_metrics import GoldRows, SliceCounts, count_by_slice
from models.evaluation.threshold_search import ThresholdSettings
from models.rounds.date_layout import DateLayout, Window
from models.student_settings import StudentSettings
from models.tasks import TaskSettings

if TYPE_CHECKING:
    from models.teachers.teacher import Teacher

PURPOSE = "held_out"


@dataclass(frozen=True, slots=True)
class HeldOutTexts:
    """Annotated texts that a teacher has not learnt from, ordered by hash.

    Attributes:
        table: text_hash, text and text_b.
        evidence: A row a distinct text with the annotators' answers, in the order of the teacher's labels.
    """

    table: pa.Table
    evidence: GoldRows

    @property
    def positives(self) -> int:
        """Labels that hold, over all texts."""
        return int((self.evidence.gold & self.evidence.known).sum())

    @property
    def digest(self) -> str:
        """Names the texts and what annotators say of them."""
        said = np.where(self.evidence.known, self.evidence.gold.astype(np.int8), -1).tolist()
        return digests.of_json([self.table.column("text_hash").to_pylist(), said])


@dataclass(frozen=True, slots=True)
class TeacherVerdict:
    """What is known of a teacher beside its student, also in words; no comparison where annotators said too little."""

    comparison: HeldOutComparison | None
    sentence: str

    @property
    def weak(self) -> bool:
        """Whether the teacher is known not to beat its student."""
        return self.comparison is not None and self.comparison.weak


@dataclass(frozen=True, slots=True)
class HeldOutTest:
    """What a teacher is compared by.

    Attributes:
        teacher: Whom.
        declared: Its task, as the settings declare it; the student is that of its first round.
        layout: The days.
        seed: Of the student's training.
        thresholds: How much evidence a threshold needs, and the fewest positives that tell anything.
    """

    teacher: RegisteredModel
    declared: TaskSettings
    layout: DateLayout
    seed: int
    thresholds: ThresholdSettings

    @property
    def task(self) -> TaskSettings:
        """The task with the labels that the teacher knows."""
        return self.declared.of(self.teacher.labels)


def without_scheme(student: StudentSettings) -> dict[str, Any]:
    """What decides an undistilled student: how it would learn from a teacher does not."""
    return student.model_dump(mode="json", exclude={"scheme"})


def scope_of(model_id: str) -> Scope:
    """What the commits of a teacher's comparison are about."""
    return Scope(column="round_id", values=(_round_id(model_id),))


def recorded(lake: Lake, teacher: RegisteredModel) -> HeldOutComparison | None:
    """The comparison that is kept of a teacher; None where there is none, or annotators said too little."""
    return _compared(_rows(lake, teacher.model_id), teacher.model_id)


def verdict(
    lake: Lake, test: HeldOutTest, trained: Callable[[], Teacher], stamp: Stamp, progress: MakeProgress
) -> tuple[TeacherVerdict, bool]:
    """Compare a teacher with its undistilled student, unless the very same comparison is kept already.

    The stamp is kept in any case: it says from what the teacher was looked at.

    Args:
        lake: The tables; the teacher's rows are among `round_samples`.
        test: Whom, by what.
        trained: Gives the teacher, where it must score.
        stamp: Of the run, with the fingerprint of all that decides it.
        progress: Makes what tells how far the student's training is.

    Returns:
        What is known, and whether a student was trained for it.
    """
    model_id, scope = test.teacher.model_id, scope_of(test.teacher.model_id)
    texts = held_out_texts(lake, test)
    decides = [without_scheme(test.declared.student), test.seed, texts.digest]
    decides += [test.thresholds.min_positives_all_scenes, test.task.model_dump(mode="json", include={"labels", "kind"})]
    student_id = f"{model_id}/undistilled/{digests.of_json(decides, chars=12)}"
    kept = _rows(lake, model_id)
    if any(row["model_id"] == student_id for row in kept):
        lake.append_rows(tables.EVALUATIONS, [], stamp, scope=scope)
        return _told(test, texts, _compared(kept, model_id)), False
    rows: list[dict[str, Any]] = []
    enough = texts.positives >= test.thresholds.min_positives
    if enough:
        second = texts.table.column("text_b").to_pylist() if test.task.kind == "pair" else None
        logits, _ = trained().score(texts.table.column("text").to_pylist(), second=second)
        rows = [
            *_counted(test, texts, logits, model_id, stamp.run_id),
            *_counted(test, texts, _undistilled_logits(lake, test, texts, progress), student_id, stamp.run_id),
        ]
    lake.replace_rows(tables.EVALUATIONS, rows, stamp, scope)
    return _told(test, texts, _compared(rows, model_id)), enough


def held_out_texts(lake: Lake, test: HeldOutTest) -> HeldOutTexts:
    """The annotated texts of the threshold, test and gate days that are not among the teacher's own rows."""
    window = Window(test.layout.threshold.first, test.layout.gate.last)
    table = answered_texts(lake, test.teacher.task, test.declared, window)
    own = lake.arrow(tables.ROUND_SAMPLES, "text_hash", where=pc.field("round_id") == test.teacher.model_id)
    table = table.filter(pc.invert(pc.is_in(table.column("text_hash"), own.column("text_hash").combine_chunks())))
    declared, labels = test.declared.label_names, test.task.label_names
    # All labels of the task: a class that the teacher does not know denies those that it knows.
    values = complete_class_labels(answers(table, declared), test.declared.kind)
    values = values[:, [declared.index(label) for label in labels]]
    answered = ~np.isnan(values).all(axis=1)
    table, values = table.filter(pa.array(answered)), values[answered]
    count = len(values)
    days: NDArray[np.int32] = table.column("first_day").cast(pa.int32()).to_numpy()
    scenes = np.array(table.column("first_scene").to_pylist(), np.str_)
    evidence = GoldRows(
        days, scenes, np.ones(count, np.int64), values == 1, ~np.isnan(values), np.arange(count, dtype=np.int64)
    )
    return HeldOutTexts(table.select(["text_hash", "text", "text_b"]), evidence)


def _undistilled_logits(
    lake: Lake, test: HeldOutTest, texts: HeldOutTexts, progress: MakeProgress
) -> NDArray[np.float32]:
    """What round 1's student says that learnt from the teacher's rows in round 1's order, without the teacher."""
    from models.students.student import predict
    from models.training.trainer import train_student

    task, student = test.task, test.declared.student
    frame = lake.read(tables.ROUND_SAMPLES).where(F.col("round_id") == test.teacher.model_id)
    rows = frame.orderBy(text_queries.drawn_by_hash("text_hash", test.seed), "text_hash").toArrow()
    vocabulary = build_vocabulary([encoded_column(task, student, rows)], task, student)
    shown = progress(f"{test.teacher.task}: the student without its teacher")
    trained = train_student(
        training_rows(rows, task=task, vocabulary=vocabulary, student=student), student,
        vocabulary_size=len(vocabulary), labels=len(task.label_names), seed=test.seed, kind=task.kind, distil=False,
        progress=shown, after_epoch=shown.epoch,
    )  # fmt: skip
    encoded = vocabulary.encode(encoded_column(task, student, texts.table), student.max_length)
    return predict(trained.student, encoded)


def _counted(
    test: HeldOutTest, texts: HeldOutTexts, logits: NDArray[np.float32], model_id: str, run_id: str
) -> list[dict[str, Any]]:
    """A model's rows of `evaluations`, from its logits in the order of the labels."""
    task = test.task
    scores = probabilities(logits, task.kind).astype(np.float32)
    targets = [settings.target for settings in task.labels.values()]
    decisions = cross_fitted_decisions(
        scores, texts.evidence, targets, task.kind, test.thresholds.min_positives_all_scenes
    )
    return [
        evaluation_row(
            cut, round_id=_round_id(test.teacher.model_id), model_id=model_id, gold="human", purpose=PURPOSE,
            run_id=run_id,
        )
        for cut in count_by_slice(decisions, texts.evidence, task.label_names)
    ]  # fmt: skip


def _round_id(model_id: str) -> str:
    """What stands in place of a round where a teacher is compared."""
    return f"{PURPOSE}/{model_id}"


def _rows(lake: Lake, model_id: str) -> list[dict[str, Any]]:
    return lake.rows(tables.EVALUATIONS, where=pc.field("round_id") == _round_id(model_id))


def _compared(rows: Sequence[dict[str, Any]], teacher_id: str) -> HeldOutComparison | None:
    slices: dict[bool, list[SliceCounts]] = {True: [], False: []}
    for row in rows:
        counts = Counts(row["tp"], row["fp"], row["fn"], row["tn"])
        slices[row["model_id"] == teacher_id].append(
            SliceCounts((row["dt"] - EPOCH).days, row["scene"], row["label"], counts, counts)
        )
    return compare(slices[True], slices[False])


def _told(test: HeldOutTest, texts: HeldOutTexts, comparison: HeldOutComparison | None) -> TeacherVerdict:
    model_id = test.teacher.model_id
    if comparison is not None:
        return TeacherVerdict(comparison, f"{model_id} reaches {comparison.figures}")
    return TeacherVerdict(
        None,
        f"{model_id}: annotators say too little of the threshold, test and gate days to tell whether it beats its "
        f"student ({len(texts.evidence):,} texts, {texts.positives:,} positives; thresholds.min_positives "
        f"{test.thresholds.min_positives})",
    )
