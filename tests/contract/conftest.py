"""One student in each precision, opened by both engines; shared by the contract tests that only read."""

from __future__ import annotations

from pathlib import Path

import pytest

from models.serving.bundle import Precision, open_bundle
from models.serving.fused_engine import FusedEngine
from models.serving.onnx_engine import OnnxEngine
from tests.contract.support import PRECISIONS, export, make_student


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[Precision, Path]:
    folder = tmp_path_factory.mktemp("engines")
    with pytest.MonkeyPatch.context() as patch:  # int8 is coarse for a student with so few numbers
        patch.setattr("models.export.parity.PRECISION_TOLERANCE", 1e-1)
        patch.setattr("models.export.parity.MAX_CHANGED", 1e-1)
        return {kind: export(make_student(), folder / kind, precision=kind) for kind in PRECISIONS}


@pytest.fixture(scope="session")
def fused(bundles: dict[Precision, Path]) -> dict[Precision, FusedEngine]:
    return {precision: FusedEngine.of(open_bundle(bundle)) for precision, bundle in bundles.items()}


@pytest.fixture(scope="session")
def onnxes(bundles: dict[Precision, Path]) -> dict[Precision, OnnxEngine]:
    return {precision: OnnxEngine.of(open_bundle(bundle)) for precision, bundle in bundles.items()}
