"""One student, four ways to compute it: torch = float tables = int16 tables = the fused engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.evaluation.predictions import probabilities
from models.serving.bundle import Precision, open_bundle
from models.serving.engine import EngineKind
from models.serving.fused_engine import FusedEngine
from models.serving.onnx_engine import OnnxEngine
from models.serving.open_engine import open_engine
from models.students.student import Student, predict
from tests.contract.support import LABELS, PRECISIONS, SETTINGS, VOCABULARY, export, make_student

TOLERANCE = {"int16": 1e-3, "int8": 2e-2, "float32": 1e-4}


@pytest.fixture(scope="module")
def student() -> Student:
    return make_student().eval()


# Inside and outside the vocabulary, of one to four bytes; up to beyond the longest text that is kept.
text = st.text(alphabet="abh好老éßž猫😀🌹\u0000\uffff\U0010ffff", max_size=20)
texts = st.lists(st.one_of(st.none(), text), min_size=1, max_size=12)
FORMS: dict[str, Callable[[list[str | None]], Any]] = {
    "string": lambda values: pa.array(values, pa.string()),
    "large_string": lambda values: pa.array(values, pa.large_string()),
    "string_view": lambda values: pa.array(values, pa.string_view()),
    "dictionary": lambda values: pa.array(values, pa.string()).dictionary_encode(),
    "null in the dictionary": lambda values: pa.DictionaryArray.from_arrays(
        pa.array(range(len(values)), pa.int32()), pa.array(values, pa.string())
    ),
    "sliced": lambda values: pa.array(["猫😀", None, *values, "b", "好" * 30])[2 : 2 + len(values)],
    "sliced large": lambda values: pa.array(["猫😀", *values], pa.large_string())[1:],
    "chunked": lambda values: pa.chunked_array(
        [pa.array(values[:1], pa.string()), pa.array([], pa.string()), pa.array(values[1:], pa.string())]
    ),
    "bytes under a null": lambda values: pa.Array.from_buffers(
        pa.string(),
        len(values),
        [
            pa.array([value is not None for value in values]).buffers()[1],
            *pa.array(["老" if value is None else value for value in values], pa.string()).buffers()[1:],
        ],
    ),
}  # fmt: skip


@given(texts)
@settings(max_examples=80, deadline=None)
def test_all_four_agree(
    student: Student, fused: dict[Precision, FusedEngine], onnxes: dict[Precision, OnnxEngine], values: list[str | None]
) -> None:
    column = pa.array(values, pa.string())
    logits = predict(student, VOCABULARY.encode(column, SETTINGS.max_length)).astype(np.float64)
    wanted = 1 / (1 + np.exp(-logits))
    wanted[[value is None for value in values]] = np.nan
    for precision in PRECISIONS:
        graph, kernel = onnxes[precision].probabilities(column), fused[precision].probabilities(column)
        np.testing.assert_allclose(kernel, graph, rtol=0, atol=1e-5)
        np.testing.assert_allclose(graph, wanted, rtol=0, atol=TOLERANCE[precision])


@pytest.mark.parametrize("form", FORMS)
@given(texts)
@settings(max_examples=30, deadline=None)
def test_every_form_of_a_column_reads_the_same(
    fused: dict[Precision, FusedEngine], onnxes: dict[Precision, OnnxEngine], form: str, values: list[str | None]
) -> None:
    plain, formed = pa.array(values, pa.string()), FORMS[form](values)
    for engine in (fused["int16"], onnxes["int16"]):
        answers = engine.probabilities(formed)
        np.testing.assert_array_equal(answers, engine.probabilities(plain))
        assert np.isnan(answers).all(axis=1).tolist() == [value is None for value in values]
    ours, theirs = fused["int16"].encode(formed), VOCABULARY.encode(formed, SETTINGS.max_length)
    assert ours.ids.tolist() == theirs.ids.tolist()
    assert ours.offsets.tolist() == theirs.offsets.tolist()


@given(text, st.lists(text, max_size=600), st.data())
@settings(max_examples=40, deadline=None)
def test_a_fused_answer_is_bit_for_bit_its_own(
    fused: dict[Precision, FusedEngine], one: str, company: list[str], data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(company)))
    for engine in fused.values():
        among = engine.probabilities(pa.array([*company[:at], one, *company[at:]], pa.string()))
        assert among[at].tolist() == engine.probabilities(pa.array([one]))[0].tolist()


def test_a_batch_of_several_blocks_is_scored_row_by_row(fused: dict[Precision, FusedEngine]) -> None:
    values = ["abh好老é猫😀"[: at % 9] * (at % 3) for at in range(1000)]
    rows = np.random.default_rng(1).integers(0, 1000, 700)
    for engine in fused.values():
        whole = engine.probabilities(pa.array(values))
        assert np.array_equal(whole, np.concatenate([engine.probabilities(pa.array([value])) for value in values]))
        assert np.array_equal(engine.probabilities_encoded(engine.encode(pa.array(values)), rows), whole[rows])


@pytest.mark.parametrize("kind", ["fused", "onnxruntime"])
def test_chosen_rows_come_in_the_order_asked_for(bundles: dict[Precision, Path], kind: EngineKind) -> None:
    engine = open_engine(bundles["int16"], kind)
    encoded = engine.encode(pa.array(["", "ab好", "猫", "h" * 30]))
    whole = engine.probabilities_encoded(encoded)
    assert np.array_equal(engine.probabilities_encoded(encoded, np.array([3, 0, 3])), whole[[3, 0, 3]])
    assert engine.probabilities(pa.array([], pa.string())).shape == (0, 3)
    assert engine.labels == LABELS


@pytest.mark.parametrize("widths", [(1,), (5, 1)])
def test_other_widths_agree(tmp_path: Path, widths: tuple[int, ...]) -> None:
    bundle = export(make_student(widths), tmp_path / "bundle")
    column = pa.array(["", "a", "ab好", "好老师" * 9])
    fused, graph = (open_engine(bundle, kind).probabilities(column) for kind in ("fused", "onnxruntime"))
    np.testing.assert_allclose(fused, graph, rtol=0, atol=1e-5)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_classes_of_a_text_share_one_probability_in_every_engine(
    student: Student, tmp_path: Path, precision: Precision
) -> None:
    bundle = export(student, tmp_path / "classes", outcome="multi_class", precision=precision)
    column = pa.array(["老师好", "", "a", "abcdefgh", "😀猫", None])
    logits = predict(student, VOCABULARY.encode(column, SETTINGS.max_length))
    wanted = probabilities(logits, "multi_class")
    wanted[5] = np.nan
    answers = {kind: open_engine(bundle, kind).probabilities(column) for kind in ("fused", "onnxruntime")}
    np.testing.assert_allclose(answers["fused"], answers["onnxruntime"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(answers["fused"], wanted, rtol=0, atol=TOLERANCE[precision])
    assert np.allclose(answers["fused"][:5].sum(axis=1), 1, atol=1e-6)
    assert FusedEngine.of(open_bundle(bundle)).bundle.manifest.outcome == "multi_class"
