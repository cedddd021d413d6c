"""What a scheme learns from beside a round's own rows: averages of several teachers, hints, earlier checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.pandas.types import to_arrow_schema

from jobs.lake import registry, score_columns, tables
from jobs.lake.registry import RegisteredModel
from jobs.lake.store import Lake
from jobs.lake.teacher_scores import frame as scored_by
from jobs.rounds.round import Round
from jobs.runtime.executors import map_batches
from jobs.scoring.inference import bucket, student_scores, teacher_scores
from jobs.scoring.teacher_compute import in_torch
from jobs.settings import TeacherScoringSettings
from models.errors import DataError
from models.scheme_settings import JOINT, MultiTeacherSettings
from models.serving.engine import EngineKind
from models.student_settings import StudentSettings
from udfs.averaging import EnsembleMember, averager
from udfs.list_arrays import FLOAT_LIST

# What `student.scheme.teachers` may call the newest teacher, and the student in force.
TEACHER, LIVE = "teacher", "live"
Say = Callable[[str], None]


def expect_network(round_: Round, student: StudentSettings) -> None:
    """Refuse a scheme that needs the teacher's network, where there is none.

    Raises:
        DataError: The teacher's scores come from outside.
    """
    scheme = student.scheme
    if not round_.teacher.is_external or not (scheme.kind in JOINT or scheme.hint_weight or scheme.curriculum):
        return
    needs = scheme.kind if scheme.kind in JOINT else "curriculum" if scheme.curriculum else "hint_weight"
    raise DataError(
        f"student.scheme of {round_.task_name}: {needs} needs the teacher's network, and the scores of "
        f"{round_.teacher.model_id} come from outside; take offline or multi_teacher without hints and curriculum, or "
        "train a teacher"
    )


def with_soft_targets(
    lake: Lake, round_: Round, student: StudentSettings, engine: EngineKind, scoring: TeacherScoringSettings, say: Say
) -> tuple[DataFrame, int]:
    """A round's rows with what the student's scheme needs, and how many intermediate checkpoints these have.

    Of several teachers `soft` is their average; with hints there is also `cls`, with a curriculum `checkpoint_0` and
    so on, the teacher's logits at these points of its training.
    """
    expect_network(round_, student)
    frame = lake.read(tables.ROUND_SAMPLES).where(F.col("round_id") == round_.round_id)
    scheme, computed = student.scheme, False
    if isinstance(scheme, MultiTeacherSettings):
        frame, computed = averaged(lake, round_, scheme, frame, engine, say), True
    if scheme.hint_weight and scheme.kind not in JOINT:
        scores = scored_by(lake, round_.teacher.model_id)
        frame, computed = frame.join(scores.select("text_hash", "cls"), "text_hash", "left"), True
    checkpoints = 0
    if scheme.curriculum and scheme.kind not in JOINT:
        frame, checkpoints = _with_checkpoints(lake, round_, frame, scoring)
        computed = True
    return (frame.localCheckpoint(eager=True) if computed else frame), checkpoints


def _with_checkpoints(
    lake: Lake, round_: Round, frame: DataFrame, scoring: TeacherScoringSettings
) -> tuple[DataFrame, int]:
    """The rows with the logits of the teacher's intermediate checkpoints, and how many there are."""
    teacher = round_.teacher
    checkpoints = teacher.intermediate_checkpoints
    if not checkpoints:
        raise DataError(
            f"student.scheme.curriculum: {teacher.model_id} kept no intermediate checkpoints; set teacher.checkpoints "
            "and train it again"
        )
    texts = frame.select("text_hash", "text", "text_b").withColumn("bucket", bucket())
    for number, checkpoint in enumerate(checkpoints):
        logits = score_columns.aligned(F.col("logits"), teacher.labels, round_.labels).alias(f"checkpoint_{number}")
        prepared = in_torch(lake, checkpoint, scoring)  # it scores once: drawing its graph would not pay
        scores = teacher_scores(lake, checkpoint, round_.declared, texts, prepared).where(F.col("error").isNull())
        frame = frame.join(scores.select("text_hash", logits), "text_hash", "left")
    return frame, len(checkpoints)


def averaged(
    lake: Lake, round_: Round, scheme: MultiTeacherSettings, rows: DataFrame, engine: EngineKind, say: Say
) -> DataFrame:
    """The rows with the average of all that `student.scheme.teachers` names as their `soft`.

    Past students score on the executors, other teachers are read from `teacher_scores`: of what they have not seen they
    say nothing. Without `student.scheme.teachers`, the newest teacher and the student in force count alike.
    """
    keep = rows.columns
    members: list[EnsembleMember] = []
    for number, (model, weight) in enumerate(_teachers(lake, round_, scheme, say)):
        column = f"member_{number}"
        if model.model_id == round_.teacher.model_id:  # its logits are in the round's order already
            rows = rows.withColumn(column, F.col("soft"))
            members.append(EnsembleMember(column, round_.labels, weight, logits=True))
            continue
        if model.role == "student":
            key, scores = "text_id", _student_probabilities(lake, rows, model, engine)
        else:
            key, scores = "text_hash", _teacher_logits(lake, model)
        rows = rows.join(scores.withColumnRenamed("scores", column), key, "left")
        members.append(EnsembleMember(column, model.labels, weight, logits=model.role == "teacher"))
    others = [name for name in keep if name != "soft"]
    kept = [field.with_nullable(True) for field in to_arrow_schema(rows.select(*others).schema)]
    schema = pa.schema([*kept, pa.field("soft", FLOAT_LIST)])
    function = averager(members, round_.labels, round_.task.kind, others)
    return map_batches(rows.drop("soft"), function, schema).select(*keep)


def _teachers(lake: Lake, round_: Round, scheme: MultiTeacherSettings, say: Say) -> list[tuple[RegisteredModel, float]]:
    """The models to learn from, and their weights; a student that is to be in force but is not yet is left out."""
    named: Mapping[str, float] = scheme.teachers or {TEACHER: 1.0, LIVE: 1.0}
    live, task = registry.live(lake).get(round_.task_name), round_.task_name
    chosen: list[tuple[RegisteredModel, float]] = []
    for name, weight in named.items():
        if name == TEACHER:
            chosen.append((round_.teacher, weight))
        elif name != LIVE:
            chosen.append((registry.model(lake, name), weight))
        elif live is not None:
            chosen.append((registry.model(lake, live.model_id), weight))
        else:
            say(f"  {task}: no student is in force yet, so none is among the teachers")
    if not chosen:
        raise DataError(f"student.scheme.teachers of {task}: none of {', '.join(named)} is there yet")
    others = [model.model_id for model, _ in chosen if model.task != task]
    if others:
        raise DataError(f"student.scheme.teachers of {task}: {', '.join(others)} are of another task")
    return chosen


def _student_probabilities(lake: Lake, rows: DataFrame, student: RegisteredModel, engine: EngineKind) -> DataFrame:
    keep = pa.schema([("text_id", pa.string())])
    scores = student_scores(lake, rows, (student,), {student.model_id: F.lit(True)}, engine, keep)
    return scores.select("text_id", F.col("probs").alias("scores"))


def _teacher_logits(lake: Lake, teacher: RegisteredModel) -> DataFrame:
    scores = scored_by(lake, teacher.model_id)
    return scores.select("text_hash", F.col("logits").alias("scores"))
