"""Scores texts with a sealed student on ONNX Runtime; needs neither torch nor Spark."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from models.bundle import Bundle, open_bundle
from models.errors import BundleError
from models.vocabulary import Encoded, Texts

BATCH = 32  # rows per run: few enough that the intermediates stay in the core's cache


@dataclass(frozen=True, slots=True)
class OnnxEngine:
    """One student, ready to score; no state between calls, no text's score depends on its neighbours."""

    bundle: Bundle
    session: ort.InferenceSession
    batch: int = BATCH

    @classmethod
    def open(cls, bundle_path: Path | str, threads: int = 1) -> Self:
        """Open a bundle, after checking all its files.

        Args:
            bundle_path: The sealed folder.
            threads: Threads of one run. ONNX Runtime ignores OMP_NUM_THREADS, the only cap Spark sets.

        Raises:
            BundleError: The bundle is damaged, or ONNX Runtime cannot read its graph.
        """
        bundle = open_bundle(bundle_path)
        try:
            return cls(bundle, session_of(bundle.model.read_bytes(), threads))
        except Exception as error:  # onnxruntime has a dozen error classes without a common base
            raise BundleError(
                f"{bundle.path}: ONNX Runtime {ort.__version__} refuses the model ({type(error).__name__}), "
                f"expected to run opset {bundle.manifest.opset}; install a newer onnxruntime or export again"
            ) from error

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of the columns of every answer."""
        return self.bundle.manifest.labels

    def encode(self, texts: Texts) -> Encoded:
        """Clean texts as this student's ids; engines of equal vocabulary and length can share them."""
        return self.bundle.vocabulary.encode(texts, self.bundle.manifest.max_length)

    def probabilities(self, texts: Texts) -> NDArray[np.float32]:
        """Score clean texts.

        Args:
            texts: Strings. An empty text is scored like any other; a null gets a row of NaN.

        Returns:
            (texts, labels) float32, each 0 to 1.

        Raises:
            BundleError: The student answered with something that is no probability.
        """
        answers = self.probabilities_encoded(self.encode(texts))
        if texts.null_count:
            answers[texts.is_null().to_numpy(zero_copy_only=False)] = np.nan
        return answers

    def probabilities_encoded(self, encoded: Encoded) -> NDArray[np.float32]:
        """Score texts that are ids already; (texts, labels) float32. There are no nulls among ids."""
        answers = np.empty((len(encoded), len(self.labels)), np.float32)
        # By length, so that hardly any padding is computed.
        order = np.argsort(encoded.lengths, kind="stable")
        for start in range(0, len(order), self.batch):
            rows = order[start : start + self.batch]
            ids, lengths = encoded.padded(rows, at_least=self.bundle.manifest.min_length)
            answers[rows] = self.session.run(None, {"ids": ids, "lengths": lengths})[0]
        # Written so that NaN fails too.
        if not ((answers >= 0) & (answers <= 1)).all():
            raise BundleError(
                f"{self.bundle.path}: model {self.bundle.manifest.model_id} answered with something that is "
                "no probability, expected 0 to 1; take it out of use and train it again"
            )
        return answers


def session_of(model: bytes, threads: int = 1) -> ort.InferenceSession:
    """An ONNX Runtime session that keeps to its threads and leaves them idle between runs."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # Spinning threads would take the core from Spark's JVM.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
