"""Opens a sealed student and chooses its engine. Neither engine is imported before it is chosen."""

from __future__ import annotations

import logging
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

from models.errors import EnvError, SettingsError
from models.serving.bundle import Bundle, open_bundle
from models.serving.engine import Engine, EngineKind

_log = logging.getLogger(__name__)


def open_engine(bundle_path: Path | str, kind: EngineKind = "auto", threads: int = 1) -> Engine:
    """Open a sealed student, after checking all its files.

    Args:
        bundle_path: The sealed folder.
        kind: Which engine. `auto` takes the fused one where the bundle is folded and Numba is installed, else ONNX
            Runtime; the log says which. Their probabilities are equal within 1e-5.
        threads: Threads of one run in ONNX Runtime; the fused engine always keeps to the caller's.

    Raises:
        BundleError: The bundle is damaged, or the engine asked for cannot run it.
        EnvError: The engine asked for is not installed.
        SettingsError: There is no engine of that name.
    """
    return engine_for(open_bundle(bundle_path), kind, threads)


def engine_for(bundle: Bundle, kind: EngineKind = "auto", threads: int = 1) -> Engine:
    """The engine for an opened bundle; arguments and errors as of `open_engine`."""
    if kind not in get_args(EngineKind):
        raise SettingsError(f"scoring.engine: got {kind!r}, expected one of {', '.join(get_args(EngineKind))}")
    if kind == "auto":
        kind = _fastest(bundle)
    package = {"fused": "numba", "onnxruntime": "onnxruntime"}[kind]
    if find_spec(package) is None:
        raise EnvError(f"{bundle.path}: the engine {kind} needs {package}, which is not installed; install it")
    if kind == "fused":
        from models.serving.fused_engine import FusedEngine

        return FusedEngine.of(bundle, threads)
    from models.serving.onnx_engine import OnnxEngine

    return OnnxEngine.of(bundle, threads)


def _fastest(bundle: Bundle) -> EngineKind:
    """The fastest engine that can run a bundle here, and a line in the log that says why."""
    folds, numba = bundle.manifest.folding is not None, find_spec("numba") is not None
    kind: EngineKind = "fused" if folds and numba else "onnxruntime"
    why = "its convolutions are tables" if folds else "its graph is not folded"
    _log.info("%s: engine %s (%s; numba %s)", bundle.path, kind, why, "is there" if numba else "is not installed")
    return kind
