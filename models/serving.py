"""The one way to score with a sealed student, whatever computes it. Neither engine is imported before it is chosen."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.bundle import VOCABULARY, Bundle, open_bundle
from models.errors import BundleError, DataError, EnvError, SettingsError
from models.pairs import joined
from models.vocabulary import Encoded, Texts

EngineKind = Literal["auto", "fused", "onnxruntime"]
_log = logging.getLogger(__name__)


class Engine(ABC):
    """One student, ready to score; no state between calls, no text's score depends on its neighbours."""

    bundle: Bundle

    @abstractmethod
    def answers(self, encoded: Encoded, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """What the student answers to the named rows, in their order: (rows, labels) float32, not looked at yet."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of the columns of every answer."""
        return self.bundle.manifest.labels

    @property
    def alphabet(self) -> tuple[str, int, bool]:
        """What `read` and `encode` depend on: engines with the same can share their encoded texts."""
        return self.bundle.manifest.files[VOCABULARY], self.bundle.manifest.max_length, self.pairs

    @property
    def pairs(self) -> bool:
        """Whether it judges pairs of texts."""
        return self.bundle.manifest.outcome == "pair"

    def read(self, texts: Texts, second: Texts | None) -> Texts:
        """The column that this student encodes: the texts, or pairs of them as one; null where a part is.

        Raises:
            DataError: It judges pairs, and there are no second texts.
        """
        if not self.pairs:
            return texts
        if second is None:
            raise DataError(f"{self.bundle.manifest.model_id} judges pairs of texts, got one text each; give both")
        return joined(texts, second, self.bundle.manifest.max_length)

    def encode(self, texts: Texts) -> Encoded:
        """Clean texts as this student's ids."""
        return self.bundle.vocabulary.encode(texts, self.bundle.manifest.max_length)

    def probabilities(self, texts: Texts) -> NDArray[np.float32]:
        """Score clean texts.

        Args:
            texts: Strings. An empty text is scored like any other; a null gets a row of NaN.

        Returns:
            (texts, labels) float32, each 0 to 1.

        Raises:
            BundleError: The student answered with something that is no probability.
            DataError: The column holds no strings, or bytes that are not UTF-8.
        """
        if pa.types.is_dictionary(texts.type):  # a null may also be among the dictionary's entries
            texts = texts.cast(texts.type.value_type)
        answers = self.probabilities_encoded(self.encode(texts))
        if texts.null_count:
            answers[texts.is_null().to_numpy(zero_copy_only=False)] = np.nan
        return answers

    def probabilities_encoded(self, encoded: Encoded, rows: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Score texts that are ids already; there are no nulls among ids.

        Args:
            encoded: What `encode` made of them, here or in an engine of the same `alphabet`.
            rows: Which of them, in the order wanted; None for all.

        Returns:
            (rows, labels) float32, each 0 to 1.

        Raises:
            BundleError: The student answered with something that is no probability.
        """
        answers = self.answers(encoded, np.arange(len(encoded)) if rows is None else rows)
        # Written so that NaN fails too.
        if not ((answers >= 0) & (answers <= 1)).all():
            raise BundleError(
                f"{self.bundle.path}: model {self.bundle.manifest.model_id} answered with something that is "
                "no probability, expected 0 to 1; take it out of use and train it again"
            )
        return answers


def open_engine(bundle_path: Path | str, kind: EngineKind = "auto", threads: int = 1) -> Engine:
    """Open a sealed student, after checking all its files.

    Args:
        bundle_path: The sealed folder.
        kind: Which engine. `auto` takes the fused one where the bundle is folded and Numba is installed, else ONNX
            Runtime; the log says which. Their answers are equal within 1e-5.
        threads: Threads of one run in ONNX Runtime; the fused engine always keeps to the caller's.

    Raises:
        BundleError: The bundle is damaged, or the engine asked for cannot run it.
        EnvError: The engine asked for is not installed.
        SettingsError: There is no engine of that name.
    """
    if kind not in get_args(EngineKind):
        raise SettingsError(f"scoring.engine: got {kind!r}, expected one of {', '.join(get_args(EngineKind))}")
    if kind == "auto":
        kind = _fitting(open_bundle(bundle_path))
    package = {"fused": "numba", "onnxruntime": "onnxruntime"}[kind]
    if find_spec(package) is None:
        raise EnvError(f"{bundle_path}: the engine {kind} needs {package}, which is not installed; install it")
    if kind == "fused":
        from models.fused import FusedEngine

        return FusedEngine.open(bundle_path)
    from models.engine import OnnxEngine

    return OnnxEngine.open(bundle_path, threads)


def _fitting(bundle: Bundle) -> EngineKind:
    """The fastest engine that can run a bundle here, and a line in the log that says why."""
    folds, numba = bundle.manifest.folding is not None, find_spec("numba") is not None
    kind: EngineKind = "fused" if folds and numba else "onnxruntime"
    why = "its convolutions are tables" if folds else "its graph is not folded"
    _log.info("%s: engine %s (%s; numba %s)", bundle.path, kind, why, "is there" if numba else "is not installed")
    return kind
