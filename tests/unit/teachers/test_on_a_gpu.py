"""What needs a GPU: batches that overlap, halved where they do not fit, and the function that Spark's workers run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from models.teachers.batch_scoring import Budget
from models.teachers.graph_quality import loss_of
from models.teachers.pretraining import build_tokenizer
from models.teachers.teacher import Teacher
from models.teachers.text_scorer import TextScorer
from models.teachers.torch_runner import TorchRunner
from udfs.model_files import ModelFiles
from udfs.teacher_scoring import Compute, teacher_scorer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
CHARS = "老师讲得真好同学们作业交了吗听不见声音abc"


def texts(count: int) -> list[str]:
    random = np.random.default_rng(1)
    return ["".join(random.choice(list(CHARS), random.integers(0, 60))) for _ in range(count)]


def teacher() -> Teacher:
    torch.manual_seed(1)
    tokenizer = build_tokenizer(texts(100), 60)
    model = BertForSequenceClassification(BertConfig(vocab_size=len(tokenizer), num_labels=3, num_hidden_layers=2))
    model.config.pingti_max_tokens, model.config.id2label = 64, {0: "asks", 1: "got", 2: "complains"}
    return Teacher(("asks", "got", "complains"), 64, model.eval(), tokenizer)


def on_gpu(own: Teacher, tokens: int) -> TextScorer:
    runner = TorchRunner(own.model.to("cuda"), own.tokenizer, "bfloat16")
    return TextScorer(own.tokenizer, 64, 3, own.model.config.hidden_size, runner, Budget(tokens))


def test_batches_that_overlap_give_each_text_its_own_scores() -> None:
    own, rows = teacher(), texts(500)
    wanted = own.score(rows)
    scorer = on_gpu(own, 1024)
    assert scorer.runner.ahead == 2
    first = scorer.score(scorer.prepare(rows)).whole()
    assert loss_of(wanted, first, "multi_label").relative < 0.05
    again = scorer.score(scorer.prepare(rows)).whole()
    assert all(np.array_equal(one, other) for one, other in zip(first, again, strict=True))


@pytest.fixture
def _little_memory() -> Iterator[None]:
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(min(1.0, (1 << 30) / total))
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)


@pytest.mark.usefixtures("_little_memory")
def test_a_budget_that_does_not_fit_is_halved() -> None:
    scorer = on_gpu(teacher(), 1 << 20)
    scorer.score(scorer.prepare(texts(20_000))).whole()
    assert scorer.budget.halvings > 0


def test_the_workers_function_scores_on_the_gpu(tmp_path: Path) -> None:
    own = teacher()
    folder, digest, rows = own.save(tmp_path / "teacher"), own.digest, sorted(texts(300), key=len)
    names = [f"{at:04}" for at in range(300)]
    batch = pa.RecordBatch.from_pydict(
        {"text_hash": names, "bucket": pa.array([at // 100 for at in range(300)], pa.int32()), "text": rows}
    )
    compute = Compute("cuda", precision="bfloat16", tokens=512)
    scorer = teacher_scorer(ModelFiles(str(folder)), "a/teacher/1", digest, compute, projection=4, threads=2)
    found = pa.Table.from_batches(scorer(iter([batch])))
    assert found.column("text_hash").to_pylist() == names
    assert found.column("error").null_count == 300
    assert found.column("computed_by").unique().to_pylist() == ["torch cuda bfloat16 512"]
    wanted = own.score(rows)[0]
    assert np.array(found.column("logits").to_pylist()) == pytest.approx(wanted, abs=0.1)
