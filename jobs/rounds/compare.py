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

from jobs.evaluation import speed
from jobs.evaluation.evaluation_set import EvaluationSet, read_evaluation_set
from jobs.evaluation.model_evaluation import (
    PartCounts,
    count_decisions,
    evaluate_model,
    evaluate_teacher,
    first_decisions,
)
from jobs.lake import tables
from jobs.lake.evaluation_rows import quality_columns
from jobs.rounds.comparison_table import lines_of, summarised, write
from jobs.rounds.round import UNDISTILLED, Round, stored_round
from jobs.rounds.soft_targets import expect_network
from jobs.rounds.student_training import joint_teacher, seal, train_student_of
from jobs.rounds.training_data import TrainingData, training_data
from jobs.runtime.context import Context
from jobs.runtime.job import Done, Job, Work
from models.errors import DataError, SettingsError
from models.evaluation.figures import averages
from models.evaluation.label_trust import untrusted
from models.evaluation.sliced_metrics import macro_average, micro_average
from models.scheme_settings import SchemeKind
from models.serving.open_engine import engine_for
from models.student_settings import StudentKind, StudentSettings, Unit, with_kind, with_scheme

if TYPE_CHECKING:
    from models.teachers.joint_teacher import TeacherInTraining
    from models.training.trainer import TrainedStudent

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

    round: Round
    contenders: tuple[Contender, ...]
    seeds: tuple[int, ...]
    out: Path


def plan(context: Context) -> Work[Comparison]:
    """Each student under each scheme, and without distillation; always trains anew."""
    names = context.tasks()
    if len(names) != 1:
        raise SettingsError(f"compare: got the tasks {', '.join(names)}, expected one; name it by --task")
    context.lake.catalog.require(tables.COMPARISONS)  # now, not after hours of training
    options, declared = context.request.options, context.settings.task(names[0])
    seeds = _seeds(options["seeds"])
    chosen = stored_round(context.lake, names[0], declared, options["round"], seeds[0])
    contenders = tuple(contenders_of(declared.student, _parts(options["students"]), _parts(options["schemes"])))
    if not contenders:
        raise SettingsError("--students: got none, expected at least one")
    for one in contenders:
        expect_network(chosen, one.settings)
    steps = tuple(
        f"train {one.student} by {one.scheme} on {chosen.round_id}, seed {seed}" for one in contenders for seed in seeds
    )
    return Work(steps, Comparison(chosen, contenders, seeds, Path(options["out"])))


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
    contenders = []
    for student in students:
        kind, _, unit = student.partition(":")
        if kind not in get_args(StudentKind) or (unit or "char") not in get_args(Unit):
            raise SettingsError(
                f"--students: got {student!r}, expected {', '.join(get_args(StudentKind))}; or one:word"
            )
        settings = with_kind(base, kind, unit=unit or "char")
        contenders.append(Contender(student, UNDISTILLED, _under_scheme(settings, "offline")))
        contenders += [
            Contender(student, scheme, _under_scheme(settings, scheme)) for scheme in schemes if scheme != UNDISTILLED
        ]
    return contenders


def _under_scheme(student: StudentSettings, scheme: str) -> StudentSettings:
    """The student's settings under a scheme as it is named on the command line."""
    name, *extras = scheme.split("+")
    if name not in get_args(SchemeKind) or extras not in (["hints"], ["curriculum"], ["hints", "curriculum"], []):
        known = ", ".join(get_args(SchemeKind))
        raise SettingsError(
            f"--schemes: got {scheme!r}, expected one of {known}, with +hints, +curriculum or +hints+curriculum"
        )
    hints = student.scheme.hint_weight or HINT_WEIGHT
    changed: dict[str, Any] = {"hint_weight": hints if "hints" in extras else 0.0}
    if "curriculum" in extras or name != "joint_summed":  # which has none
        changed["curriculum"] = "curriculum" in extras
    try:
        return with_scheme(student, name, **changed)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise SettingsError(f"--schemes: {scheme}: {problem['loc'][-1]}: {problem['msg']}") from None


