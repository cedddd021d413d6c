"""Texts and tokens a second of a teacher of BERT-base's size, against the plain pipeline: `make bench-teacher`.

On one core, and on a GPU where torch finds one: the batch function that `score-teacher` gives Spark's workers, from
Arrow batches of texts to Arrow batches of scores, and Transformers' own `pipeline("text-classification")` on the same
rows, at the best of its batch sizes. Random weights: speed does not depend on them, but how alike two forms decide does
(logits that are all near 0 change sides easily), so losses are told here and judged on teachers that learnt.

Rounds alternate between the contenders; figures are medians. Tokens are those of the texts, padding not counted, and so
are the products that the share of a device's peak is of. Writes `build/bench/teacher.json`, null where there is no GPU.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pyarrow as pa
import torch
import transformers
from transformers import BertConfig, BertForSequenceClassification, pipeline

from benchmarks.texts import rows_of_the_demo
from models import digests
from models.teachers.graph_quality import MEAN_PROBABILITY, loss_of
from models.teachers.graph_sealing import write_graph
from models.teachers.pretraining import build_tokenizer
from models.teachers.sealed_graph import GraphPrecision, open_graph
from models.teachers.teacher import Teacher
from models.teachers.teacher_graph import teacher_graph, with_small_weights
from models.teachers.text_scorer import TextScorer
from models.teachers.token_batches import CPU_TOKENS, GPU_TOKENS
from models.teachers.tokenisation import tokenise
from models.teachers.torch_runner import TorchRunner
from udfs.teacher_scoring import Compute, score_batches

OUT = Path("build/bench/teacher.json")
VOCABULARY, LABELS, MAX_TOKENS, BUCKET, PROJECTION = 21_128, 10, 128, 384, 64
DISTINCT = 20_000
PIPELINE_CPU, PIPELINE_GPU = (1, 8, 32), (32, 128, 512)
DENSE_BF16 = {"H100": 989e12, "H200": 989e12, "A100": 312e12}
"""Products and sums a second, by the makers' data sheets."""
TARGETS = {"cpu_against_pipeline": 3.0, "gpu_rows_per_second": 40_000.0, "gpu_share_of_peak": 0.4}


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    config: Mapping[str, int]
    rows_cpu: int
    rows_gpu: int
    rounds: int
    peak_side: int


WHOLE = Size({}, 192, 400_000, 5, 8192)
SMOKE = Size(
    {"num_hidden_layers": 1, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}, 24, 64, 1, 128
)


def teacher_of(size: Size, texts: Sequence[str]) -> Teacher:
    """A BERT of the size with random weights, its vocabulary filled up to BERT-base's."""
    tokenizer = build_tokenizer(texts, VOCABULARY)
    torch.manual_seed(1)
    config = BertConfig(vocab_size=VOCABULARY, num_labels=LABELS, pad_token_id=tokenizer.pad_token_id, **size.config)
    config.problem_type = "multi_label_classification"
    config.pingti_max_tokens = MAX_TOKENS
    model = BertForSequenceClassification(config).eval()
    return Teacher(tuple(f"label_{at}" for at in range(LABELS)), MAX_TOKENS, model, tokenizer)


def products(config: BertConfig, lengths: np.ndarray) -> float:
    """Multiplications and additions of the layers' products over texts of these lengths, padding not counted."""
    hidden, inner = config.hidden_size, config.intermediate_size
    weights = 4 * hidden * hidden + 2 * hidden * inner
    by_token = 2 * weights + 4 * hidden * lengths  # and the products of attention, with each of its text's tokens
    return float(config.num_hidden_layers * (by_token * lengths).sum())


