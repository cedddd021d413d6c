"""Does more text help a student, if only the teacher labels it? `DATA=… MODELS=… python -m benchmarks.transfer FILE`.

FILE are the settings of a warehouse whose newest round has ended. The round's student learns from its rows; from these
and a copy of each with some characters dropped or two neighbours swapped; and from these and as many lines of other
Chinese dialogues. Added rows have the teacher's logits as soft targets and no hard ones. All three go
through all of the settings' epochs. Prints macro F1 on the test
days, against the teacher and against humans, and writes `build/bench/transfer.json`.
"""

from __future__ import annotations

import gzip
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyspark.sql import functions as F

from jobs.evaluation.evaluation_set import read_evaluation_set
from jobs.evaluation.model_evaluation import evaluate_model
from jobs.lake import registry, tables
from jobs.rounds import compare
from jobs.rounds.round import stored_round
from jobs.rounds.student_training import train_student_of
from jobs.rounds.training_data import TrainingData, training_data
from jobs.runtime import session
from jobs.runtime.context import Request, make_context
from jobs.runtime.progress import Reporter
from jobs.settings_file import load
from models.evaluation.ensemble import in_order
from models.evaluation.predictions import probabilities
from models.students.student import predict
from models.teachers.teacher import Teacher
from models.text.normalisation import clean
from models.text.vocabulary import Encoded
from models.training.training_rows import TrainingRows

OUT = Path("build/bench/transfer.json")
DROPPED, SWAPPED = 0.1, 0.1  # shares of a text's characters
DIALOGUES = "raw/kdconv_crosswoz.txt.gz"


def noisy(text: str, random: np.random.Generator) -> str:
    """The text with some characters dropped, and some neighbours swapped."""
    kept = [char for char in text if random.random() >= DROPPED]
    for at in np.flatnonzero(random.random(max(len(kept) - 1, 0)) < SWAPPED):
        kept[at], kept[at + 1] = kept[at + 1], kept[at]
    return "".join(kept) or text


def dialogues(rows: int, longest: int) -> list[str]:
    """Lines of other dialogues, the first of them."""
    with gzip.open(Path(os.environ["DATA"]) / DIALOGUES, "rt", encoding="utf-8") as file:
        return [clean(line, longest) for line, _ in zip(file, range(rows), strict=False)]


def taught(teacher: Teacher, texts: list[str], data: TrainingData, labels: Sequence[str], longest: int) -> TrainingRows:
    """Texts that the teacher alone labels, as training rows; scored in batches of similar length."""
    order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
    logits = np.empty((len(texts), len(teacher.labels)), np.float32)
    logits[order] = teacher.score([texts[at] for at in order])[0]
    logits = in_order(logits, teacher.labels, labels)
    nothing, everything = np.zeros(logits.shape, np.bool_), np.ones(logits.shape, np.bool_)
    encoded = data.vocabulary.encode(pa.array(texts), longest)
    return TrainingRows(encoded, np.zeros_like(logits), nothing, logits, everything, np.ones(len(texts), np.float32))


def together(one: TrainingRows, other: TrainingRows) -> TrainingRows:
    """Both, one after the other."""
    texts = Encoded(
        np.concatenate([one.texts.ids, other.texts.ids]),
        np.concatenate([one.texts.offsets, other.texts.offsets[1:] + one.texts.offsets[-1]]),
    )
    names = ("hard", "hard_mask", "soft", "soft_mask", "weight")
    return TrainingRows(texts, **{name: np.concatenate([getattr(one, name), getattr(other, name)]) for name in names})


def main() -> int:
    """Train the three and tell."""
    settings = load(Path(sys.argv[1]))
    (name,) = settings.tasks
    context = make_context("transfer", settings, lambda: session.start(settings.session), Request(), Reporter())
    lake, seed, engine = context.lake, settings.rounds.seed, settings.scoring.engine
    round_ = stored_round(lake, name, settings.task(name), None, seed)
    # Without a part kept back: a noisy copy of a row that is kept back would tell its answer.
    student = round_.student.model_copy(update={"validation_share": 0.0})
    draws = settings.draw(round_.layout, "threshold"), settings.draw(round_.layout, "test")
    evaluation = read_evaluation_set(lake, round_.teacher, round_.declared, *draws, round_.round_id, engine)
    rows = lake.read(tables.ROUND_SAMPLES).where(F.col("round_id") == round_.round_id).orderBy("position")
    texts = [row["text"] for row in rows.select("text").collect()]
    random = np.random.default_rng(seed)
    teacher = Teacher.open(registry.files(lake, round_.teacher).local())
    found: dict[str, Any] = {}
    with training_data(
        lake, round_, student, engine=engine, scoring=settings.teacher_scoring, say=context.reporter.say
    ) as data:
        more = {
            "the round's rows": None,
            "and noisy copies": [noisy(text, random) for text in texts],
            "and other dialogues": dialogues(len(texts), student.max_length),
        }
        for what, added in more.items():
            own = data
            if added is not None:
                labelled = taught(teacher, added, data, round_.labels, student.max_length)
                own = replace(data, rows=together(data.rows, labelled))
            trained = train_student_of(lake, round_, student, own, context.training_progress)
            encoded = data.vocabulary.encode(evaluation.texts()[0], student.max_length)
            scores = probabilities(predict(trained.student, encoded), round_.task.kind).astype(np.float32)
            evaluated = evaluate_model(evaluation, round_.task, "student", "", scores)
            on_test = {key.gold: of_part for key, of_part in evaluated.counts.items() if key.part == "test"}
            measures = compare.measures_of(on_test)
            macro = {one["gold"]: round(one["f1"], 4) for one in measures if one["average"] != "micro"}
            found[what] = macro | {"rows": len(own.rows), "seconds": round(trained.seconds, 1)}
            print(f"{what:<22} {found[what]}", flush=True)
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
