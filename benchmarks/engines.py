"""Rows a second of the student's engines and of other models, on one core and the demo's words: part of `make bench`.

The same rows for all: one to four utterances in a row, about 24 characters, which is a segment of speech recognition.
A student of the default sizes with random weights: its speed does not depend on them.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from benchmarks import contenders, random_student
from benchmarks.random_student import LABELS
from benchmarks.results import RUNS, note, rates, record
from benchmarks.texts import real_rows, rows_of_the_demo
from jobs.evaluation import speed
from models.export.exporter import to_onnx
from models.export.folded_graph import fold, folded_graph
from models.serving.bundle import open_bundle
from models.serving.fused_engine import FusedEngine
from models.serving.onnx_engine import OnnxEngine, inference_session

ROWS = 20_000
BATCHES, PLAIN = (16, 32, 64), (16, 64, 256)
ARROW_BATCH = 4096


def _both(engine: FusedEngine, column: pa.Array) -> None:
    encoded = engine.encode(column)
    for _ in range(2):
        engine.probabilities_encoded(encoded)


def _distinct_only(engine: FusedEngine, batch: pa.Array) -> NDArray[np.float32]:
    """The batch's probabilities, each of its texts scored once, its rows by look-up."""
    distinct = batch.dictionary_encode()
    scores: NDArray[np.float32] = engine.probabilities(distinct.dictionary)[distinct.indices.to_numpy()]
    return scores


def _repeats(engine: FusedEngine, name: str, texts: list[str]) -> dict[str, list[float]]:
    """Whether it pays to score the identical texts of a batch once."""
    starts = range(0, len(texts), ARROW_BATCH)
    batches = [pa.array(texts[start : start + ARROW_BATCH], pa.string()) for start in starts]
    share = sum(len(batch.unique()) for batch in batches) / len(texts)
    note({f"distinct_in_a_batch_{name}": round(share, 3)})
    return {
        f"batches_{name}": rates(lambda: [engine.probabilities(batch) for batch in batches], len(texts)),
        f"batches_{name}_distinct": rates(lambda: [_distinct_only(engine, batch) for batch in batches], len(texts)),
    }


def _others(texts: list[str], column: pa.Array) -> dict[str, list[float]]:
    """What is not ours, on the same texts: fastText, scikit-learn, and BERT-base, whose batches are of one length.

    The model alone: fastText's lines are joined and its answers left as they come, as its published figures are made.
    """
    with tempfile.TemporaryDirectory() as folder:
        trained = contenders.train_fasttext(texts, LABELS, Path(folder))
        fast, lines = contenders.fasttext_predict(str(trained), len(LABELS)), contenders.spaced(texts)
        linear = contenders.sklearn_model(texts, len(LABELS))
        by_length = sorted(texts, key=len)
        bert = speed.bert_base()
        return {
            "fasttext": rates(lambda: fast(lines), len(texts)),
            "sklearn": rates(lambda: linear(column), len(texts)),
            "bert_base": [speed.rate(bert, by_length, speed.BERT_SECONDS) for _ in range(RUNS)],
        }


def main() -> int:
    """Measure and write."""
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    torch.set_num_threads(1)
    texts = rows_of_the_demo(ROWS)
    column = pa.array(texts, pa.string())
    with tempfile.TemporaryDirectory() as folder:
        student, vocabulary, bundle = random_student.seal(Path(folder) / "bundle", column)
        fused, onnx = FusedEngine.of(open_bundle(bundle)), OnnxEngine.of(open_bundle(bundle))
    encoded, every = fused.encode(column), np.arange(len(texts))
    plain = replace(onnx, session=inference_session(to_onnx(student)))
    exact = replace(onnx, session=inference_session(folded_graph(fold(student), "float32")))
    found = {
        "decode": rates(lambda: fused.encode(column), len(texts)),
        "kernel": rates(lambda: fused.network.probabilities(encoded, every), len(texts)),
        "engine": rates(lambda: fused.probabilities(column), len(texts)),
    }
    # Two students that share a vocabulary, as texts a second: each encoding for itself, and one for both.
    found["two_students_apart"] = rates(lambda: [fused.probabilities(column) for _ in range(2)], len(texts))
    found["two_students_sharing"] = rates(lambda: _both(fused, column), len(texts))
    for name, engine in (("onnxruntime_folded", onnx), ("onnxruntime_folded_float", exact)):
        for batch in BATCHES:
            sized = replace(engine, batch=batch)
            found[f"{name}_{batch}"] = rates(partial(sized.probabilities, column), len(texts))
        found[name] = max((found[f"{name}_{batch}"] for batch in BATCHES), key=median)
    # Without tables there is more to multiply, and larger batches may pay: the best of them counts.
    of_plain = [rates(partial(replace(plain, batch=batch).probabilities, column), len(texts)) for batch in PLAIN]
    found["onnxruntime_textcnn"] = max(of_plain, key=median)
    found |= _repeats(fused, "demo", rows_of_the_demo(ROWS, (1,)))
    real = real_rows()
    if real is not None:
        own = pa.array(real, pa.string())
        ids, all_of_them = fused.encode(own), np.arange(len(real))
        found["kernel_real"] = rates(lambda: fused.network.probabilities(ids, all_of_them), len(real))
        found["engine_real"] = rates(lambda: fused.probabilities(own), len(real))
        found |= _repeats(fused, "real", real)
    found |= _others(texts, column)
    mean = float(encoded.lengths.mean())
    record(found, {"texts": len(texts), "mean_characters": round(mean, 1), "cores": 1})
    print(f"compiled in {fused.compile_seconds:.2f} s; {mean:.1f} characters a text; {len(vocabulary)} ids")
    return 0


if __name__ == "__main__":
    sys.exit(main())
