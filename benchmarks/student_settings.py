"""How the student's defaults were chosen: trainings of the demo's second rounds, judged on the threshold days only.

`.venv/bin/python -m benchmarks.student_settings` after `make demo`, about twenty minutes on one core. For each setting
three seeds learn from the rows of round 2; printed is the macro F1 against the teacher on the threshold days, each
label at its best threshold there. The test days and the gate days are not read.
"""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as F

from jobs import distil_judging
from jobs.distil_round import training_rows
from jobs.lake import queries, tables
from jobs.runtime import session
from jobs.runtime.job import Context, Request, make_context
from jobs.runtime.progress import Reporter
from jobs.settings import load
from models.evaluation import Evidence, search_thresholds
from models.outcomes import probabilities
from models.tasks import Target
from models.training.students import predict
from models.training.trainer import train_student
from models.vocabulary import Vocabulary

DEMO = Path("build/demo/settings.yaml")
SEEDS = (1, 2, 3)
TRIED: tuple[dict[str, Any], ...] = (
    {}, {"distil": False}, {"learning_rate": 1e-3}, {"learning_rate": 4e-3}, {"temperature": 2.0}, {"soft_weight": 1.0},
    {"epochs": 8},
)  # fmt: skip
_ANY = Target(precision=0.0, recall=0.0)  # so that the best F1 decides alone


def main() -> int:
    """Train and print, a line a task and setting."""
    if not DEMO.is_file():
        sys.stderr.write(f"student_settings: no {DEMO}; run `make demo` first\n")
        return 4
    settings = load(DEMO)
    context = make_context("settings", settings, session.start(settings.session), Request(), Reporter())
    for task in settings.tasks:
        for tried in TRIED:
            each = [_f1(context, task, seed, **tried) for seed in SEEDS]
            print(
                f"{task:<10} {tried or 'the defaults'!s:<26} {mean(each):.4f}  {' '.join(f'{one:.4f}' for one in each)}"
            )
    return 0


def _f1(context: Context, task: str, seed: int, *, distil: bool = True, **changed: Any) -> float:
    """Macro F1 of one training on the threshold days."""
    own = context.settings.task(task)
    student = own.student.model_copy(update=changed)
    samples = context.lake.read(tables.ROUND_SAMPLES).where(F.col("round_id") == f"{task}/{student.kind}/02")
    rows = samples.orderBy("position").toArrow()
    vocabulary = Vocabulary.build(rows.column("text"), max_size=student.vocabulary_size)
    trained = train_student(
        training_rows(rows, vocabulary, student, len(own.label_names)), student, vocabulary_size=len(vocabulary),
        labels=len(own.label_names), seed=seed, kind=own.kind, distil=distil,
    )  # fmt: skip
    teacher = queries.require_model(context.lake, task, "teacher", "run `make demo` first")
    later = _threshold_days(context, task, teacher.model_id)
    scores = probabilities(
        predict(trained.student, vocabulary.encode(later.column("text"), student.max_length)), own.kind
    )
    gold = distil_judging.gold_of_teacher(context, teacher, later)
    scenes = np.array(later.column("scene").to_pylist(), np.str_)
    weight = later.column("occurrences").to_numpy()
    evidence = Evidence(distil_judging.day_numbers(later), scenes, weight, gold, np.ones_like(gold))
    found = search_thresholds(scores.astype(np.float32), evidence, [_ANY] * len(own.label_names))
    return mean(quality.f1 for one in found if (quality := one.counts.quality) is not None)


def _threshold_days(context: Context, task: str, teacher: str) -> pa.Table:
    layout = queries.date_layout(context.lake, context.settings.rounds)
    texts = queries.occurrences(context.lake, task, context.settings.task(task), [layout.threshold])
    scored = context.lake.read(tables.TEACHER_SCORES).where(F.col("model_id") == teacher)
    joined = texts.join(scored.select("text_hash", "logits"), "text_hash")
    return joined.orderBy("dt", "scene", "text_hash").toArrow()


if __name__ == "__main__":
    sys.exit(main())
