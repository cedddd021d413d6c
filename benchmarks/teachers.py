"""What a teacher is worth on real texts: `DATA=… MODELS=… .venv/bin/python -m benchmarks.teachers SET [--base …]`.

SET is `dialogid` (one of nine acts), `exam` (106 labels) or one of its subjects, `exam-biology` and so on: small sets
with rare labels. For each seed a draw of the training rows is annotated: the teacher is fine-tuned on it as
`train-teacher` does, the student learns from it alone (undistilled), and from it with the teacher's logits and the rest
of the training rows as unlabelled history (distilled). All three are held to the set's own labels on its dev and test
parts, at thresholds that each half of these rows has from the other (of classes the likeliest decides). Settings of the
teacher are `--teacher key=value`.

Prints macro and micro F1, mean over the seeds and each, with CPU seconds; writes `build/teachers/NAME.json`.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from models.evaluation.held_out import cross_fitted_decisions
from models.evaluation.predictions import decide, first_threshold, probabilities
from models.evaluation.sliced_metrics import GoldRows, count_by_slice, macro_average, micro_average
from models.student_settings import TextCNNSettings
from models.students.student import predict
from models.tasks import Target, TaskKind, TeacherSettings
from models.teachers.fine_tuning import FineTuned, fine_tune
from models.teachers.fine_tuning_rows import FineTuningRows
from models.text.normalisation import clean
from models.text.vocabulary import Vocabulary
from models.training.trainer import train_student
from models.training.training_rows import TrainingRows

OUT = Path("build/teachers")
SUBJECTS = {"biology": "生物", "history": "历史", "politics": "政治", "geography": "地理"}
LONGEST = 400  # characters of a text that are read
MIN_POSITIVES = 5
STUDENT = TextCNNSettings(epochs=25, validation_share=0.1, patience=4, max_length=256)
WHO = ("teacher", "distilled", "undistilled")


@dataclass(frozen=True)
class RealSet:
    """A set's texts with their labels.

    Attributes:
        texts: All texts.
        targets: (texts, labels), 1 or 0.
        labels: Their names.
        train: (texts,) True where a text may be learnt from; the others are judged by.
        kind: The task's kind.
    """

    texts: list[str]
    targets: NDArray[np.float32]
    labels: tuple[str, ...]
    train: NDArray[np.bool_]
    kind: TaskKind


def read_set(name: str, data: Path) -> RealSet:
    """A set by its name."""
    if name == "dialogid":
        return _dialogid(data / "dialogid_k12_asr")
    _, _, subject = name.partition("-")
    with gzip.open(data / "exam_kp_multilabel" / "exam_kp.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    rows = [row for row in rows if not subject or row["scene"] == SUBJECTS[subject]]
    labels = tuple(sorted({label for row in rows for label in row["labels"]}))
    targets = np.array([[label in row["labels"] for label in labels] for row in rows], np.float32)
    texts = [clean(row["text"], LONGEST) for row in rows]
    return RealSet(texts, targets, labels, np.array([row["split"] == "train" for row in rows]), "multi_label")


def _dialogid(folder: Path) -> RealSet:
    texts: list[str] = []
    acts: list[str] = []
    train: list[bool] = []
    for part in ("train", "dev"):
        with gzip.open(folder / f"{part}.tsv.gz", "rt", encoding="utf-8") as file:
            for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
                texts.append(clean(row["text"], LONGEST))
                acts.append(row["label_name"])
                train.append(part == "train")
    labels = tuple(sorted(set(acts)))
    targets = np.array([[label == act for label in labels] for act in acts], np.float32)
    return RealSet(texts, targets, labels, np.array(train), "multi_class")


def run(real: RealSet, base: str, settings: TeacherSettings, rows: int | None, seed: int, pool: int) -> dict[str, Any]:
    """One seed: the three models, and what they come to."""
    random = np.random.default_rng(seed)
    order = random.permutation(np.flatnonzero(real.train))
    drawn, rest = order[:rows], order[len(order[:rows]) :][:pool]
    judged = np.flatnonzero(~real.train)
    texts = [real.texts[at] for at in drawn]
    known = np.ones((len(drawn), len(real.labels)), np.bool_)
    started = time.process_time()
    tuned = fine_tune(
        base, FineTuningRows(texts, real.targets[drawn], known, real.labels, real.kind), settings, seed=seed,
        progress=_shown(f"seed {seed}"),
    )  # fmt: skip
    seconds = time.process_time() - started
    learnt = np.concatenate([drawn, rest])
    soft = scores_of(tuned, [real.texts[at] for at in learnt])
    held = scores_of(tuned, [real.texts[at] for at in judged])
    scores = {"teacher": held, **students(real, drawn, rest, soft, judged, seed)}
    found = {who: figures(real, judged, scores[who]) for who in WHO}
    told = {
        "schedules": [asdict(one) for one in tuned.schedules], "chosen": tuned.chosen.planned, "held": tuned.held,
        "seconds": seconds,
    }  # fmt: skip
    return {"seed": seed, "rows": len(drawn), "pool": len(rest), "fine_tuning": told, "figures": found}


def scores_of(tuned: FineTuned, texts: Sequence[str]) -> NDArray[np.float32]:
    """The teacher's logits, the texts sorted by length so that little is padded."""
    order = np.argsort([len(text) for text in texts], kind="stable")
    logits = np.empty((len(texts), len(tuned.teacher.labels)), np.float32)
    logits[order] = tuned.teacher.score([texts[at] for at in order])[0]
    return logits


