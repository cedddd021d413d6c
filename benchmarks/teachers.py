"""What a teacher is worth on real texts: `DATA=… MODELS=… .venv/bin/python -m benchmarks.teachers SET [--base …]`.

SET is `dialogid` (one of nine acts), `exam` (106 labels) or one of its subjects, `exam-biology` and so on: small sets
with rare labels. For each seed a draw of the training rows is annotated: the teacher is fine-tuned on it as
`train-teacher` does, the student learns from it alone (undistilled), from it with the teacher's logits and the rest of
the training rows as unlabelled history (distilled), and likewise as far as the teacher is trusted with each label
(trusted): by every second row of the dev and test parts. All are held to the set's own labels on the other rows of
these, at thresholds that each half of them has from the other (of classes the likeliest decides). Settings of the
teacher are `--teacher key=value`.

`demo-praise` and `demo-feedback` are the tasks of a demo in `build/demo` (`make demo`), with its own base and annotated
rows, held to what its generator meant.

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

from benchmarks.demo_set import read_demo
from jobs.demo.demo_settings import TASKS
from models.evaluation.held_out import cross_fitted_decisions
from models.evaluation.label_trust import trust_labels
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
WHO = ("teacher", "undistilled", "distilled", "trusted")


@dataclass(frozen=True)
class RealSet:
    """A set's texts with their labels.

    Attributes:
        texts: All texts.
        targets: (texts, labels), 1 or 0.
        labels: Their names.
        train: (texts,) True where a text may be learnt from; the others are judged by.
        kind: The task's kind.
        annotated: Row numbers that are annotated; None: a draw for each seed.
    """

    texts: list[str]
    targets: NDArray[np.float32]
    labels: tuple[str, ...]
    train: NDArray[np.bool_]
    kind: TaskKind
    annotated: NDArray[np.int64] | None = None


def read_set(name: str, data: Path) -> tuple[RealSet, str | None]:
    """A set by its name, and what its teachers begin as where it brings that."""
    if name.startswith("demo-"):
        demo = read_demo(Path("build/demo"), name.partition("-")[2])
        train = np.arange(len(demo.texts)) < len(demo.texts) - demo.judged
        annotated = np.arange(demo.annotated)
        return RealSet(demo.texts, demo.targets, demo.labels, train, "multi_label", annotated), str(demo.base)
    return _public_set(name, data), None


def _public_set(name: str, data: Path) -> RealSet:
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
    drawn = order[:rows] if real.annotated is None else real.annotated
    rest = order[~np.isin(order, drawn)][:pool]
    judged = np.flatnonzero(~real.train)
    texts = [real.texts[at] for at in drawn]
    known = ~np.isnan(real.targets[drawn])
    started = time.process_time()
    taught = FineTuningRows(texts, np.nan_to_num(real.targets[drawn]), known, real.labels, real.kind)
    tuned = fine_tune(base, taught, settings, seed=seed, progress=_shown(f"seed {seed}"))
    seconds = time.process_time() - started
    learnt = np.concatenate([drawn, rest])
    soft = scores_of(tuned, [real.texts[at] for at in learnt])
    held = scores_of(tuned, [real.texts[at] for at in judged])
    # Every second text says how far the teacher is trusted, the others judge all.
    trusting, judging = np.arange(len(judged)) % 2 == 1, np.arange(len(judged)) % 2 == 0
    undistilled = student(real, drawn, rest[:0], None, judged, seed, None)
    trust = trust_of(real, judged[trusting], held[trusting], undistilled[trusting], seed)
    scores = {
        "teacher": held, "undistilled": undistilled,
        "distilled": student(real, drawn, rest, soft, judged, seed, None),
        "trusted": student(real, drawn, rest, soft, judged, seed, trust) if trust.any() else undistilled,
    }  # fmt: skip
    found = {who: figures(real, judged[judging], scores[who][judging]) for who in WHO}
    told = {
        "schedules": [asdict(one) for one in tuned.schedules], "chosen": tuned.chosen.planned, "held": tuned.held,
        "seconds": seconds,
    }  # fmt: skip
    return {
        "seed": seed, "rows": len(drawn), "pool": len(rest), "fine_tuning": told, "figures": found,
        "trust": dict(zip(real.labels, trust.round(4).tolist(), strict=True)),
    }  # fmt: skip


def scores_of(tuned: FineTuned, texts: Sequence[str]) -> NDArray[np.float32]:
    """The teacher's logits, the texts sorted by length so that little is padded."""
    order = np.argsort([len(text) for text in texts], kind="stable")
    logits = np.empty((len(texts), len(tuned.teacher.labels)), np.float32)
    logits[order] = tuned.teacher.score([texts[at] for at in order])[0]
    return logits


