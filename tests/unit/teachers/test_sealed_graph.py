"""A teacher's graph repeats it, in floats and in 8 bits, and a graph that does not is not sealed."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AlbertConfig,
    AlbertForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    ElectraConfig,
    ElectraForSequenceClassification,
    ErnieConfig,
    ErnieForSequenceClassification,
    RobertaConfig,
    RobertaForSequenceClassification,
)

from models.errors import BundleError
from models.teachers import graph_sealing
from models.teachers.graph_quality import loss_of
from models.teachers.graph_sealing import JudgedBy, seal_graph
from models.teachers.pretraining import build_tokenizer
from models.teachers.sealed_graph import MODEL, open_graph, read_manifest
from models.teachers.teacher import Teacher
from models.teachers.torch_runner import TorchRunner

CHARS = "老师讲得真好同学们作业交了吗听不见声音abc"
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "num_labels": 3}

SHORT = {"max_position_embeddings": 40}
NETWORKS: dict[str, tuple[Any, Any]] = {
    "bert": (partial(BertConfig, **SIZES), BertForSequenceClassification),
    "roberta": (partial(RobertaConfig, **SIZES, **SHORT), RobertaForSequenceClassification),
    "albert": (partial(AlbertConfig, **SIZES, embedding_size=16), AlbertForSequenceClassification),
    "ernie": (partial(ErnieConfig, **SIZES), ErnieForSequenceClassification),
    "electra": (partial(ElectraConfig, **SIZES, embedding_size=16), ElectraForSequenceClassification),
    "distilbert": (
        partial(DistilBertConfig, dim=32, n_layers=2, n_heads=2, hidden_dim=64, num_labels=3),
        DistilBertForSequenceClassification,
    ),
}


def texts(count: int, seed: int = 1) -> list[str]:
    random = np.random.default_rng(seed)
    return ["".join(random.choice(list(CHARS), random.integers(0, 20))) for _ in range(count)]


def teacher(kind: str = "bert", pooling: str = "cls", seed: int = 1) -> Teacher:
    torch.manual_seed(seed)
    tokenizer = build_tokenizer(texts(100), 60)
    config, made_of = NETWORKS[kind]
    model: Any = made_of(config(vocab_size=len(tokenizer), pad_token_id=0))
    model.config.pingti_max_tokens, model.config.pingti_pooling = 16, pooling
    return Teacher(("asks", "got", "complains"), 16, model.eval(), tokenizer)


@pytest.mark.parametrize(
    ("kind", "pooling", "pairs"),
    [
        ("bert", "cls", False),
        ("bert", "mean", True),
        ("roberta", "cls", False),
        ("albert", "mean", False),
        ("ernie", "cls", True),
        ("electra", "cls", False),
        ("distilbert", "mean", True),
    ],
)
def test_a_sealed_graph_repeats_its_teacher_on_texts_that_it_was_not_judged_by(
    tmp_path: Path, kind: str, pooling: str, pairs: bool
) -> None:
    own = teacher(kind, pooling)
    judged_by = JudgedBy(texts(16), texts(16, 2) if pairs else None, "pair" if pairs else "multi_label")
    manifest = seal_graph(tmp_path / "graph", own, judged_by, ("float32",))
    assert manifest.precision == "float32"
    assert manifest.losses["float32"].same
    opened = open_graph(tmp_path / "graph", own.digest, 64)
    others, second = texts(40, 3), texts(40, 4) if pairs else None
    got = opened.score(opened.prepare(others, second)).whole()
    for values, wanted in zip(got, own.score(others, second=second), strict=True):
        assert values == pytest.approx(wanted, abs=1e-5)


def test_8_bits_come_first_where_the_decisions_stay(tmp_path: Path) -> None:
    own = teacher()
    manifest = seal_graph(tmp_path / "graph", own, JudgedBy(texts(64), None, "multi_class"))
    loss = manifest.losses["int8"]
    assert manifest.precision == "int8"
    assert 0 < loss.relative < 0.1  # other numbers, but near
    assert loss.passes
    exact = seal_graph(tmp_path / "exact", own, JudgedBy(texts(64), None, "multi_class"), ("float32",))
    assert (tmp_path / "graph" / MODEL).stat().st_size < (tmp_path / "exact" / MODEL).stat().st_size
    assert exact.teacher == manifest.teacher == own.digest
    again = seal_graph(tmp_path / "graph", own, JudgedBy(texts(64), None, "multi_class"))
    assert again == manifest  # the same bytes, else the folder would differ


def test_8_bits_that_change_decisions_are_refused_and_floats_take_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, other = teacher(), teacher(seed=2)
    wrong = graph_sealing.teacher_graph(other.model, types=False)
    monkeypatch.setattr(graph_sealing, "with_small_weights", lambda _: wrong)
    manifest = seal_graph(tmp_path / "graph", own, JudgedBy(texts(64), None, "multi_label"))
    assert manifest.precision == "float32"
    assert "of the decisions change" in manifest.refused["int8"]


def test_no_texts_to_judge_by_seal_no_graph(tmp_path: Path) -> None:
    own = teacher()
    manifest = seal_graph(tmp_path / "graph", own, JudgedBy([], None, "multi_label"))
    assert manifest.precision is None
    assert set(manifest.refused) == {"int8", "float32"}
    assert not (tmp_path / "graph" / MODEL).exists()
    with pytest.raises(BundleError, match="holds no graph"):
        open_graph(tmp_path / "graph", own.digest, 64)


def test_a_network_that_cannot_be_drawn_is_told_and_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = teacher()

    def undrawable(*_: Any, **__: Any) -> None:
        raise RuntimeError("no such operation")

    monkeypatch.setattr(own.model, "forward", undrawable)
    manifest = seal_graph(tmp_path / "graph", own, JudgedBy(texts(4), None, "multi_label"))
    assert manifest.precision is None
    assert "draws no ONNX graph of a BertForSequenceClassification" in manifest.refused["float32"]
    assert own.model.config._attn_implementation == "sdpa"  # as it was
    assert read_manifest(tmp_path / "graph") == manifest


def test_a_graph_of_another_teacher_or_with_other_bytes_is_refused(tmp_path: Path) -> None:
    own = teacher()
    seal_graph(tmp_path / "graph", own, JudgedBy(texts(8), None, "multi_label"), ("float32",))
    with pytest.raises(BundleError, match="holds no graph of the teacher 000000000000…"):
        open_graph(tmp_path / "graph", "0" * 64, 64)
    with (tmp_path / "graph" / MODEL).open("ab") as file:
        file.write(b"\0")
    with pytest.raises(BundleError, match=r"model\.onnx has digest"):
        open_graph(tmp_path / "graph", own.digest, 64)
    (tmp_path / "graph" / MODEL).unlink()
    with pytest.raises(BundleError, match=r"model\.onnx is missing"):
        open_graph(tmp_path / "graph", own.digest, 64)


def test_half_weights_keep_the_decisions_and_a_float32_logit() -> None:
    own = teacher()
    wanted = own.score(texts(40))
    half = own.scorer(TorchRunner(own.model, own.tokenizer, "bfloat16"))
    got = half.score(half.prepare(texts(40))).whole()
    loss = loss_of(wanted, got, "multi_label")
    assert 0 < loss.relative < 0.05
    assert loss.probability < 0.01
    eighth = got[0].view(np.uint32) & 0xFFFF  # bits that a bfloat16 does not have
    assert (eighth != 0).any()


def test_a_loss_counts_decisions_and_what_is_no_number() -> None:
    logits, states = np.array([[2.0, -2.0], [1.0, -1.0]], np.float32), np.eye(2, dtype=np.float32)
    same = loss_of((logits, states), (logits.copy(), states.copy()), "multi_label")
    assert same.same
    assert same.passes
    assert (same.changed, same.probability, same.cosine) == (0, 0, 1)
    turned = logits.copy()
    turned[1, 1] = 1.0
    assert loss_of((logits, states), (turned, states), "multi_label").changed == 0.25
    broken = logits.copy()
    broken[0, 0] = np.nan
    lost = loss_of((logits, states), (broken, states), "multi_label")
    assert not lost.same
    assert not lost.passes
