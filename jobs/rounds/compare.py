"""`pingti compare`: students and schemes trained on one and the same round, and what each is worth."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import ValidationError
from pyspark.sql import functions as F

from jobs.evaluation import speed
from jobs.lake import queries, tables
from jobs.rounds import round_evaluation, student_training
from jobs.rounds.comparison_table import lines_of, summarised, write
from jobs.rounds.round_evaluation import Later
from jobs.rounds.student_training import Lesson
from jobs.rounds.training_data import Prepared, prepared
from jobs.runtime.job import Context, Done, Job, Work
from models.errors import DataError, SettingsError
from models.evaluation.metrics import Quality
from models.evaluation.sliced_metrics import Cell, macro_of, micro_of
from models.rounds.date_layout import PARTS, DateLayout, Window
from models.serving.open_engine import (
    open_engine,
)
from models.tasks import JOINT, Scheme, StudentKind, StudentSettings, Unit

if TYPE_CHECKING:
    from models.teachers.joint_teacher import (
        TeacherInTraining,
    )
    from models.training.trainer import TrainedStudent

UNDISTILLED = "none"
HINT_WEIGHT = 0.1  # of `+hints`, where the settings have none


@dataclass(frozen=True, slots=True)
class Contender:
    """One student under one scheme, as its settings say."""

    student: str
    scheme: str
    settings: StudentSettings

    @property
    def distil(self) -> bool:
        """Whether it learns from a teacher at all."""
        return self.scheme != UNDISTILLED


@dataclass(frozen=True, slots=True)
class Comparison:
    """What is compared on which round."""

    lesson: Lesson
    contenders: tuple[Contender, ...]
    seeds: tuple[int, ...]
    out: Path


def plan(context: Context) -> Work:
    """Each student under each scheme, and without distillation; always trains anew."""
    names = context.tasks()
    if len(names) != 1:
        raise SettingsError(f"compare: got the tasks {', '.join(names)}, expected one; name it by --task")
    _check_table(context)  # now, not after hours of training
    options = context.request.options
    lesson = lesson_of(context, names[0], options["round"])
    base = context.settings.task(names[0]).student
    contenders = tuple(contenders_of(base, _parts(options["students"]), _parts(options["schemes"])))
    if not contenders:
        raise SettingsError("--students: got none, expected at least one")
    seeds = _seeds(options["seeds"])
    steps = tuple(
        f"train {one.student} by {one.scheme} on {lesson.round_id}, seed {seed}" for one in contenders for seed in seeds
    )
    return Work(steps, Comparison(lesson, contenders, seeds, Path(options["out"])))


def _check_table(context: Context) -> None:
    """Raise `DataError` where `comparisons` is missing, or was made by another version."""
    if context.lake.read(tables.COMPARISONS).columns != list(tables.COMPARISONS.names):
        raise DataError(
            f"{context.lake.name(tables.COMPARISONS)}: its columns are another version's; take its folder away and run "
            "`pingti init`"
        )


def _parts(given: str) -> list[str]:
    """What commas part, each once."""
    return list(dict.fromkeys(part.strip() for part in given.split(",") if part.strip()))


def _seeds(given: str) -> tuple[int, ...]:
    parts = _parts(given)
    if not parts or not all(part.isascii() and part.isdigit() for part in parts):
        raise SettingsError(f"--seeds: got {given!r}, expected numbers by commas")
    return tuple(dict.fromkeys(map(int, parts)))


def contenders_of(base: StudentSettings, students: Sequence[str], schemes: Sequence[str]) -> list[Contender]:
    """The students and schemes named, each student also without distillation, which comes first."""
    found = []
    for student in students:
        kind, _, unit = student.partition(":")
        if kind not in get_args(StudentKind) or (unit or "char") not in get_args(Unit):
            raise SettingsError(
                f"--students: got {student!r}, expected {', '.join(get_args(StudentKind))}; or one:word"
            )
        own = base.model_copy(update={"kind": kind, "unit": unit or "char"})
        plain = _by(own, "offline")
        found.append(Contender(student, UNDISTILLED, plain))
        found += [Contender(student, scheme, _by(own, scheme)) for scheme in schemes if scheme != UNDISTILLED]
    return found


def _by(student: StudentSettings, scheme: str) -> StudentSettings:
    name, *extras = scheme.split("+")
    if name not in get_args(Scheme) or extras not in (["hints"], ["route"], ["hints", "route"], []):
        known = ", ".join(get_args(Scheme))
        raise SettingsError(f"--schemes: got {scheme!r}, expected one of {known}, with +hints, +route or +hints+route")
    changed = {
        "scheme": name, "route": "route" in extras,
        "hint_weight": (student.hint_weight or HINT_WEIGHT) if "hints" in extras else 0.0,
        "teachers": student.teachers if name == "multi_teacher" else {},
        "hint_layer": student.hint_layer if name in JOINT else -1,
    }  # fmt: skip
    try:
        return StudentSettings.model_validate(student.model_dump() | changed)
    except ValidationError as error:
        raise SettingsError(f"--schemes: {scheme}: {error.errors(include_url=False)[0]['msg']}") from None


def lesson_of(context: Context, task: str, round_id: str | None) -> Lesson:
    """The round of this name, the newest if none is named, as something to train on again; seed 0."""
    rounds = context.lake.read(tables.ROUNDS).where(F.col("task") == task)
    if round_id is not None:
        rounds = rounds.where(F.col("round_id") == round_id)
    newest = rounds.orderBy(F.col("run_id").desc(), F.col("round_id").desc()).first()
    if newest is None:
        raise DataError(f"compare: no round {round_id or ''} of {task}; run `pingti distil`, or name one that ended")
    layout = DateLayout(**{part: Window(*newest["layout"][part]) for part in PARTS})
    lesson = Lesson(newest["round_id"], queries.model(context.lake, newest["teacher_id"]), layout, 0)
    own, now = queries.model(context.lake, newest["model_id"]).labels, context.task_of(lesson.teacher).label_names
    if own != now:
        raise DataError(
            f"compare: the rows of {lesson.round_id} have the labels {', '.join(own)}, the settings have "
            f"{', '.join(now)}; run `pingti distil` for a round of these"
        )
    return lesson


def execute(context: Context, work: Work) -> Done:
    """Train, judge, and tell: a table on the screen, `compare.json`, and rows in `comparisons`."""
    asked: Comparison = work.payload
    later = round_evaluation.later(context, asked.lesson.teacher, asked.lesson.layout, asked.lesson.round_id)
    if not later.testing.any():
        raise DataError(f"compare: {asked.lesson.teacher.model_id} scored no text of the test days of its round")
    rows: list[dict[str, Any]] = []
    for number, contender in enumerate(asked.contenders):
        with prepared(context, asked.lesson.round_id, asked.lesson.teacher, contender.settings) as given:
            for seed in asked.seeds:
                lesson = replace(asked.lesson, seed=seed)
                row = _trained(context, lesson, contender, given, later, timed=seed == asked.seeds[0])
                rows.append({"run_id": context.run_id, "task": lesson.teacher.task} | row)
                _keep(context, rows[-1])
                write(asked.out, rows)
        context.reporter.say(f"  {number + 1} of {len(asked.contenders)}: {contender.student} {contender.scheme}")
    for line in lines_of(summarised(rows)):
        context.reporter.say(line)
    return Done(counts={"trainings": len(rows)}, headline="trainings")


def _keep(context: Context, row: Mapping[str, Any]) -> None:
    """A training's row in `comparisons`, as soon as there is one: one that is killed later takes none along."""
    values = [tuple(row[name] for name in tables.COMPARISONS.names)]
    context.lake.append(
        context.spark.createDataFrame(values, tables.COMPARISONS.schema), tables.COMPARISONS, context.stamp()
    )


