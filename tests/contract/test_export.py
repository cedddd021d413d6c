"""Torch and ONNX answer alike, and a text's probability is its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.errors import BundleError
from models.export.exporter import export_student, to_onnx
from models.serving.bundle import BundleFacts, open_bundle, seal
from models.serving.onnx_engine import OnnxEngine
from models.student_settings import TextCNNSettings
from models.students.architectures import build_student
from models.students.student import Student, predict
from models.students.textcnn import TextCNN
from models.text.vocabulary import Vocabulary

VOCABULARY = Vocabulary(tuple("abcdefgh好😀"))
SETTINGS = TextCNNSettings(embedding=8, filters=6, widths=(2, 3, 4), max_length=40)
LABELS = ("asks", "got")


def make_student(kind: type[TextCNN] = TextCNN) -> Student:
    torch.manual_seed(3)
    student = kind(SETTINGS, len(VOCABULARY), len(LABELS))
    with torch.no_grad():
        student.head.weight.mul_(20)  # probabilities far from one half, so that a wrong one shows
    return student


def export(student: Student, folder: Path, **changes: Any) -> Path:
    options = {
        "task": "praise",
        "kind": "textcnn",
        "labels": LABELS,
        "vocabulary": VOCABULARY,
        "max_length": SETTINGS.max_length,
        "clean_version": "1",
        "extra": {"round": "01"},
    }
    return export_student(student, folder=folder, **(options | changes))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(make_student(), tmp_path_factory.mktemp("export") / "bundle")


@pytest.fixture(scope="module")
def engine(bundle: Path) -> OnnxEngine:
    return OnnxEngine.of(open_bundle(bundle))


text = st.text(alphabet="abcdefgh好😀z", max_size=50)


@given(text, st.lists(text, max_size=80), st.data())
@settings(max_examples=60, deadline=None)
def test_a_probability_does_not_depend_on_its_batch(
    engine: OnnxEngine, one: str, company: list[str], data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(company)))
    alone = engine.probabilities(pa.array([one]))
    among = engine.probabilities(pa.array([*company[:at], one, *company[at:]]))
    assert np.abs(alone[0] - among[at]).max() <= 1e-6


@given(st.lists(text, min_size=1, max_size=80))
@settings(max_examples=40, deadline=None)
def test_torch_and_tables_of_integers_agree(engine: OnnxEngine, texts: list[str]) -> None:
    logits = predict(make_student(), VOCABULARY.encode(pa.array(texts), SETTINGS.max_length))
    assert np.abs(1 / (1 + np.exp(-logits)) - engine.probabilities(pa.array(texts))).max() <= 1e-3


def test_null_gives_nan_and_empty_text_a_score(engine: OnnxEngine) -> None:
    answers = engine.probabilities(pa.chunked_array([["ab", None], ["", "ab"]]))
    assert answers.dtype == np.float32
    assert np.isnan(answers).tolist() == [[False] * 2, [True] * 2, [False] * 2, [False] * 2]
    assert answers[0] == pytest.approx(answers[3], abs=1e-6)
    assert engine.probabilities(pa.array([], pa.string())).shape == (0, 2)
    assert engine.labels == LABELS


def test_encoded_texts_can_be_shared(engine: OnnxEngine) -> None:
    texts = pa.array(["ab好", "", "c" * 60])
    assert np.array_equal(engine.probabilities_encoded(engine.encode(texts)), engine.probabilities(texts))


def test_the_manifest_tells_what_was_exported(bundle: Path) -> None:
    manifest = open_bundle(bundle).manifest
    assert manifest.min_length == 4
    assert manifest.max_length == 40
    assert manifest.model_id.startswith("praise/textcnn/")
    assert 0 <= manifest.parity.max_difference <= 1e-4
    assert manifest.parity.grid == {"batches": (1, 2, 7, 64), "lengths": (1, 3, 4, 5, 24, 40)}
    assert manifest.extra == {"round": "01"}


def test_exporting_again_gives_the_same_bundle(bundle: Path) -> None:
    assert export(make_student(), bundle) == bundle


def test_the_file_names_no_place(bundle: Path) -> None:
    model = (bundle / "model.onnx").read_bytes()
    assert str(Path(__file__).parents[2]).encode() not in model
    assert b".py" not in model


class LengthDependent(TextCNN):
    """Wrong at one length of a batch; traced at another."""

    def forward(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        logits, features = super().forward(ids, lengths)
        return logits + (0.0 if torch.compiler.is_exporting() or ids.shape[1] != 24 else 1e-2), features


class SmallBatch(TextCNN):
    """Answers by the first row if it stands alone."""

    def forward(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        logits, features = super().forward(ids, lengths)
        return logits * (2.0 if not torch.compiler.is_exporting() and len(ids) == 1 else 1.0), features


class NotANumber(TextCNN):
    """Divides by the length of a text, which may be 0."""

    def forward(self, ids: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        logits, features = super().forward(ids, lengths)
        return logits * (lengths / lengths)[:, None], features


@pytest.mark.parametrize(
    ("kind", "where"),
    [
        (LengthDependent, "of 24 characters"),
        (SmallBatch, "batch of 1 texts"),
        (NotANumber, "of mixed characters"),
    ],
)
def test_a_graph_that_differs_is_not_sealed(kind: type[TextCNN], where: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=where):
        export(make_student(kind), tmp_path / "bundle")
    assert list(tmp_path.iterdir()) == []


def test_label_names_must_fit_the_logits(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="3 label names, the student has 2"):
        export(make_student(), tmp_path / "bundle", labels=("a", "b", "c"))


def resealed(bundle: Path, folder: Path, model: bytes) -> Path:
    manifest = open_bundle(bundle).manifest
    facts = BundleFacts(**{name: getattr(manifest, name) for name in BundleFacts.model_fields})
    return seal(folder, model=model, vocabulary=VOCABULARY, facts=facts)


def test_a_student_that_answers_no_probability_is_named_and_its_texts_are_not(bundle: Path, tmp_path: Path) -> None:
    model = onnx.load_from_string(to_onnx(make_student()))
    bias = next(item for item in model.graph.initializer if item.name.endswith("head.bias"))
    bias.CopyFrom(onnx.numpy_helper.from_array(np.full(2, np.nan, np.float32), bias.name))
    engine = OnnxEngine.of(open_bundle(resealed(bundle, tmp_path / "broken", model.SerializeToString())))
    with pytest.raises(BundleError, match="praise/textcnn") as caught:
        engine.probabilities(pa.array(["好😀好"]))
    assert "好" not in str(caught.value)


def test_a_graph_onnx_runtime_cannot_read_is_refused(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"ONNX Runtime .* refuses the model"):
        OnnxEngine.of(open_bundle(resealed(bundle, tmp_path / "broken", b"no graph")))


def test_every_default_student_exports(tmp_path: Path) -> None:
    student = build_student(TextCNNSettings(embedding=4, filters=3, widths=(1,)), len(VOCABULARY), 2)
    engine = OnnxEngine.of(open_bundle(export(student, tmp_path / "bundle")))
    assert engine.probabilities(pa.array(["", "a"])).shape == (2, 2)