def arrow_batches(texts: Sequence[str]) -> list[pa.RecordBatch]:
    """The texts as the job hands them to a worker: by bucket, length and hash, 4096 a batch."""
    buckets = max(1, min(len(texts) // BUCKET, 64))
    rows = [(digests.of_text(f"{at}\0{text}"), text) for at, text in enumerate(texts)]
    ordered = sorted(((int(name[:8], 16) % buckets, len(text), name, text) for name, text in rows))
    columns = {
        "text_hash": [row[2] for row in ordered],
        "bucket": pa.array([row[0] for row in ordered], pa.int32()),
        "text": [row[3] for row in ordered],
    }
    made: list[pa.RecordBatch] = pa.table(columns).to_batches(max_chunksize=4096)
    return made


def alternately(works: Mapping[str, Callable[[], Any]], rows: int, rounds: int) -> dict[str, list[float]]:
    """Rows a second of each, a run of each a round; every one is warmed up first."""
    for work in works.values():
        work()
    found: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            started = time.perf_counter()
            work()
            found[name].append(rows / (time.perf_counter() - started))
    return found


def matrix_peak(device: str, dtype: torch.dtype, side: int, seconds: float) -> float:
    """Multiplications and additions a second of one large product, the best of some."""
    shape = (side, side) if device == "cuda" else (512, 768)
    left = torch.randn(shape, dtype=dtype, device=device)
    right = torch.randn((shape[1], 4 * shape[1]), dtype=dtype, device=device)
    best, until = 0.0, time.perf_counter() + seconds
    while best == 0.0 or time.perf_counter() < until:
        started = time.perf_counter()
        for _ in range(4):
            left @ right
        if device == "cuda":
            torch.cuda.synchronize()
        best = max(best, 4 * 2 * shape[0] * shape[1] * 4 * shape[1] / (time.perf_counter() - started))
    return best


def busy_share(work: Callable[[], Any]) -> float:
    """The share of a run's time in which the GPU computes or copies; all is on one stream."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CUDA]) as told:
        started = time.perf_counter()
        work()
        torch.cuda.synchronize()
        seconds = time.perf_counter() - started
    kernels = sum(one.self_device_time_total for one in told.key_averages()) / 1e6
    return float(min(kernels / seconds, 1.0))


def plain_pipeline(teacher: Teacher, texts: Sequence[str], batch: int, device: str) -> Callable[[], Any]:
    """Transformers' pipeline as one writes it: all labels' probabilities of the texts in the order they come."""
    made = pipeline("text-classification", model=teacher.model, tokenizer=teacher.tokenizer, device=device, top_k=None)
    return lambda: made(list(texts), batch_size=batch, truncation=True, max_length=MAX_TOKENS)


def ours(scorer: TextScorer, compute: Compute, batches: Sequence[pa.RecordBatch]) -> Callable[[], Any]:
    """The batch function of `score-teacher` over the batches, to its last row."""

    def work() -> int:
        made = score_batches(iter(batches), lambda: scorer, "bench/teacher/1", compute, projection=PROJECTION)
        return sum(batch.num_rows for batch in made)

    return work


def on_one_core(size: Size, teacher: Teacher, texts: Sequence[str], folder: Path) -> dict[str, Any]:
    """The figures of the CPU."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    torch.set_num_threads(1)
    batches, judged_by = arrow_batches(texts), texts[:64]
    reference = teacher.score(judged_by)
    works = {f"pipeline_{batch}": plain_pipeline(teacher, texts, batch, "cpu") for batch in PIPELINE_CPU}
    by_torch = Compute(tokens=CPU_TOKENS)
    works["torch_float32"] = ours(teacher.scorer(tokens=CPU_TOKENS), by_torch, batches)
    graph, losses = teacher_graph(teacher.model, types=False), {}
    precisions: tuple[GraphPrecision, ...] = ("float32", "int8")
    for precision in precisions:
        model = graph if precision == "float32" else with_small_weights(graph)
        write_graph(folder / precision, teacher, model, precision, {}, {})
        opened = open_graph(folder / precision, teacher.digest, CPU_TOKENS)
        losses[precision] = loss_of(reference, opened.score(opened.prepare(judged_by)).whole(), "multi_label")
        compute = Compute(engine="onnxruntime", precision=precision, tokens=CPU_TOKENS)
        works[f"onnxruntime_{precision}"] = ours(opened, compute, batches)
    runs = alternately(works, len(texts), size.rounds)
    allowed = [name for name in precisions if losses[name].probability <= MEAN_PROBABILITY]
    forms = ["torch_float32", *(f"onnxruntime_{name}" for name in allowed)]
    best = max(forms, key=lambda name: statistics.median(runs[name]))
    plain = max((f"pipeline_{batch}" for batch in PIPELINE_CPU), key=lambda name: statistics.median(runs[name]))
    return {
        "runs": runs, "cpu": best, "cpu_pipeline": plain, "peak": matrix_peak("cpu", torch.float32, 512, 2.0),
        "losses": {name: loss.model_dump() for name, loss in losses.items()}, "load": os.getloadavg(),
    }  # fmt: skip


def on_a_gpu(size: Size, teacher: Teacher, texts: Sequence[str]) -> dict[str, Any] | None:
    """The figures of the GPU; None where torch finds none."""
    if not torch.cuda.is_available():
        return None
    teacher.model.to("cuda")
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    name, some = torch.cuda.get_device_name(), texts[: max(size.rows_gpu // 20, 1)]
    reference = teacher.score(some[:256])
    works = {f"pipeline_{batch}": plain_pipeline(teacher, some, batch, "cuda") for batch in PIPELINE_GPU}
    runs = alternately(works, len(some), size.rounds)
    scorer = teacher.scorer(TorchRunner(teacher.model, teacher.tokenizer, "bfloat16"), GPU_TOKENS)
    loss = loss_of(reference, scorer.score(scorer.prepare(some[:256])).whole(), "multi_label")
    work = ours(scorer, Compute("cuda", precision="bfloat16", tokens=GPU_TOKENS), arrow_batches(texts))
    runs |= alternately({"torch_bfloat16": work}, len(texts), size.rounds)
    plain = max(works, key=lambda name: statistics.median(runs[name]))
    return {
        "runs": runs, "gpu": "torch_bfloat16", "gpu_pipeline": plain, "device": name,
        "peak": matrix_peak("cuda", torch.bfloat16, size.peak_side, 3.0),
        "data_sheet": next((peak for chip, peak in DENSE_BF16.items() if chip in name), None),
        "idle": 1.0 - busy_share(work), "tokens": scorer.budget.tokens,
        "losses": {"bfloat16": loss.model_dump()},
    }  # fmt: skip


def told(
    size: Size, teacher: Teacher, texts: Sequence[str], cpu: dict[str, Any], gpu: dict[str, Any] | None
) -> dict[str, Any]:
    """What is written: the four rates that are asked for, and beside them all that was measured."""
    lengths = tokenise(teacher.tokenizer, texts, MAX_TOKENS).encoded.lengths
    mean = float(lengths.mean())
    by_text = products(teacher.model.config, lengths) / len(texts)
    rates: dict[str, float | None] = {}
    shares: dict[str, float | None] = {}
    for device, found in (("cpu", cpu), ("gpu", gpu)):
        for name in (device, f"{device}_pipeline"):
            rates[name] = None if found is None else statistics.median(found["runs"][found[name]])
        rate = rates[device]
        # On a CPU of the float32 peak, which products of 8 bits may pass.
        shares[device] = None if found is None or rate is None else rate * by_text / found["peak"]
    in_floats = max(statistics.median(cpu["runs"][name]) for name in ("torch_float32", "onnxruntime_float32"))
    shares["cpu_float32"] = in_floats * by_text / cpu["peak"]
    sheet = None if gpu is None or not gpu["data_sheet"] else (rates["gpu"] or 0.0) * by_text / gpu["data_sheet"]
    return {
        "rows_per_second": rates,
        "tokens_per_second": {name: None if rate is None else rate * mean for name, rate in rates.items()},
        "share_of_peak": shares,
        "gpu_share_of_data_sheet": sheet,
        "cpu_against_pipeline": (rates["cpu"] or 0.0) / (rates["cpu_pipeline"] or 1.0),
        "targets": TARGETS,
        "mean_tokens": mean,
        "rows": {"cpu": size.rows_cpu, "gpu": size.rows_gpu if gpu else None},
        "cpu": cpu,
        "gpu": gpu,
        "versions": {
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "onnxruntime": ort.__version__,
        },
    }


def measure(size: Size) -> dict[str, Any]:
    """Both halves; the GPU's first, before this process is held to one core."""
    many = rows_of_the_demo(max(size.rows_cpu, DISTINCT if torch.cuda.is_available() else 0))
    teacher = teacher_of(size, many)
    gpu = on_a_gpu(size, teacher, (many * -(-size.rows_gpu // len(many)))[: size.rows_gpu])
    if gpu is not None:
        teacher = teacher_of(size, many)  # its weights were made half
    texts = many[: size.rows_cpu]
    with tempfile.TemporaryDirectory() as folder:
        cpu = on_one_core(size, teacher, texts, Path(folder))
    return told(size, teacher, texts, cpu, gpu)


def main() -> int:
    """Measure, write, and say what was missed."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--smoke", action="store_true", help="A tiny network and few rows: whether it runs.")
    asked.add_argument("--rounds", type=int, help="Runs of each contender.")
    asked.add_argument("--out", type=Path, default=OUT)
    arguments = asked.parse_args()
    size = SMOKE if arguments.smoke else WHOLE
    found = measure(replace(size, rounds=arguments.rounds or size.rounds))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    for half in (found["cpu"], found["gpu"]):
        for name, runs in (half or {"runs": {}})["runs"].items():
            print(f"{name:<24} {statistics.median(runs):>10,.1f} texts/s   ({min(runs):,.1f} to {max(runs):,.1f})")
    for name in ("rows_per_second", "tokens_per_second", "share_of_peak"):
        print(name, {key: value if value is None else round(value, 3) for key, value in found[name].items()})
    for name, loss in found["cpu"]["losses"].items():
        print(
            f"{name} against torch: relative {loss['relative']:.2g}, probabilities {loss['probability']:.2g} on average"
        )
    print(f"load average {os.getloadavg()[0]:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
