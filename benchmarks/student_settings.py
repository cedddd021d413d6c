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

from jobs.evaluation.evaluation_set import read_evaluation_set
from jobs.rounds.round import stored_round
from jobs.rounds.student_training import train_student_of
from jobs.rounds.training_data import training_data
from jobs.runtime import session
from jobs.runtime.context import Context, Request, make_context
from jobs.runtime.progress import Reporter
from jobs.settings_file import load, merge
from models.evaluation.predictions import probabilities
from models.evaluation.sliced_metrics import search_thresholds
from models.student_settings import read_student
from models.students.student import predict
from models.tasks import Target

DEMO = Path("build/demo/settings.yaml")
SEEDS = (1, 2, 3)
TRIED: tuple[dict[str, Any], ...] = (
    {}, {"distil": False}, {"learning_rate": 1e-3}, {"learning_rate": 4e-3}, {"scheme": {"temperature": 2.0}},
    {"scheme": {"soft_weight": 1.0}}, {"epochs": 8},
)  # fmt: skip
_ANY = Target(precision=0.0, recall=0.0)  # so that the best F1 decides alone


def main() -> int:
    """Train and print, a line a task and setting."""
    if not DEMO.is_file():
        sys.stderr.write(f"student_settings: no {DEMO}; run `make demo` first\n")
        return 4
    settings = load(DEMO)
    context = make_context("settings", settings, lambda: session.start(settings.session), Request(), Reporter())
    for task in settings.tasks:
        for tried in TRIED:
            each = [_f1(context, task, seed, **tried) for seed in SEEDS]
            print(
                f"{task:<10} {tried or 'the defaults'!s:<26} {mean(each):.4f}  {' '.join(f'{one:.4f}' for one in each)}"
            )
    return 0


def _f1(context: Context, task: str, seed: int, *, distil: bool = True, **changed: Any) -> float:
    """Macro F1 of one training on the threshold days."""
    lake, settings = context.lake, context.settings
    declared = settings.task(task)
    student = read_student(merge(declared.student.model_dump(), changed))
    round_ = stored_round(lake, task, declared, f"{task}/{student.kind}/02", seed)
    scoring, engine = settings.teacher_scoring, settings.scoring.engine
    with training_data(lake, round_, student, engine=engine, scoring=scoring, say=context.reporter.say) as data:
        trained = train_student_of(lake, round_, student, data, context.training_progress, distil=distil)
        draws = settings.draw(round_.layout, "threshold"), settings.draw(round_.layout, "test")
        texts = read_evaluation_set(lake, round_.teacher, declared, *draws, round_.round_id, engine)
        encoded = data.vocabulary.encode(texts.texts()[0], student.max_length)
    scores = probabilities(predict(trained.student, encoded), declared.kind).astype(np.float32)[texts.text_of_row]
    before = ~texts.testing & texts.drawn
    evidence = texts.golds["teacher"].where(before)
    found = search_thresholds(scores[before], evidence, [_ANY] * len(round_.labels))
    return mean(quality.f1 for one in found if (quality := one.counts.quality) is not None)


if __name__ == "__main__":
    sys.exit(main())
