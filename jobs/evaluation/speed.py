"""How fast teacher, BERT-base and student are on one core: side by side, in one process pinned to it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import numpy as np
import pyarrow as pa

BERT_SECONDS = 10.0
_OTHER_SECONDS = 3.0
_BATCH = 32


def measure(bundle: str, teacher: str, texts: Sequence[str], seconds: float = BERT_SECONDS) -> dict[str, float]:
    """Rows a second of each, and student ÷ BERT-base.

    All take the same texts, in batches of similar length. BERT-base has random weights: its speed does not depend
    on them. The load average tells how quiet the machine was.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_measure, bundle, teacher, list(texts), seconds).result()


def one_core(bundle: str, texts: pa.Array, seconds: float = 1.0) -> float:
    """Rows a second of a sealed student alone, from an Arrow column, with this thread pinned to one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        return _column_rate(bundle, texts, seconds)
    finally:
        os.sched_setaffinity(0, before)


def _measure(bundle: str, teacher: str, texts: list[str], seconds: float) -> dict[str, float]:
    core = min(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    import torch

    torch.set_num_threads(1)
    texts = sorted(texts, key=len)
    found = {
        "teacher_rows_per_s": rate(_teacher(teacher), texts, _OTHER_SECONDS),
        "bert_base_rows_per_s": rate(bert_base(), texts, seconds),
        "student_rows_per_s": _student_rate(bundle, texts),
    }
    ratio = found["student_rows_per_s"] / found["bert_base_rows_per_s"]
    return {name: round(value, 1) for name, value in found.items()} | {
        "ratio": round(ratio, 1),
        "load_average": round(os.getloadavg()[0], 2),
    }


def rate(score: Callable[[list[str]], Any], texts: list[str], seconds: float) -> float:
    """Rows a second over batches of similar length drawn from all lengths alike, for about `seconds`."""
    batches = [texts[start : start + _BATCH] for start in range(0, len(texts), _BATCH)]
    order = np.random.default_rng(1).permutation(len(batches))
    score(batches[order[0]])  # the first call pays for what later ones reuse
    rows, started = 0, time.perf_counter()
    for turn in range(len(order) * 1000):
        batch = batches[order[turn % len(order)]]
        score(batch)
        rows += len(batch)
        if time.perf_counter() - started > seconds:
            break
    return rows / (time.perf_counter() - started)


def _teacher(folder: str) -> Callable[[list[str]], Any]:
    from pathlib import Path

    from models.teachers.teacher import Teacher

    teacher = Teacher.open(Path(folder))
    return lambda batch: teacher.score(batch)


def bert_base() -> Callable[[list[str]], Any]:
    """BERT-base in fp32 on ids of the texts' lengths, [CLS] and [SEP] included; without tokenising, in its favour."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(1)
    model = BertForSequenceClassification(BertConfig(vocab_size=21128, num_labels=4)).eval()

    def score(batch: list[str]) -> Any:
        lengths = torch.tensor([min(len(text) + 2, 128) for text in batch])
        longest = int(lengths.max())
        ids = torch.randint(672, 7992, (len(batch), longest))
        mask = (torch.arange(longest)[None] < lengths[:, None]).long()
        with torch.inference_mode():
            return model(input_ids=ids, attention_mask=mask).logits

    return score


def _student_rate(bundle: str, texts: list[str]) -> float:
    return _column_rate(bundle, pa.array(texts, pa.string()), _OTHER_SECONDS)


def _column_rate(bundle: str, column: pa.Array, seconds: float) -> float:
    """From an Arrow column of texts to probabilities, cutting and padding included."""
    from models.serving.open_engine import open_engine

    engine = open_engine(bundle)
    engine.probabilities(column[: 8 * _BATCH])
    rows, started = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - started) < seconds:
        engine.probabilities(column)
        rows += len(column)
    return rows / elapsed
