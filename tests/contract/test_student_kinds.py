"""Every kind of student, on texts and on pairs: network = graph = engine, at lengths and batches of any size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from models.errors import BundleError, DataError
from models.evaluation.predictions import probabilities
from models.export.exporter import export_student
from models.serving.bundle import open_bundle
from models.serving.engine import Engine
from models.serving.fused_engine import FusedEngine
from models.serving.onnx_engine import OnnxEngine
from models.serving.open_engine import open_engine
from models.student_settings import BOWSettings, RecurrentSettings, StudentKind, StudentSettings, TextCNNSettings
from models.students.architectures import build_student
from models.students.pair import Pair, split_pair
from models.students.student import Student, predict
from models.students.textcnn import TextCNN
from models.tasks import TaskKind
from models.text.pairs import joined
from models.text.vocabulary import SEPARATOR, SEPARATOR_CHAR, Vocabulary
from models.text.word_vocabulary import WordVocabulary, cut, read_vocabulary

KINDS: tuple[StudentKind, ...] = ("textcnn", "bow", "bilstm", "bigru")
OUTCOMES: tuple[TaskKind, ...] = ("multi_label", "multi_class", "pair")
LABELS = ("asks", "got", "thanks")
CHARS = Vocabulary((SEPARATOR_CHAR, *"abcdefgh好老师é😀"))
MOST = 13
texts = st.lists(st.text(alphabet="abh好老é猫😀\u0000", max_size=18), min_size=1, max_size=9)


def sizes(kind: StudentKind) -> StudentSettings:
    if kind == "textcnn":
        return TextCNNSettings(embedding=8, filters=70, widths=(2, 3, 4), max_length=MOST)
    if kind == "bow":
        return BOWSettings(embedding=8, filters=70, max_length=MOST)
    return RecurrentSettings(kind=kind, embedding=8, hidden=9, max_length=MOST)


def make(kind: StudentKind, outcome: TaskKind) -> Student:
    torch.manual_seed(5)
    student = build_student(sizes(kind), len(CHARS), len(LABELS), outcome)
    with torch.no_grad():
        student.head.weight.mul_(4)
    return student.eval()


def export(student: Student, folder: Path, kind: str, outcome: TaskKind, vocabulary: object = CHARS) -> Path:
    return export_student(
        student, folder=folder, task="t", kind=kind, labels=LABELS, vocabulary=vocabulary, max_length=MOST,
        clean_version="1", outcome=outcome,
    )  # fmt: skip


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], tuple[Student, Engine]]:
    folder = tmp_path_factory.mktemp("kinds")
    found = {}
    for kind in KINDS:
        for outcome in OUTCOMES:
            student = make(kind, outcome)
            found[kind, outcome] = student, open_engine(export(student, folder / f"{kind}-{outcome}", kind, outcome))
    return found


@pytest.mark.parametrize("outcome", OUTCOMES)
@pytest.mark.parametrize("kind", KINDS)
@given(texts, texts)
@settings(max_examples=15, deadline=None)
def test_network_and_engine_answer_alike(
    sealed: dict[tuple[str, str], tuple[Student, Engine]],
    kind: str,
    outcome: TaskKind,
    first: list[str],
    second: list[str],
) -> None:
    student, engine = sealed[kind, outcome]
    second = (second * len(first))[: len(first)]
    column = engine.read(pa.array(first, pa.string()), pa.array(second, pa.string()))
    wanted = probabilities(predict(student, CHARS.encode(column, MOST)), outcome)
    np.testing.assert_allclose(engine.probabilities(column), wanted, rtol=0, atol=1e-3)
    alone = np.concatenate([engine.probabilities(column[row : row + 1]) for row in range(len(first))])
    np.testing.assert_allclose(engine.probabilities(column), alone, rtol=0, atol=2e-6)


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_tables_run_fused_and_the_rest_on_onnx_runtime(
    sealed: dict[tuple[str, str], tuple[Student, Engine]], outcome: TaskKind
) -> None:
    for kind in KINDS:
        fused = kind in ("textcnn", "bow") and outcome != "pair"
        assert isinstance(sealed[kind, outcome][1], FusedEngine if fused else OnnxEngine)


@pytest.mark.parametrize("outcome", ["multi_label", "multi_class"])
def test_a_bag_of_characters_is_the_same_fused_and_in_onnx_runtime(
    sealed: dict[tuple[str, str], tuple[Student, Engine]], outcome: TaskKind
) -> None:
    engine = sealed["bow", outcome][1]
    graph = OnnxEngine.of(open_bundle(engine.bundle.path))
    column = pa.array(["好", "", "a" * 40, "老师好abc猫", "😀😀"])
    np.testing.assert_allclose(engine.probabilities(column), graph.probabilities(column), rtol=0, atol=1e-5)
    assert engine.bundle.manifest.folding is not None
    assert engine.bundle.manifest.folding.pooling == "sum"
    assert engine.bundle.manifest.folding.precision == "int16"


def test_sums_of_a_long_text_do_not_wrap_round(tmp_path: Path) -> None:
    student = make("bow", "multi_label")
    with torch.no_grad():
        student.embedding.weight.fill_(1.0)
        student.layer.weight.fill_(0.5)
        student.head.weight.fill_(1e-4)
        student.head.bias.zero_()
    long = BOWSettings.model_fields["max_length"].default
    path = export_student(
        student, folder=tmp_path / "long", task="t", kind="bow", labels=LABELS, vocabulary=CHARS, max_length=long,
        clean_version="1",
    )  # fmt: skip
    column = pa.array(["好" * long])
    exact = 1 / (1 + np.exp(-predict(student, CHARS.encode(column, long))))
    np.testing.assert_allclose(open_engine(path).probabilities(column), exact, rtol=0, atol=1e-3)
    assert exact.min() > 0.9


def test_the_same_recurrent_student_gives_the_same_bytes(tmp_path: Path) -> None:
    one, other = (export(make("bilstm", "pair"), tmp_path / name, "bilstm", "pair") for name in "ab")
    assert (one / "model.onnx").read_bytes() == (other / "model.onnx").read_bytes()
    kinds = {node.op_type for node in onnx.load(one / "model.onnx").graph.node}
    assert {"LSTM", "GatherElements"} <= kinds


def rows(*given: list[int]) -> tuple[Tensor, Tensor]:
    width = max(map(len, given))
    return torch.tensor([row + [0] * (width - len(row)) for row in given]), torch.tensor([len(row) for row in given])


def test_a_row_is_split_at_its_first_separator() -> None:
    ids, lengths = rows(
        [5, 6, SEPARATOR, 7], [SEPARATOR, 8, 9], [5, 6, 7, 8], [], [5, SEPARATOR, SEPARATOR, 6], [4, SEPARATOR]
    )
    (first, first_lengths), (second, second_lengths) = split_pair(ids, lengths, 2)
    own = [row[:n].tolist() for row, n in zip(first, first_lengths, strict=True)]
    other = [row[:n].tolist() for row, n in zip(second, second_lengths, strict=True)]
    assert own == [[5, 6], [], [5, 6, 7, 8], [], [5], [4]]
    assert other == [[7], [8, 9], [], [], [SEPARATOR, 6], []]
    for row, n in zip([*first, *second], [*first_lengths, *second_lengths], strict=True):
        assert row[n:].sum() == 0


def test_the_order_of_a_pair_matters_and_its_neighbours_do_not() -> None:
    student = make("bigru", "pair")
    assert isinstance(student, Pair)
    ids, lengths = rows([5, 6, SEPARATOR, 7], [7, SEPARATOR, 5, 6])
    logits, features = student(ids, lengths)
    assert features.shape == (2, 4 * student.encoder.width)
    assert not torch.allclose(logits[0], logits[1])
    alone = student(ids[:1], lengths[:1])[0]
    assert torch.allclose(alone[0], logits[0], atol=1e-6)


def test_pairs_are_cut_alike_and_null_where_either_is() -> None:
    first = pa.array(["好" * 20, "a", None, "b", f"a{SEPARATOR_CHAR}b"])
    second = pa.array(["x" * 3, None, "c", "", "c"])
    assert joined(first, second, 9).to_pylist() == [
        "好好好好" + SEPARATOR_CHAR + "xxx", None, None, "b" + SEPARATOR_CHAR, f"a b{SEPARATOR_CHAR}c",
    ]  # fmt: skip


def test_a_student_of_pairs_wants_both_texts(sealed: dict[tuple[str, str], tuple[Student, Engine]]) -> None:
    with pytest.raises(DataError, match="judges pairs of texts"):
        sealed["textcnn", "pair"][1].read(pa.array(["a"]), None)


def test_the_vocabulary_of_pairs_begins_with_the_separator() -> None:
    column = pa.array([f"aab{SEPARATOR_CHAR}a", f"b{SEPARATOR_CHAR}c"])
    for built in (
        Vocabulary.build(column, max_size=9, pairs=True),
        WordVocabulary.build(column, max_size=9, pairs=True),
    ):
        assert built.encode(pa.array([SEPARATOR_CHAR]), 9).ids.tolist() == [SEPARATOR]
    assert SEPARATOR_CHAR not in Vocabulary.build(column, max_size=9).chars


def test_words_travel_in_the_bundle_and_unknown_ones_are_spelt(tmp_path: Path) -> None:
    column = pa.array(["老师你好", "老师好棒", "听不见", "老师你好"])
    words = WordVocabulary.build(column, max_size=40, min_count=1)
    assert {"老师", "你好", "听不见", "听", "见"} <= set(words.words)
    student = build_student(sizes("textcnn"), len(words), len(LABELS)).eval()
    path = export(student, tmp_path / "words", "textcnn", "multi_label", words)
    engine = open_engine(path)
    assert engine.bundle.vocabulary == words == read_vocabulary(path / "vocabulary.json")
    asked = pa.array(["老师你好", "见老师", None, "", "猫老师"])
    wanted = 1 / (1 + np.exp(-predict(student, words.encode(asked, MOST)).astype(np.float64)))
    np.testing.assert_allclose(engine.probabilities(asked)[[0, 1, 3, 4]], wanted[[0, 1, 3, 4]], rtol=0, atol=1e-3)
    known = {word: at + 2 for at, word in enumerate(words.words)}
    assert words.encode(asked, MOST).take(np.array([1, 4])).ids.tolist() == [
        known["见"],
        known["老师"],
        1,
        known["老师"],
    ]


@given(st.text(alphabet="老师你好听不见ab1 ，。\u3000😀" + SEPARATOR_CHAR, max_size=30))
@settings(max_examples=60, deadline=None)
def test_the_words_of_a_text_are_the_text(text: str) -> None:
    assert "".join(cut(text)) == text


@pytest.mark.parametrize(
    "content", [b"{", b'{"unit": "word"}', b'{"unit": "word", "words": ["a", "a"]}', b'{"unit": "word", "words": [1]}']
)
def test_a_vocabulary_of_words_that_is_none_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "v.json").write_bytes(content)
    with pytest.raises(BundleError):
        read_vocabulary(tmp_path / "v.json")


def test_a_class_made_from_a_student_is_exported_as_its_own_network(tmp_path: Path) -> None:
    class Louder(TextCNN):
        def features(self, ids: Tensor, lengths: Tensor) -> Tensor:
            return super().features(ids, lengths) * 2

    torch.manual_seed(1)
    student = Louder(sizes("textcnn"), len(CHARS), len(LABELS)).eval()
    engine = open_engine(export(student, tmp_path / "louder", "textcnn", "multi_label"))
    column = pa.array(["老师好", "a"])
    wanted = 1 / (1 + np.exp(-predict(student, CHARS.encode(column, MOST)).astype(np.float64)))
    np.testing.assert_allclose(engine.probabilities(column), wanted, rtol=0, atol=1e-4)


def test_manifests_of_folded_convolutions_say_nothing_of_pooling(tmp_path: Path) -> None:
    path = export(make("textcnn", "multi_label"), tmp_path / "b", "textcnn", "multi_label")
    assert "pooling" not in json.loads((path / "manifest.json").read_bytes())["folding"]
    assert open_bundle(path).manifest.folding.pooling == "max"  # type: ignore[union-attr]
