"""A bucket's scores are its own, bit for bit, however its rows arrive."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import BertConfig, BertForSequenceClassification

from models.errors import BundleError, EnvError
from models.teachers.pretraining import build_tokenizer
from models.teachers.projection import PROJECTION_VERSION, project
from models.teachers.teacher import Teacher
from udfs.model_files import ModelFiles
from udfs.teacher_scoring import PROJECTION_SEED, Compute, teacher_scorer

TEXTS = ["好", "老师", "ab", "老师好", "abc", "好好好好", "a" * 9, "老师讲得好", "", "b" * 13, "师" * 20]
COMPUTE = Compute(tokens=32)


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(1)
    tokenizer = build_tokenizer(TEXTS, 40)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    model = BertForSequenceClassification(BertConfig(vocab_size=len(tokenizer), num_labels=2, **sizes))
    model.config.pingti_max_tokens = 16
    return Teacher(("asks", "got"), 16, model.eval(), tokenizer).save(tmp_path_factory.mktemp("teacher") / "teacher")


def rows_of(sizes: dict[int, int]) -> list[dict[str, object]]:
    """Rows as the job sorts them: by bucket, length and hash."""
    return [
        {"text_hash": f"{bucket:02}{at:02}", "bucket": bucket, "text": text}
        for bucket, size in sorted(sizes.items())
        for at, text in enumerate(sorted((TEXTS[at % len(TEXTS)] for at in range(size)), key=len))
    ]


def scored(
    folder: Path, rows: list[dict[str, object]], cuts: list[int], digest: str | None = None
) -> list[pa.RecordBatch]:
    schema = pa.schema([("text_hash", pa.string()), ("bucket", pa.int32()), ("text", pa.string())])
    places = [0, *sorted(cut % (len(rows) + 1) for cut in cuts), len(rows)]
    batches = [pa.RecordBatch.from_pylist(rows[first:last], schema) for first, last in pairwise(places)]
    digest = digest or Teacher.open(folder).digest
    scorer = teacher_scorer(ModelFiles(str(folder)), "praise/teacher/1", digest, COMPUTE, projection=3)
    return list(scorer(iter(batches)))


def test_a_teacher_of_another_digest_scores_nothing(folder: Path) -> None:
    with pytest.raises(BundleError, match=r"its row in models says 0{12}…; copy the teacher again"):
        scored(folder, rows_of({1: 2}), [], "0" * 64)


@given(st.dictionaries(st.integers(0, 63), st.integers(1, 14), max_size=4), st.lists(st.integers(0, 60), max_size=6))
@settings(max_examples=25, deadline=None)
def test_batches_are_buckets_whatever_arrives(folder: Path, sizes: dict[int, int], cuts: list[int]) -> None:
    rows = rows_of(sizes)
    whole, cut = scored(folder, rows, []), scored(folder, rows, cuts)
    assert [batch.column("bucket").to_pylist() for batch in cut] == [[b] * size for b, size in sorted(sizes.items())]
    assert [batch.column("text_hash").to_pylist() for batch in cut] == [
        [row["text_hash"] for row in rows if row["bucket"] == bucket] for bucket in sorted(sizes)
    ]
    for one, other in zip(whole, cut, strict=True):
        assert one.equals(other)


def test_a_buckets_bits_do_not_depend_on_other_buckets(folder: Path) -> None:
    (alone,) = scored(folder, rows_of({7: 11}), [])
    among = scored(folder, rows_of({3: 5, 7: 11, 9: 6}), [2, 9])
    assert among[1].equals(alone)


def test_scores_are_the_teachers_with_their_projection(folder: Path) -> None:
    rows = rows_of({1: 11})
    (out,) = scored(folder, rows, [])
    logits, states = Teacher.open(folder).score([str(row["text"]) for row in rows], tokens=COMPUTE.tokens)
    assert np.array_equal(np.array(out.column("logits").to_pylist(), np.float32), logits)
    projected = project(states, 3, PROJECTION_SEED)
    assert np.array_equal(np.array(out.column("cls").to_pylist(), np.float32), projected)
    assert set(out.column("projection_version").to_pylist()) == {PROJECTION_VERSION}
    assert set(out.column("model_id").to_pylist()) == {"praise/teacher/1"}
    assert out.schema.field("logits").type == out.schema.field("cls").type == pa.list_(pa.float32())
    assert len(set(map(tuple, logits.tolist()))) > 5


def test_a_text_that_cannot_be_scored_keeps_a_row_with_its_reason(folder: Path, tmp_path: Path) -> None:
    teacher = Teacher.open(folder)
    with torch.no_grad():
        teacher.model.base_model.embeddings.word_embeddings.weight[teacher.tokenizer.convert_tokens_to_ids("b")] = (
            np.nan
        )
    broken = teacher.save(tmp_path / "broken")
    rows = rows_of({1: 11, 2: 1})
    found = [row for batch in scored(broken, rows, []) for row in batch.to_pylist()]
    errors = {text: row["error"] for text, row in zip((row["text"] for row in rows), found, strict=True)}
    assert {text for text, error in errors.items() if error} == {text for text in TEXTS if "b" in text}
    for row in found:
        assert row["error"] in (None, "not_finite")
        assert len(row["logits"]) == (0 if row["error"] else 2)
        assert len(row["cls"]) == (0 if row["error"] else 3)
        assert row["computed_by"] == "torch cpu float32 32"


def test_a_task_without_the_gpu_that_is_asked_for_fails(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    scorer = teacher_scorer(ModelFiles(str(folder)), "praise/teacher/1", "", Compute("cuda"), projection=3)
    rows = pa.RecordBatch.from_pylist(rows_of({1: 1}))
    with pytest.raises(EnvError, match=r"teacher_scoring\.device: cuda: .* finds 0 GPUs here, expected at least 1"):
        list(scorer(iter([rows])))


def test_no_rows_open_no_teacher(tmp_path: Path) -> None:
    assert scored(tmp_path / "none", [], [0, 0], "none") == []
