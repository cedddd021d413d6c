"""Whether a teacher beats the student that learns from the same annotations without it, on texts that neither has seen.

The texts are those of the threshold, test and gate days that annotators answered, without any of the teacher's rows.
Each distinct text counts once. The figures are rows of `evaluations`, of the purpose `held_out`, once for a teacher,
a student's settings and the annotators' answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from jobs.lake import tables
from jobs.lake.commits import Scope, Stamp
from jobs.lake.evaluation_rows import EPOCH, evaluation_row
from jobs.lake.registry import RegisteredModel
from jobs.lake.store import Lake
from jobs.teachers.base_model import MakeProgress
from jobs.teachers.held_out_texts import HeldOutTest, HeldOutTexts, decided, held_out_texts, undistilled_logits
from jobs.teachers.stored_scores import logits_of
from models import digests
from models.evaluation.held_out import HeldOutComparison, compare
from models.evaluation.label_trust import TRUST_VERSION, LabelTrust, trust_labels
from models.evaluation.metrics import Counts
from models.evaluation.sliced_metrics import SliceCounts, count_by_slice
from models.student_settings import StudentSettings

if TYPE_CHECKING:
    from models.teachers.teacher import Teacher

PURPOSE = "held_out"
_TRUST_COLUMNS = tuple(field.name for field in fields(LabelTrust))


@dataclass(frozen=True, slots=True)
class TeacherVerdict:
    """What is known of a teacher beside its student, also in words; no comparison where annotators said too little."""

    comparison: HeldOutComparison | None
    sentence: str
    trust: tuple[LabelTrust, ...] = ()

    @property
    def weak(self) -> bool:
        """Whether the teacher is known not to beat its student."""
        return self.comparison is not None and self.comparison.weak

    @property
    def lines(self) -> list[str]:
        """What the user is told: the figures, with a warning where it is weak, and labels that it does not teach."""
        warning = "[yellow]warning[/yellow] " if self.weak else ""
        apart = [one.words for one in self.trust if one.trust <= 0]
        instead = "students learn it from annotators alone, unless rounds.accept_weak_teacher or `distil --force`"
        without = [f"    not trusted with {words}: {instead}" for words in apart]
        return [f"  {warning}{self.sentence}", *without]


def without_scheme(student: StudentSettings) -> dict[str, Any]:
    """What decides an undistilled student: how it would learn from a teacher does not."""
    return student.model_dump(mode="json", exclude={"scheme"})


def scope_of(model_id: str) -> Scope:
    """What the commits of a teacher's comparison are about."""
    return Scope(column="round_id", values=(_round_id(model_id),))


def recorded(lake: Lake, teacher: RegisteredModel) -> HeldOutComparison | None:
    """The comparison that is kept of a teacher; None where there is none, or annotators said too little."""
    return _compared(_rows(lake, teacher.model_id), teacher.model_id)


def trust(lake: Lake, teacher: RegisteredModel) -> tuple[LabelTrust, ...]:
    """How far a teacher is trusted, label by label; none where annotators said too little to tell."""
    rows = lake.rows(tables.LABEL_TRUST, where=pc.field("model_id") == teacher.model_id)
    found = {row["label"]: LabelTrust(**{name: row[name] for name in _TRUST_COLUMNS}) for row in rows}
    return tuple(found[label] for label in teacher.labels if label in found)


def verdict(
    lake: Lake, test: HeldOutTest, trained: Callable[[], Teacher], stamp: Stamp, progress: MakeProgress
) -> tuple[TeacherVerdict, bool]:
    """Compare a teacher with its undistilled student, unless the very same comparison is kept already.

    The stamp is kept in any case: it says from what the teacher was looked at.

    Args:
        lake: The tables; the teacher's rows are among `round_samples`.
        test: Whom, by what.
        trained: Gives the teacher, where it must score; never asked of one whose scores come from outside.
        stamp: Of the run, with the fingerprint of all that decides it.
        progress: Makes what tells how far the student's training is.

    Returns:
        What is known, and whether a student was trained for it.
    """
    model_id, scope = test.teacher.model_id, scope_of(test.teacher.model_id)
    texts = held_out_texts(lake, test)
    decides = [without_scheme(test.declared.student), test.seed, texts.digest]
    decides += [
        TRUST_VERSION,
        test.thresholds.min_positives_all_scenes,
        test.task.model_dump(mode="json", include={"labels", "kind"}),
    ]
    student_id = f"{model_id}/undistilled/{digests.of_json(decides, chars=12)}"
    kept = _rows(lake, model_id)
    if any(row["model_id"] == student_id for row in kept):
        lake.append_rows(tables.EVALUATIONS, [], stamp, scope=scope)
        known = trust(lake, test.teacher)
        return _told(test, texts, _compared(kept, model_id), known), False
    rows: list[dict[str, Any]] = []
    trusted: tuple[LabelTrust, ...] = ()
    enough = texts.positives >= test.thresholds.min_positives
    if enough:
        labels, pairs = test.task.label_names, test.task.kind == "pair"
        logits = logits_of(lake, test.teacher, trained, texts.table, labels, pairs=pairs)
        of_teacher = decided(test, texts, logits)
        of_student = decided(test, texts, undistilled_logits(lake, test, texts, progress))
        rows = [
            *_counted(test, texts, of_teacher, model_id, stamp.run_id),
            *_counted(test, texts, of_student, student_id, stamp.run_id),
        ]
        trusted = trust_labels(
            of_teacher, of_student, texts.evidence, test.task.label_names, test.thresholds.min_positives, test.seed
        )
    of_run = {"model_id": model_id, "run_id": stamp.run_id}
    lake.replace_rows(
        tables.LABEL_TRUST, [asdict(one) | of_run for one in trusted], stamp,
        Scope(column="model_id", values=(model_id,)),
    )  # fmt: skip
    lake.replace_rows(tables.EVALUATIONS, rows, stamp, scope)
    return _told(test, texts, _compared(rows, model_id), trusted), enough


def _counted(
    test: HeldOutTest, texts: HeldOutTexts, decisions: NDArray[np.bool_], model_id: str, run_id: str
) -> list[dict[str, Any]]:
    """A model's rows of `evaluations`."""
    return [
        evaluation_row(
            cut, round_id=_round_id(test.teacher.model_id), model_id=model_id, gold="human", purpose=PURPOSE,
            run_id=run_id,
        )
        for cut in count_by_slice(decisions, texts.evidence, test.task.label_names)
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


def _told(
    test: HeldOutTest, texts: HeldOutTexts, comparison: HeldOutComparison | None, trusted: tuple[LabelTrust, ...] = ()
) -> TeacherVerdict:
    model_id = test.teacher.model_id
    if comparison is not None:
        return TeacherVerdict(comparison, f"{model_id} reaches {comparison.figures}", trusted)
    return TeacherVerdict(
        None,
        f"{model_id}: annotators say too little of the threshold, test and gate days to tell whether it beats its "
        f"student ({len(texts.evidence):,} texts, {texts.positives:,} positives; thresholds.min_positives "
        f"{test.thresholds.min_positives})",
    )