def student(
    real: RealSet, drawn: NDArray[np.int64], rest: NDArray[np.int64], soft: NDArray[np.float32] | None,
    asked: NDArray[np.int64], seed: int, trust: NDArray[np.float32] | None,
) -> NDArray[np.float32]:  # fmt: skip
    """Logits of a student on the rows asked for; undistilled where there are no logits of a teacher.

    Args:
        real: The set.
        drawn: Annotated rows.
        rest: Other rows, which only the teacher labels.
        soft: The teacher's logits of both.
        asked: The rows to score.
        seed: Of the training.
        trust: How far it teaches each label; None: all the way.
    """
    learnt = np.concatenate([drawn, rest])
    column = pa.array([real.texts[at] for at in learnt], pa.string())
    vocabulary = Vocabulary.build(column, max_size=STUDENT.vocabulary_size)
    by_teacher = np.arange(len(learnt)) >= len(drawn)
    hard = real.targets[learnt] > 0
    known = ~np.isnan(real.targets[learnt])
    if soft is not None:
        decided = decide(probabilities(soft, real.kind), first_threshold(real.kind, len(real.labels)), real.kind)
        hard = np.where(by_teacher[:, None], decided, hard)
        denied = np.zeros(len(real.labels), np.bool_) if trust is None else trust <= 0
        if real.kind == "multi_class":
            known &= ~(by_teacher[:, None] & (hard & denied).any(1, keepdims=True))
        else:
            known &= ~(by_teacher[:, None] & denied)
    has_soft = np.full(hard.shape, soft is not None)
    rows = TrainingRows(
        vocabulary.encode(column, STUDENT.max_length), hard.astype(np.float32), known,
        np.zeros(hard.shape, np.float32) if soft is None else soft, has_soft, np.ones(len(learnt), np.float32),
        by_teacher=by_teacher,
    )  # fmt: skip
    trained = train_student(
        rows, STUDENT, vocabulary_size=len(vocabulary), labels=len(real.labels), seed=seed, kind=real.kind,
        distil=soft is not None, trust=trust,
    )  # fmt: skip
    return predict(trained.student, vocabulary.encode(pa.array([real.texts[at] for at in asked]), STUDENT.max_length))


def trust_of(
    real: RealSet, rows: NDArray[np.int64], teacher: NDArray[np.float32], undistilled: NDArray[np.float32], seed: int
) -> NDArray[np.float32]:
    """How far the teacher is trusted with each label, (labels,), by rows that are not judged by."""
    evidence = evidence_of(real, rows)
    of_teacher, of_student = (decisions_of(real, evidence, logits) for logits in (teacher, undistilled))
    found = trust_labels(of_teacher, of_student, evidence, real.labels, MIN_POSITIVES * 2, seed)
    return np.array([one.trust for one in found], np.float32)


def evidence_of(real: RealSet, rows: NDArray[np.int64]) -> GoldRows:
    """The set's own labels of some rows."""
    count, gold = len(rows), real.targets[rows] > 0
    return GoldRows(
        np.zeros(count, np.int32), np.full(count, "*"), np.ones(count, np.int64), gold, np.ones(gold.shape, np.bool_),
        np.arange(count),
    )  # fmt: skip


def decisions_of(real: RealSet, evidence: GoldRows, logits: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Decisions at cross-fitted thresholds; of classes the likeliest decides."""
    scores = probabilities(logits, real.kind).astype(np.float32)
    if real.kind == "multi_class":
        return decide(scores, first_threshold(real.kind, len(real.labels)), real.kind)
    return cross_fitted_decisions(scores, evidence, [Target()] * len(real.labels), real.kind, MIN_POSITIVES)


def figures(real: RealSet, judged: NDArray[np.int64], logits: NDArray[np.float32]) -> dict[str, Any]:
    """Macro and micro F1, and F1 by label."""
    evidence = evidence_of(real, judged)
    slices = count_by_slice(decisions_of(real, evidence, logits), evidence, real.labels)
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
    exams, demos = [f"exam-{subject}" for subject in SUBJECTS], [f"demo-{task}" for task in TASKS]
    parser.add_argument("set", choices=["dialogid", "exam", *exams, *demos])
    parser.add_argument("--base", default="zh-bert-4x256", help="a folder under MODELS, a folder, or a name on the hub")
    parser.add_argument("--rows", type=int, help="annotated rows; all by default")
    parser.add_argument("--pool", type=int, default=20_000, help="the most other rows that the teacher labels")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--teacher", nargs="*", default=[], metavar="KEY=VALUE", help="settings of the teacher")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--name", help="of the file; by default the set, the base and the rows")
    arguments = parser.parse_args()
    missing = [name for name in ("DATA", "MODELS") if not os.environ.get(name)]
    if missing and not arguments.set.startswith("demo-"):
        sys.stderr.write(f"teachers: set {', '.join(missing)} to the folders of the data and of the teachers' bases\n")
        return 2
    torch.set_num_threads(arguments.threads)
    given = {key: json.loads(value) if value[:1] in "0123456789[n" else value for key, _, value in
             (one.partition("=") for one in arguments.teacher)}  # fmt: skip
    settings = TeacherSettings.model_validate({"max_tokens": 128, **given})
    real, own = read_set(arguments.set, Path(os.environ.get("DATA", ".")))
    under = Path(os.environ.get("MODELS", ".")) / arguments.base
    base = own or (str(under) if under.is_dir() else arguments.base)
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