def execute(context: Context, work: Comparison) -> Done:
    """Train, evaluate, and show: a table on the screen, `compare.json`, and rows in `comparisons`."""
    lake, settings = context.lake, context.settings
    engine, layout = settings.scoring.engine, work.round.layout
    evaluation = read_evaluation_set(
        lake, work.round.teacher, work.round.declared, settings.draw(layout, "threshold"),
        settings.draw(layout, "test"), work.round.round_id, engine, untrusted(work.round.trust),
    )  # fmt: skip
    if not evaluation.parts["test"].any():
        raise DataError(f"compare: {work.round.teacher.model_id} scored no text of the test days of its round")
    rows: list[dict[str, Any]] = []
    for number, contender in enumerate(work.contenders):
        with training_data(
            lake, work.round, contender.settings, engine=engine,
            scoring=context.settings.teacher_scoring, say=context.reporter.say,
        ) as data:  # fmt: skip
            for seed in work.seeds:
                round_ = replace(work.round, seed=seed)
                row = _trained(context, round_, contender, data, evaluation, timed=seed == work.seeds[0])
                rows.append({"run_id": context.run_id, "task": round_.task_name} | row)
                # As soon as there is one: a training that is killed later takes none along.
                lake.append_rows(tables.COMPARISONS, rows[-1:], context.stamp())
                write(work.out, rows)
        context.reporter.say(f"  {number + 1} of {len(work.contenders)}: {contender.student} {contender.scheme}")
    for line in lines_of(summarised(rows)):
        context.reporter.say(line)
    return Done(counts={"trainings": len(rows)}, headline="trainings")


def _trained(
    context: Context, round_: Round, contender: Contender, data: TrainingData, evaluation: EvaluationSet, *, timed: bool
) -> dict[str, Any]:
    """One training and what it came to."""
    student = contender.settings
    teacher = joint_teacher(context.lake, round_, student, data) if contender.distil else None
    trained = train_student_of(
        context.lake, round_, student, data, context.training_progress, distil=contender.distil, joint_teacher=teacher
    )
    with tempfile.TemporaryDirectory(prefix="pingti-compare-") as folder:
        clean_version = context.settings.cleaning.version
        bundle = seal(round_, student, trained.student, data, clean_version, Path(folder) / "student")
        engine = engine_for(bundle, context.settings.scoring.engine)
        column = engine.read(*evaluation.texts())
        evaluated = evaluate_model(
            evaluation, round_.task, "student", bundle.manifest.model_id, engine.probabilities(column),
            context.settings.thresholds.min_positives_all_scenes,
        )  # fmt: skip
        size = sum(path.stat().st_size for path in bundle.path.iterdir())
        rate = speed.one_core(str(bundle.path), _as_array(column)) if timed else None
    counts = {key.gold: of_part for key, of_part in evaluated.counts.items() if key.part == "test"}
    for gold in ("teacher", "human"):
        counts[f"{gold}_unseen"] = evaluated.on_test_days(gold, "test_unseen")
    kept = micro_average(evaluated.on_test_days("live").slices)
    return {
        "round_id": round_.round_id, "teacher_id": round_.teacher.model_id, "student": contender.student,
        "scheme": contender.scheme, "settings": student.model_dump_json(), "seed": round_.seed,
        "test_rows": int(evaluation.parts["test"].sum()), "measures": measures_of(counts),
        "coverage": kept.recall if kept else None, "teacher_f1": _teacher_f1(evaluation, round_, teacher),
        "parameters": _parameters(trained), "bundle_bytes": size, "seconds": trained.seconds, "rows_per_s": rate,
        "losses": list(trained.losses), "validation": list(trained.validation),
    }  # fmt: skip


def _as_array(column: Any) -> pa.Array:
    return pa.concat_arrays(column.chunks) if isinstance(column, pa.ChunkedArray) else column


def _parameters(trained: TrainedStudent) -> int:
    return sum(parameter.numel() for parameter in trained.student.parameters())


def measures_of(counts: Mapping[str, PartCounts]) -> list[dict[str, Any]]:
    """The averages against each gold on the test days, by occurrence."""
    return [
        {"gold": gold, "average": one.average} | quality_columns(one.quality)
        for gold, of_part in counts.items()
        for one in averages(of_part.by("occurrence"))
    ]


def _teacher_f1(evaluation: EvaluationSet, round_: Round, teacher: TeacherInTraining | None) -> float | None:
    """Macro F1 of the teacher against the annotators: of the stored one, or of the one that learnt too."""
    if teacher is None:
        counts = evaluate_teacher(evaluation, round_.task, round_.teacher)
    else:
        first, second = evaluation.texts()
        others = second.to_pylist() if round_.task.kind == "pair" else None
        logits: NDArray[np.float32] = teacher.teacher().score(first.to_pylist(), second=others)[0]
        decisions = first_decisions(logits, round_.task.kind)[evaluation.text_of_row]
        humans = {"human": evaluation.golds["human"]}
        counts = count_decisions(evaluation, round_.task, "teacher", "", decisions, humans)
    wanted = (of_part.slices for key, of_part in counts.items() if key[2:] == ("human", "test"))
    quality = macro_average(next(wanted, ()))
    return quality.f1 if quality else None


JOB = Job(
    "compare", plan, execute,
    reads=(tables.TEXTS, tables.TEACHER_SCORES, tables.ANNOTATIONS, tables.ROUND_SAMPLES, tables.ROUNDS, tables.MODELS),
    writes=(tables.COMPARISONS,),
)  # fmt: skip