def students(
    real: RealSet, drawn: NDArray[np.int64], rest: NDArray[np.int64], soft: NDArray[np.float32],
    judged: NDArray[np.int64], seed: int,
) -> dict[str, NDArray[np.float32]]:  # fmt: skip
    """Logits of the distilled and the undistilled student on the rows that judge."""
    found = {}
    for who, learnt in (("undistilled", drawn), ("distilled", np.concatenate([drawn, rest]))):
        column = pa.array([real.texts[at] for at in learnt], pa.string())
        vocabulary = Vocabulary.build(column, max_size=STUDENT.vocabulary_size)
        annotated = np.arange(len(learnt)) < len(drawn)
        first = first_threshold(real.kind, len(real.labels))
        decided = decide(probabilities(soft[: len(learnt)], real.kind), first, real.kind)
        hard = np.where(annotated[:, None], real.targets[learnt] > 0, decided).astype(np.float32)
        known = np.ones(hard.shape, np.bool_)
        rows = TrainingRows(
            vocabulary.encode(column, STUDENT.max_length), hard, known, soft[: len(learnt)], known,
            np.ones(len(learnt), np.float32),
        )  # fmt: skip
        trained = train_student(
            rows, STUDENT, vocabulary_size=len(vocabulary), labels=len(real.labels), seed=seed, kind=real.kind,
            distil=who == "distilled",
        )  # fmt: skip
        asked = vocabulary.encode(pa.array([real.texts[at] for at in judged], pa.string()), STUDENT.max_length)
        found[who] = predict(trained.student, asked)
    return found


def figures(real: RealSet, judged: NDArray[np.int64], logits: NDArray[np.float32]) -> dict[str, Any]:
    """Macro and micro F1, and F1 by label, at cross-fitted thresholds."""
    count = len(judged)
    gold = real.targets[judged] > 0
    evidence = GoldRows(
        np.zeros(count, np.int32), np.full(count, "*"), np.ones(count, np.int64), gold, np.ones(gold.shape, np.bool_),
        np.arange(count),
    )  # fmt: skip
    scores = probabilities(logits, real.kind).astype(np.float32)
    if real.kind == "multi_class":  # the likeliest decides
        decisions = decide(scores, first_threshold(real.kind, len(real.labels)), real.kind)
    else:
        decisions = cross_fitted_decisions(scores, evidence, [Target()] * len(real.labels), real.kind, MIN_POSITIVES)
    slices = count_by_slice(decisions, evidence, real.labels)
    macro, micro = macro_average(slices), micro_average(slices)
    by_label = {cut.label: cut.counts.quality.f1 for cut in slices if cut.counts.quality is not None}
    return {"macro": macro.f1 if macro else 0.0, "micro": micro.f1 if micro else 0.0, "labels": by_label}


def _shown(name: str) -> Any:
    def told(done: int, total: int, loss: float) -> None:
        if done == total or done // 3200 != (done - 32) // 3200:
            sys.stderr.write(f"\r{name}: {done:,} of {total:,} rows, loss {loss:.3f}   ")

    return told if sys.stderr.isatty() else None


def tell(name: str, found: Sequence[Mapping[str, Any]], seconds: float) -> str:
    """The table of one configuration."""
    lines = [f"{name}: {found[0]['rows']:,} annotated rows, {found[0]['pool']:,} others, {seconds:,.0f} CPU seconds"]
    for who in WHO:
        for measure in ("macro", "micro"):
            each = [one["figures"][who][measure] for one in found]
            told = "  ".join(f"{one:.4f}" for one in each)
            lines.append(f"  {who:<12} {measure} F1 {statistics.mean(each):.4f}   {told}")
    tried = "; ".join(
        ", ".join(f"{each['planned']}: {each['gain'] or math.nan:.3f}" for each in one["fine_tuning"]["schedules"])
        for one in found
    )
    return "\n".join([*lines, f"  steps: gain of each schedule, by seed: {tried}"])


def main() -> int:
    """Run the seeds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("set", choices=["dialogid", "exam", *(f"exam-{subject}" for subject in SUBJECTS)])
    parser.add_argument("--base", default="zh-bert-4x256", help="a folder under MODELS, a folder, or a name on the hub")
    parser.add_argument("--rows", type=int, help="annotated rows; all by default")
    parser.add_argument("--pool", type=int, default=20_000, help="the most other rows that the teacher labels")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--teacher", nargs="*", default=[], metavar="KEY=VALUE", help="settings of the teacher")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--name", help="of the file; by default the set, the base and the rows")
    arguments = parser.parse_args()
    missing = [name for name in ("DATA", "MODELS") if not os.environ.get(name)]
    if missing:
        sys.stderr.write(f"teachers: set {', '.join(missing)} to the folders of the data and of the teachers' bases\n")
        return 2
    torch.set_num_threads(arguments.threads)
    given = {key: json.loads(value) if value[:1] in "0123456789[n" else value for key, _, value in
             (one.partition("=") for one in arguments.teacher)}  # fmt: skip
    settings = TeacherSettings.model_validate({"max_tokens": 128, **given})
    under = Path(os.environ["MODELS"]) / arguments.base
    base = str(under) if under.is_dir() else arguments.base
    real = read_set(arguments.set, Path(os.environ["DATA"]))
    found = [run(real, base, settings, arguments.rows, seed, arguments.pool) for seed in arguments.seeds]
    name = arguments.name or f"{arguments.set}-{Path(base).name}-{arguments.rows or 'all'}"
    OUT.mkdir(parents=True, exist_ok=True)
    load = os.getloadavg()[0]
    whole = {"set": arguments.set, "base": arguments.base, "settings": settings.model_dump(mode="json"),
             "load": load, "seeds": found}  # fmt: skip
    (OUT / f"{name}.json").write_text(json.dumps(whole, ensure_ascii=False, indent=1) + "\n")
    print(tell(name, found, sum(one["fine_tuning"]["seconds"] for one in found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