def _trained(
    context: Context, lesson: Lesson, contender: Contender, given: Prepared, later: Later, *, timed: bool
) -> dict[str, Any]:
    """One training and what it came to."""
    learner = student_training.learner_of(context, lesson, contender.settings) if contender.distil else None
    trained = student_training.train_one(
        context, lesson, contender.settings, given, distil=contender.distil, learner=learner
    )
    task = context.task_of(lesson.teacher)
    with tempfile.TemporaryDirectory(prefix="pingti-compare-") as folder:
        bundle = student_training.seal(
            context, lesson, contender.settings, trained.student, given.vocabulary, Path(folder) / "student"
        )
        engine = open_engine(bundle, context.settings.scoring.engine)
        column = engine.read(*later.texts())
        _, cells = round_evaluation.weigh(
            later, task, "student", engine.bundle.manifest.model_id, engine.probabilities(column)
        )
        size = sum(path.stat().st_size for path in bundle.iterdir())
        rate = speed.one_core(str(bundle), _as_array(column)) if timed else None
    test = {key[2]: found for key, found in cells.items() if key[3] == "test"}
    test["human_unseen"] = next((found for key, found in cells.items() if key[2:] == ("human", "test_unseen")), [])
    kept = micro_of(test.get("live", []))
    return {
        "round_id": lesson.round_id, "teacher_id": lesson.teacher.model_id, "student": contender.student,
        "scheme": contender.scheme, "settings": contender.settings.model_dump_json(), "seed": lesson.seed,
        "test_rows": int(later.testing.sum()), "measures": measures_of(test),
        "coverage": kept.recall if kept else None, "teacher_f1": _teacher_f1(context, later, lesson, learner),
        "parameters": _parameters(trained), "bundle_bytes": size, "seconds": trained.seconds, "rows_per_s": rate,
        "losses": list(trained.losses), "validation": list(trained.validation),
    }  # fmt: skip


def _as_array(column: Any) -> pa.Array:
    return pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column


def _parameters(trained: TrainedStudent) -> int:
    return sum(parameter.numel() for parameter in trained.student.parameters())


def measures_of(test: Mapping[str, list[Cell]]) -> list[dict[str, Any]]:
    """Macro and micro measures against each gold on the test days."""
    found = []
    for gold, cells in test.items():
        for average, quality in (("macro", macro_of(cells)), ("micro", micro_of(cells))):
            if quality is not None:
                found.append({"gold": gold, "average": average} | _told(quality))
    return found


def _told(quality: Quality) -> dict[str, float]:
    return {"precision": quality.precision, "recall": quality.recall, "f1": quality.f1}


def _teacher_f1(context: Context, later: Later, lesson: Lesson, learner: TeacherInTraining | None) -> float | None:
    """Macro F1 of the teacher against the annotators: of the stored one, or of the one that learnt too."""
    task = context.task_of(lesson.teacher)
    if learner is None:
        cells = round_evaluation.of_teacher(later, task, lesson.teacher)
    else:
        first, second = later.texts()
        others = second.to_pylist() if task.kind == "pair" else None
        logits: NDArray[np.float32] = learner.teacher().score(first.to_pylist(), second=others)[0]
        decisions = round_evaluation.decided_by_first_thresholds(logits, task.kind)[later.where]
        cells = round_evaluation.cells_of("teacher", "", decisions, {"human": later.golds["human"]}, later.parts, task)
    quality = macro_of(next((found for key, found in cells.items() if key[2:] == ("human", "test")), []))
    return quality.f1 if quality else None


JOB = Job("compare", plan, execute)
