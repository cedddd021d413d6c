"""How fast students learn: this project's trainer against a plain PyTorch loop, side by side: `make bench-train`.

Both learn the same rows (the demo's utterances with their true labels, and logits made from them) for equal epochs,
with equal batches, schedule, loss and threads. The plain loop is what one writes first: rows shuffled, already encoded,
padded to the longest of their batch, `Conv1d`, `nn.LSTM` over padding, AdamW as it comes. Rows a second are medians of
`RUNS` turns, ours and the plain one by turns; macro F1 is on rows that neither has seen, and must not be lower than the
plain loop's by more than half a point. Then five million rows, mapped from files, are trained on for an epoch by the
quickest student: what memory that takes. Writes `build/bench/train.json`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from benchmarks.results import child
from benchmarks.texts import MAX_LENGTH, SCENES
from jobs.demo.composing import compose
from jobs.demo.corpus_plan import stream
from jobs.demo.corpus_settings import CorpusSettings
from models.evaluation.metrics import count, macro
from models.evaluation.predictions import to_logits
from models.student_settings import BOWSettings, StudentKind, StudentSettings, TextCNNSettings, read_student
from models.students.student import predict
from models.tasks import TaskKind
from models.text.normalisation import clean
from models.text.vocabulary import PAD, Encoded, Vocabulary
from models.training.batching import ramp
from models.training.losses import distil_loss
from models.training.trainer import train_student
from models.training.training_rows import RowsWriter, TrainingRows

OUT = Path("build/bench/train.json")
KINDS: tuple[StudentKind, ...] = ("textcnn", "bow", "bilstm", "bigru")
ROWS, UNSEEN, THREADS = 9_000, 3_000, 2
EPOCHS = {"textcnn": 3, "bow": 4, "bilstm": 6, "bigru": 6}
RUNS = {"textcnn": 3, "bow": 3, "bilstm": 1, "bigru": 1}  # the recurrent ones take minutes
LARGE = 5_000_000
KIND: TaskKind = "multi_label"
MARGIN, LEAST = 0.005, 2.0


def labelled(rows: int) -> tuple[list[str], list[frozenset[str]]]:
    """Utterances of the demo, one to four in a row, and the labels that any of them has."""
    settings = CorpusSettings()
    texts, labels = [], []
    for scene, share in SCENES.items():
        random = stream(settings, "bench-train", scene)
        spoken = compose(scene, settings.last_day, round(4 * rows * share), settings, random)
        at = 0
        while at < len(spoken):
            some = spoken[at : at + random.choice((1, 2, 2, 3, 4))]
            texts.append(clean("".join(one.text for one in some), MAX_LENGTH))
            labels.append(frozenset(label for one in some for label in one.labels))
            at += len(some)
    order = np.random.default_rng(1).permutation(len(texts))[:rows]
    return [texts[at] for at in order], [labels[at] for at in order]


def lesson() -> tuple[TrainingRows, TrainingRows, int]:
    """Rows to learn from, rows to judge by, and how many ids there are."""
    texts, truth = labelled(ROWS + UNSEEN)
    names = sorted({label for one in truth for label in one})
    column = pa.array(texts, pa.string())
    vocabulary = Vocabulary.build(column, max_size=6000)
    hard = np.array([[name in one for name in names] for one in truth], np.float32)
    noise = np.random.default_rng(2).normal(0, 1.5, hard.shape).astype(np.float32)
    everywhere = np.ones(hard.shape, np.bool_)
    encoded = vocabulary.encode(column, MAX_LENGTH)
    every = TrainingRows(encoded, hard, everywhere, hard * 8 - 4 + noise, everywhere, np.ones(len(texts), np.float32))
    return part(every, np.arange(ROWS)), part(every, np.arange(ROWS, ROWS + UNSEEN)), len(vocabulary)


def part(rows: TrainingRows, chosen: np.ndarray) -> TrainingRows:
    names = ("hard", "hard_mask", "soft", "soft_mask", "weight")
    return TrainingRows(rows.texts.take(chosen), **{name: getattr(rows, name)[chosen] for name in names})


class Plain(nn.Module):
    """The same networks as one writes them first."""

    def __init__(self, settings: StudentSettings, vocabulary_size: int, labels: int) -> None:
        super().__init__()
        self.kind = settings.kind
        self.embedding = nn.Embedding(vocabulary_size, settings.embedding, padding_idx=PAD)
        if isinstance(settings, TextCNNSettings):
            width = settings.filters * len(settings.widths)
            self.filters = nn.ModuleList(
                nn.Conv1d(settings.embedding, settings.filters, each) for each in settings.widths
            )
        elif isinstance(settings, BOWSettings):
            width = settings.filters
            self.layer = nn.Linear(settings.embedding, width)
            with torch.no_grad():  # as ours
                self.embedding.weight.mul_(0.1)
        else:
            cell = {"bilstm": nn.LSTM, "bigru": nn.GRU}[settings.kind]
            self.cell = cell(settings.embedding, settings.hidden, batch_first=True, bidirectional=True)
            width = 2 * settings.hidden
        self.dropout, self.head = nn.Dropout(settings.dropout), nn.Linear(width, labels)

    def forward(self, ids: Tensor) -> Tensor:
        """Logits of padded ids."""
        embedded = self.embedding(ids)
        if self.kind == "textcnn":
            upright = embedded.transpose(1, 2)
            features = torch.cat([torch.relu(layer(upright)).amax(2) for layer in self.filters], 1)
        elif self.kind == "bow":
            features = torch.relu(self.layer(embedded.sum(1)))
        else:
            padding = (ids == PAD)[:, :, None]
            features = self.cell(embedded)[0].masked_fill(padding, float("-inf")).amax(1).clamp_min(-1.0)
        logits: Tensor = self.head(self.dropout(features))
        return logits


def widest(settings: StudentSettings) -> int:
    """The least length that the plain networks are given: the widest filter of a TextCNN by default."""
    return max(settings.widths if isinstance(settings, TextCNNSettings) else TextCNNSettings().widths)


def plain(rows: TrainingRows, settings: StudentSettings, size: int, seed: int) -> tuple[nn.Module, float]:
    """Train the plain network; it, and rows a second."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    labels = rows.hard.shape[1]
    network = Plain(settings, size, labels)
    rates = rows.base_rates(np.arange(len(rows)), KIND, soft=True)
    with torch.no_grad():
        network.head.bias.copy_(torch.from_numpy(to_logits(rates, KIND)))
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=0.01)
    names = ("hard", "hard_mask", "soft", "soft_mask", "weight")
    tensors = {name: torch.from_numpy(getattr(rows, name)) for name in names}
    steps = -(-len(rows) // settings.batch) * settings.epochs
    started, step = time.perf_counter(), 0
    for _ in range(settings.epochs):
        order = random.permutation(len(rows))
        for at in range(0, len(order), settings.batch):
            batch = order[at : at + settings.batch]
            ids, _ = rows.texts.padded(batch, at_least=widest(settings))
            for group in optimiser.param_groups:
                group["lr"] = settings.learning_rate * ramp((step + 0.5) / steps)
            optimiser.zero_grad()
            chosen = torch.from_numpy(batch)
            loss = distil_loss(
                network(torch.from_numpy(ids)), **{name: value[chosen] for name, value in tensors.items()}, kind=KIND,
                temperature=settings.scheme.temperature, soft_weight=settings.scheme.soft_weight,
            )  # fmt: skip
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            step += 1
    return network.eval(), len(rows) * settings.epochs / (time.perf_counter() - started)


def plain_logits(network: nn.Module, texts: Encoded, least: int) -> np.ndarray:
    with torch.inference_mode():
        found = [
            network(torch.from_numpy(texts.padded(np.array([row]), at_least=least)[0])).numpy()
            for row in range(len(texts))
        ]
    return np.concatenate(found)


def f1(logits: np.ndarray, rows: TrainingRows) -> float:
    """Macro F1 against the true labels."""
    counts = [count(logits[:, at] > 0, rows.hard[:, at] > 0.5) for at in range(rows.hard.shape[1])]
    found = macro([one.quality for one in counts if one.quality is not None])
    return found.f1 if found else 0.0


def measure(kind: StudentKind, threads: int) -> dict[str, Any]:
    """Ours and the plain loop by turns."""
    torch.set_num_threads(threads)
    rows, unseen, size = lesson()
    settings = read_student({"kind": kind, "epochs": EPOCHS[kind]})
    ours: list[float] = []
    theirs: list[float] = []
    mine: list[float] = []
    others: list[float] = []
    warm = settings.model_copy(update={"epochs": 1})
    train_student(rows, warm, vocabulary_size=size, labels=rows.hard.shape[1], seed=0, threads=threads, max_steps=5)
    for seed in range(1, RUNS[kind] + 1):
        trained = train_student(
            rows, settings, vocabulary_size=size, labels=rows.hard.shape[1], seed=seed, threads=threads
        )
        ours.append(trained.rows_per_s)
        mine.append(f1(predict(trained.student, unseen.texts), unseen))
        network, rate = plain(rows, settings, size, seed)
        theirs.append(rate)
        others.append(f1(plain_logits(network, unseen.texts, widest(settings)), unseen))
    return {
        "rows_per_second": statistics.median(ours), "plain_rows_per_second": statistics.median(theirs),
        "ratio": statistics.median(ours) / statistics.median(theirs), "f1": statistics.mean(mine),
        "plain_f1": statistics.mean(others), "runs": ours, "plain_runs": theirs, "threads": threads,
        "epochs": settings.epochs, "rows": len(rows), "load": os.getloadavg(),
    }  # fmt: skip


def large() -> dict[str, Any]:
    """An epoch of rows that are mapped from files."""
    rows, _, size = lesson()
    with tempfile.TemporaryDirectory(prefix="pingti-bench-") as folder, RowsWriter(Path(folder)) as writer:
        for _ in range(-(-LARGE // len(rows))):
            writer.add(rows)
        mapped = writer.finished()
        held = sum(path.stat().st_size for path in Path(folder).iterdir())
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        started = time.perf_counter()
        seen: list[int] = []
        settings = BOWSettings(epochs=1, validation_share=0.001)
        train_student(
            mapped, settings, vocabulary_size=size, labels=rows.hard.shape[1], seed=1,
            checkpoints=Path(folder) / "checkpoints", progress=lambda *_: seen.append(_memory("RssAnon")),
        )  # fmt: skip
        seconds = time.perf_counter() - started
    return {
        "rows": len(mapped), "files_mb": held >> 20, "before_mb": before >> 10,
        "seconds": seconds, "peak_mb": _memory("VmHWM"), "anonymous_peak_mb": max(seen),
    }  # fmt: skip


def _memory(what: str) -> int:
    """A figure of this process's memory, in MiB (proc(5))."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return int(status[what].split()[0]) // 1024


def main() -> int:
    """Each student in a process of its own, then the large one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=KINDS)
    parser.add_argument("--threads", type=int, default=THREADS)
    parser.add_argument("--large", action="store_true")
    asked = parser.parse_args()
    if asked.kind or asked.large:
        print(json.dumps(large() if asked.large else measure(asked.kind, asked.threads)))
        return 0
    found: dict[str, Any] = {kind: json.loads(child("benchmarks.train", "--kind", kind)) for kind in KINDS}
    worse = [kind for kind in KINDS if found[kind]["f1"] < found[kind]["plain_f1"] - MARGIN]
    slow = found["textcnn"]["ratio"] < LEAST
    found["large"] = json.loads(child("benchmarks.train", "--large"))
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print("| student | rows/s | plain loop | ratio | macro F1 | plain F1 | threads | load |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for kind in KINDS:
        one = found[kind]
        print(
            f"| {kind} | {one['rows_per_second']:,.0f} | {one['plain_rows_per_second']:,.0f} | {one['ratio']:.2f} | "
            f"{one['f1']:.4f} | {one['plain_f1']:.4f} | {one['threads']} | {one['load'][0]:.1f} |"
        )
    print(json.dumps(found["large"]))
    if worse:
        sys.stderr.write(f"bench-train: worse than the plain loop by more than {MARGIN}: {', '.join(worse)}\n")
    if slow:
        sys.stderr.write(f"bench-train: TextCNN is less than {LEAST} times as fast as the plain loop\n")
    return int(bool(worse) or slow)


if __name__ == "__main__":
    sys.exit(main())
