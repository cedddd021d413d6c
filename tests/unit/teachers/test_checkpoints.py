"""A base is what was named, or it is refused in one sentence before the first step."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AlbertConfig,
    AlbertForMaskedLM,
    AlbertModel,
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    BertForSequenceClassification,
    BertModel,
    ElectraConfig,
    ElectraForPreTraining,
    ErnieConfig,
    ErnieForMaskedLM,
    RobertaConfig,
    RobertaForMaskedLM,
)

from models.errors import BundleError, SettingsError
from models.tasks import TeacherSettings
from models.teachers.fine_tuning import fine_tune
from models.teachers.fine_tuning_rows import FineTuningRows
from models.teachers.huggingface import load_base
from models.teachers.teacher import Teacher

TEXTS = ["老师好", "同学们今天上课", "听不清", "下课谢谢老师再见", "请听"]
CHARS = [*dict.fromkeys("".join(TEXTS))]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *CHARS]
SIZES = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32,
    "max_position_embeddings": 64, "vocab_size": len(VOCABULARY),
}  # fmt: skip
SETTINGS = TeacherSettings(max_tokens=16, epochs=1, min_steps=0, batch=4)
LABELS = ("asks", "got")


def make(folder: Path, kind: Any = BertForMaskedLM, *, prefix: str = "", vocabulary: list[str] | None = None) -> Path:
    """A model of random weights, whose names begin with a prefix, with its vocabulary."""
    config = AlbertConfig(embedding_size=8, **SIZES) if kind is AlbertModel else BertConfig(**SIZES)
    kind(config).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY if vocabulary is None else vocabulary) + "\n", "utf-8")
    if prefix:
        rename(folder, lambda name: f"{prefix}{name}")
    return folder


def rename(folder: Path, named: Callable[[str], str]) -> None:
    weights = load_file(folder / "model.safetensors")
    save_file({named(name): value for name, value in weights.items()}, folder / "model.safetensors", {"format": "pt"})


def trained(base: Path, texts: list[str] | None = None) -> Teacher:
    texts = texts or TEXTS
    targets = np.zeros((len(texts), 2), np.float32)
    rows = FineTuningRows(texts, targets, np.ones(targets.shape, bool), LABELS)
    return fine_tune(base, rows, SETTINGS, seed=1, max_steps=1).teacher


def embeddings(model: Any) -> torch.Tensor:
    found: torch.Tensor = model.get_input_embeddings().weight
    return found


@pytest.mark.parametrize("kind", [BertForMaskedLM, BertForPreTraining, BertModel, BertForSequenceClassification])
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "bert.", "module.model."])
def test_weights_are_taken_whatever_they_are_wrapped_in(kind: Any, prefix: str, tmp_path: Path) -> None:
    stored = load_file(make(tmp_path / "plain", kind) / "model.safetensors")
    base = make(tmp_path / "base", kind)
    save_file(
        {f"{prefix}{name}": value for name, value in stored.items()}, base / "model.safetensors", {"format": "pt"}
    )
    _, model = load_base(base, LABELS)
    body = {name: value for name, value in model.state_dict().items() if name.startswith("bert.")}
    plain = {name.removeprefix("bert."): value for name, value in stored.items()}
    taken = [name for name in body if "pooler" not in name or name.removeprefix("bert.") in plain]
    assert len(taken) >= 37
    for name in taken:
        assert torch.equal(body[name], plain[name.removeprefix("bert.")]), name


def test_a_chinese_albert_is_read_with_the_vocabulary_of_bert(tmp_path: Path) -> None:
    teacher = trained(make(tmp_path / "base", AlbertModel))
    assert teacher.tokenizer("老师好")["input_ids"] == [2, 5, 6, 7, 3]
    opened = Teacher.open(teacher.save(tmp_path / "teacher"))
    assert opened.tokenizer("老师好")["input_ids"] == [2, 5, 6, 7, 3]
    assert np.array_equal(opened.score(TEXTS)[0], teacher.score(TEXTS)[0])


def test_weights_in_several_files_are_read(tmp_path: Path) -> None:
    base = tmp_path / "base"
    model = BertModel(BertConfig(**SIZES))
    model.save_pretrained(base, max_shard_size="4KB")
    (base / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", "utf-8")
    assert not (base / "model.safetensors").exists()
    assert torch.equal(embeddings(load_base(base, LABELS)[1]), embeddings(model))
    lost = min(base.glob("model-*.safetensors"))
    lost.unlink()
    with pytest.raises(SettingsError, match=rf"{lost.name}: is not there, though model.safetensors.index"):
        load_base(base, LABELS)


def without_vocabulary(base: Path) -> None:
    (base / "vocab.txt").unlink()


def as_pointer(name: str) -> Callable[[Path], None]:
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 411577189\n"
    return lambda base: (base / name).write_text(pointer) and None


def cut_short(base: Path) -> None:
    whole = (base / "model.safetensors").read_bytes()
    (base / "model.safetensors").write_bytes(whole[:-100])


def cut_in_its_header(base: Path) -> None:
    (base / "model.safetensors").write_bytes((base / "model.safetensors").read_bytes()[:100])


def no_header(base: Path) -> None:
    (base / "model.safetensors").write_bytes(b"\x02\0\0\0\0\0\0\0[]")


def empty(base: Path) -> None:
    (base / "model.safetensors").write_bytes(b"")


def longer_vocabulary(base: Path) -> None:
    (base / "vocab.txt").write_text("\n".join([*VOCABULARY, "甲", "乙", "丙"]) + "\n", "utf-8")


def of_another_language(base: Path) -> None:
    english = [*VOCABULARY[:5], *map(chr, range(97, 123))][: len(VOCABULARY)]
    (base / "vocab.txt").write_text("\n".join(english) + "\n", "utf-8")


def other_names(base: Path) -> None:
    rename(base, lambda name: name.replace("attention", "attn"))


def two_towers(base: Path) -> None:
    weights = load_file(base / "model.safetensors")
    both = {f"{tower}.{name}": value.clone() for tower in ("query", "document") for name, value in weights.items()}
    save_file(both, base / "model.safetensors", {"format": "pt"})


def configured(**values: Any) -> Callable[[Path], None]:
    def change(base: Path) -> None:
        config = json.loads((base / "config.json").read_text())
        (base / "config.json").write_text(json.dumps(config | values))

    return change


def pickled(base: Path) -> None:
    (base / "model.safetensors").rename(base / "pytorch_model.bin")


def under_another_file_name(base: Path) -> None:
    (base / "model.safetensors").rename(base / "weights.safetensors")


def without_config(base: Path) -> None:
    (base / "config.json").unlink()


def broken_config(base: Path) -> None:
    (base / "config.json").write_text("{")


def vocabulary_in_gbk(base: Path) -> None:
    (base / "vocab.txt").write_bytes((base / "vocab.txt").read_text("utf-8").encode("gbk"))


def diverged(base: Path) -> None:
    weights = load_file(base / "model.safetensors")
    name = next(name for name in weights if name.endswith("layer.1.output.dense.weight"))
    weights[name] = torch.full_like(weights[name], float("nan"))
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (without_vocabulary, r"base: holds no vocabulary \(its tokenizer knows 5 symbols"),
        (as_pointer("model.safetensors"), r"model.safetensors: got a Git LFS pointer of 13\d bytes"),
        (as_pointer("vocab.txt"), r"vocab.txt: got a Git LFS pointer"),
        (cut_short, r"model.safetensors: has \d+ bytes, and its header says \d+, expected a whole"),
        (cut_in_its_header, r"model.safetensors: is no safetensors file, or cut short \(100 bytes\)"),
        (no_header, r"model.safetensors: is no safetensors file \(10 bytes"),
        (empty, r"model.safetensors: is no safetensors file, or cut short \(0 bytes\)"),
        (longer_vocabulary, rf"ids up to {len(VOCABULARY) + 2}, and the embeddings have {len(VOCABULARY)} rows"),
        (of_another_language, r"100% of the symbols of the task's texts are \[UNK\]"),
        (other_names, r"20 of the \d+ weights of a BertForSequenceClassification are not in its files, such as bert"),
        (two_towers, r"37 of the \d+ weights .* which have others, such as document.bert"),
        (configured(num_hidden_layers=3), r"16 of the \d+ weights"),
        (configured(num_hidden_layers=1), r"layers that config.json leaves out, such as bert.encoder.layer.1;"),
        (configured(intermediate_size=64), r"6 weights have other shapes .* with \[32\] for \[64\]"),
        (configured(vocab_size=90), r"1 weights have other shapes .*word_embeddings"),
        (configured(model_type="t6"), r"is no text classifier's base|cannot be read as a model"),
        (pickled, r"holds pytorch_model.bin but no model.safetensors, and only safetensors weights"),
        (under_another_file_name, r"holds weights.safetensors but no model.safetensors"),
        (without_config, r"base: holds no config.json"),
        (broken_config, r"cannot be read as a model"),
        (vocabulary_in_gbk, r"its vocabulary cannot be read \("),
        (diverged, r"1 weights hold NaN or infinity, such as bert.encoder.layer.1.output.dense.weight"),
    ],
)
def test_what_is_no_whole_base_is_refused_in_a_sentence(
    spoil: Callable[[Path], None], sentence: str, tmp_path: Path
) -> None:
    base = make(tmp_path / "base")
    spoil(base)
    with pytest.raises(SettingsError, match=sentence) as refused:
        trained(base)
    assert str(base) in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not any(text in str(refused.value) for text in TEXTS)


@pytest.mark.parametrize(
    ("kind", "config", "between"),
    [
        (BertForMaskedLM, BertConfig, "bert.pooler.dense"),
        (AlbertForMaskedLM, AlbertConfig, "albert.pooler"),
        (ElectraForPreTraining, ElectraConfig, "classifier.dense"),
        (RobertaForMaskedLM, RobertaConfig, "classifier.dense"),
        (ErnieForMaskedLM, ErnieConfig, "ernie.pooler.dense"),
    ],
)
def test_a_layer_that_the_base_does_not_bring_begins_as_the_identity(
    kind: Any, config: Any, between: str, tmp_path: Path
) -> None:
    kind(config(**{"embedding_size": 16} | SIZES)).save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", "utf-8")
    labels = tuple(f"label {at}" for at in range(16))  # as many as the base is wide: the last layer stays random
    _, model = load_base(tmp_path, labels)
    layer = model.get_submodule(between)
    assert torch.equal(layer.weight, torch.eye(16))
    assert not layer.bias.any()
    *_, last = (one for one in model.modules() if isinstance(one, torch.nn.Linear))
    assert last.out_features == 16
    assert not torch.equal(last.weight, torch.eye(16))


def test_a_pooler_that_the_base_brings_is_taken(tmp_path: Path) -> None:
    stored = load_file(make(tmp_path, BertForPreTraining) / "model.safetensors")
    _, model = load_base(tmp_path, LABELS)
    assert torch.equal(model.bert.pooler.dense.weight, stored["bert.pooler.dense.weight"])


def test_some_unknown_symbols_are_no_reason_to_refuse(tmp_path: Path) -> None:
    base = make(tmp_path / "base")
    assert trained(base, ["老师好😀", "上课"]).labels == LABELS
    with pytest.raises(SettingsError, match=r"50% of the symbols of the task's texts are \[UNK\]"):
        trained(base, ["老师甲乙"])


def test_a_base_fine_tuned_to_other_labels_gets_a_new_last_layer(tmp_path: Path) -> None:
    config = BertConfig(num_labels=5, **SIZES)
    BertForSequenceClassification(config).save_pretrained(tmp_path / "base")
    (tmp_path / "base" / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", "utf-8")
    assert trained(tmp_path / "base").score(TEXTS)[0].shape == (5, 2)


def test_a_teacher_whose_weights_are_not_whole_does_not_open(tmp_path: Path) -> None:
    folder = trained(make(tmp_path / "base")).save(tmp_path / "teacher")
    rename(folder, lambda name: name.replace("classifier", "head"))
    with pytest.raises(BundleError, match=r"2 of its weights are not in its files, such as classifier"):
        Teacher.open(folder)
    cut_short(folder)
    with pytest.raises(BundleError, match=r"model.safetensors: has \d+ bytes"):
        Teacher.open(folder)
