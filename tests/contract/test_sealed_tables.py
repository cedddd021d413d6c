"""What is sealed of a folded student, what is refused of it by name, and which engine a worker loads."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from models import digests
from models.errors import BundleError, DataError, SettingsError
from models.export.folded_graph import folded_graph, quantised
from models.serving.bundle import Precision, open_bundle
from models.serving.folded_tables import Folded
from models.serving.fused_engine import FusedEngine
from models.serving.onnx_engine import OnnxEngine
from models.serving.onnx_initializers import read_initializers
from models.serving.open_engine import open_engine
from models.students.textcnn import TextCNN
from models.text.vocabulary import Encoded
from tests.contract.support import (
    LABELS,
    PRECISIONS,
    ROOT,
    SETTINGS,
    VOCABULARY,
    export,
    make_student,
    resealed,
    run_fresh,
    with_initializer,
)  # fmt: skip

GOLDEN = {"int16": "ff99810965ed7242", "int8": "a2c38e580919d697", "float32": "66e8ce4bb05ca11c"}


@given(st.binary(max_size=12), st.sampled_from(["", "好a", "😀"]))
@settings(max_examples=300, deadline=None)
def test_bytes_that_are_no_text_are_refused_as_the_vocabulary_does(
    fused: dict[Precision, FusedEngine], damaged: bytes, before: str
) -> None:
    column = pa.array([before.encode() + damaged, b"ok"]).view(pa.string())
    try:
        theirs = VOCABULARY.encode(column, SETTINGS.max_length)
    except DataError:
        with pytest.raises(DataError, match="is not UTF-8") as caught:
            fused["int16"].encode(column)
        assert "好" not in str(caught.value)
    else:
        assert fused["int16"].encode(column).ids.tolist() == theirs.ids.tolist()


@pytest.mark.parametrize("end", [b"\xe5", b"\xe5\xa5", b"\xf0\x9f\x98", b"\xc3"])
def test_a_character_cut_off_at_the_end_is_refused(fused: dict[Precision, FusedEngine], end: bytes) -> None:
    with pytest.raises(DataError, match="is not UTF-8"):
        fused["int16"].probabilities(pa.array([b"a" + end]).view(pa.string()))


def test_ids_of_another_vocabulary_are_refused(fused: dict[Precision, FusedEngine]) -> None:
    for wrong in (-1, len(VOCABULARY)):
        with pytest.raises(DataError, match=f"outside 0 to {len(VOCABULARY) - 1}"):
            fused["int16"].probabilities_encoded(Encoded(np.array([2, wrong], np.int32), np.array([0, 2])))


def test_the_manifest_tells_how_it_was_folded(bundles: dict[Precision, Path]) -> None:
    for precision, bundle in bundles.items():
        folding = open_bundle(bundle).manifest.folding
        assert folding is not None
        assert (folding.precision, folding.widths, folding.filters) == (precision, (2, 3, 4), 70)
        assert folding.decisions > 1000
        assert (folding.max_difference > 0) == (precision != "float32")
    names = {open_bundle(bundle).manifest.model_id for bundle in bundles.values()}
    assert len(names) == 3


def test_coarse_tables_are_not_sealed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    student = make_student()
    with torch.no_grad():
        student.head.weight.mul_(50)
    bundle = open_bundle(export(student, tmp_path / "bundle", precision="int8"))
    assert bundle.manifest.folding is not None
    assert bundle.manifest.folding.precision == "float32"
    assert "sealed with float tables" in caplog.text
    assert np.isfinite(FusedEngine.of(open_bundle(bundle.path)).probabilities(pa.array(["好", ""]))).all()


def test_the_same_student_gives_the_same_bytes(bundles: dict[Precision, Path], tmp_path: Path) -> None:
    again = export(make_student(), tmp_path / "bundle")
    assert (again / "model.onnx").read_bytes() == (bundles["int16"] / "model.onnx").read_bytes()
    assert (again / "manifest.json").read_bytes() == (bundles["int16"] / "manifest.json").read_bytes()


def test_the_bytes_of_a_graph_stay_as_they_are() -> None:
    """Golden: a change here changes the digest of every bundle, so that rounds that were killed cannot be finished."""

    def counted(*shape: int) -> Any:
        return np.arange(np.prod(shape), dtype=np.float32).reshape(shape)

    tables = tuple(tuple(counted(5, 3) - place for place in range(width)) for width in (2, 4))
    folded = Folded((2, 4), 3, tables, np.ones(6, np.float32), counted(6), counted(2, 6), counted(2))
    found = {kind: digests.of_bytes(folded_graph(quantised(folded, kind), kind))[:16] for kind in PRECISIONS}
    assert found == GOLDEN


def typed(numbers: Any) -> onnx.TensorProto:
    return onnx.helper.make_tensor("bias", onnx.TensorProto.FLOAT, numbers.shape, numbers.tolist())


def not_a_number(numbers: Any) -> Any:
    numbers[0] = np.nan
    return numbers


def beyond(numbers: Any) -> Any:
    numbers[1, 2] = 32767 // 3 + 1
    return numbers


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("table.3.1", lambda numbers: numbers.astype(np.int32), "table.3.1 is not stored as raw int8"),
        ("table.3.1", lambda numbers: numbers.astype(np.float32), r"table.3.1 is float32 of shape .* expected int16"),
        ("table.2.0", lambda numbers: numbers[:-1], "table.2.0 is int16 of shape"),
        ("table.4.3", lambda numbers: None, "has no initializer table.4.3"),
        ("table.3.2", beyond, "table.3.2 goes beyond ±10922"),
        ("scale", lambda numbers: numbers.reshape(1, -1), r"scale is float32 of shape \(1, 210\), expected"),
        ("bias", typed, "bias is not stored as raw"),
        ("bias", not_a_number, "bias holds something that is no number"),
        ("head.weight", lambda numbers: numbers.T.copy(), "head.weight is float32 of shape"),
        ("head.bias", lambda numbers: numbers.astype(np.float16), "head.bias is not stored as raw"),
    ],
)
def test_a_damaged_initializer_is_refused_by_name(
    bundles: dict[Precision, Path], tmp_path: Path, name: str, change: Callable[[Any], Any], told: str
) -> None:
    model = with_initializer(bundles["int16"], name, change)
    with pytest.raises(BundleError, match=told):
        FusedEngine.of(open_bundle(resealed(bundles["int16"], tmp_path / "broken", model)))


@given(st.integers(0, 400), st.integers(1, 255))
@settings(max_examples=60, deadline=None)
def test_a_file_that_is_no_model_ends_in_a_bundle_error(bundles: dict[Precision, Path], at: int, flip: int) -> None:
    model = bytearray((bundles["int16"] / "model.onnx").read_bytes())
    model[at] ^= flip
    whole = read_initializers((bundles["int16"] / "model.onnx").read_bytes(), "model.onnx")
    try:
        found = read_initializers(bytes(model), "model.onnx")
    except BundleError:
        with pytest.raises(BundleError, match=r"^model.onnx: "):
            read_initializers(bytes(model), "model.onnx")
    else:
        assert len(found) <= len(whole)


def test_an_answer_that_is_no_probability_is_refused(bundles: dict[Precision, Path], tmp_path: Path) -> None:
    model = with_initializer(bundles["int16"], "scale", lambda numbers: numbers * np.float32(3e38))
    model = onnx.load_from_string(model)
    for item in model.graph.initializer:
        if item.name == "head.weight":
            item.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(item) * np.float32(0), item.name))
    engine = FusedEngine.of(open_bundle(resealed(bundles["int16"], tmp_path / "broken", model.SerializeToString())))
    with pytest.raises(BundleError, match="praise/textcnn") as caught:
        engine.probabilities(pa.array(["好😀好老师abc" * 3]))
    assert "好" not in str(caught.value)


class Plain(TextCNN):
    """Not folded: a class made from TextCNN may answer otherwise."""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(Plain(SETTINGS, len(VOCABULARY), len(LABELS)), tmp_path_factory.mktemp("plain") / "bundle")


def test_auto_takes_what_fits_and_says_so(
    bundles: dict[Precision, Path], plain: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    assert isinstance(open_engine(bundles["int16"]), FusedEngine)
    assert isinstance(open_engine(plain), OnnxEngine)
    assert "engine fused (its convolutions are tables" in caplog.text
    assert "engine onnxruntime (its graph is not folded" in caplog.text
    monkeypatch.setattr("models.serving.open_engine.find_spec", lambda name: None if name == "numba" else object())
    assert isinstance(open_engine(bundles["int16"]), OnnxEngine)
    assert "numba is not installed" in caplog.text


def test_an_engine_that_cannot_be_had_is_refused(bundles: dict[Precision, Path], plain: Path) -> None:
    with pytest.raises(BundleError, match="not folded, expected tables"):
        open_engine(plain, "fused")
    with pytest.raises(SettingsError, match="'quick', expected one of auto, fused, onnxruntime"):
        open_engine(plain, "quick")  # type: ignore[arg-type]


LOADED = """
import json, sys
import pyarrow as pa
from models.serving.open_engine import open_engine
answers = open_engine(sys.argv[1], sys.argv[2]).probabilities(pa.array(["好老师", None]))
loaded = {"numba", "onnxruntime", "onnx", "torch", "pyspark"} & set(sys.modules)
print(json.dumps({"loaded": sorted(loaded), "first": answers[0].tolist()}))
"""


@pytest.mark.parametrize(
    ("kind", "loaded"), [("fused", ["numba"]), ("onnxruntime", ["onnxruntime"]), ("auto", ["numba"])]
)
def test_a_worker_loads_no_engine_but_its_own(
    bundles: dict[Precision, Path], fused: dict[Precision, FusedEngine], kind: str, loaded: list[str]
) -> None:
    found = run_fresh(LOADED, str(bundles["int16"]), kind)
    assert found["loaded"] == loaded
    wanted = fused["int16"].probabilities(pa.array(["好老师"]))[0]
    np.testing.assert_allclose(found["first"], wanted, rtol=0, atol=1e-5)


def test_code_from_a_zip_runs_where_nothing_can_be_kept(bundles: dict[Precision, Path], tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "pingti.zip", "w") as package:
        for path in (ROOT / "models").rglob("*.py"):
            package.write(path, path.relative_to(ROOT))
    places = {"PYTHONPATH": str(tmp_path / "pingti.zip"), "HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null/cache"}
    found = run_fresh("import os\nos.chdir('/')\n" + LOADED, str(bundles["int16"]), "fused", **places)
    assert np.isfinite(found["first"]).all()
