"""Scores texts with a sealed student on ONNX Runtime, which runs every bundle; needs neither torch nor Spark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from models.errors import BundleError
from models.serving.bundle import Bundle
from models.serving.engine import Engine
from models.text.vocabulary import Encoded

BATCH = 32  # rows per run: few enough that the intermediates stay in the core's cache


@dataclass(frozen=True)
class OnnxEngine(Engine):
    """One student in a session of ONNX Runtime.

    Attributes:
        bundle: The sealed student.
        session: Its graph, loaded.
        batch: Rows a run.
    """

    bundle: Bundle
    session: ort.InferenceSession
    batch: int = BATCH

    @classmethod
    def of(cls, bundle: Bundle, threads: int = 1) -> Self:
        """See `Engine.of`. ONNX Runtime ignores OMP_NUM_THREADS, the only cap Spark sets; so `threads` is set here.

        Raises:
            BundleError: ONNX Runtime cannot read the graph.
        """
        try:
            return cls(bundle, inference_session(bundle.model.read_bytes(), threads))
        except Exception as error:  # onnxruntime has a dozen error classes without a common base
            raise BundleError(
                f"{bundle.path}: ONNX Runtime {ort.__version__} refuses the model ({type(error).__name__}), "
                f"expected to run opset {bundle.manifest.opset}; install a newer onnxruntime or export again"
            ) from error

    def probabilities_unchecked(self, encoded: Encoded, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """See `Engine.probabilities_unchecked`."""
        probabilities = np.empty((len(rows), len(self.labels)), np.float32)
        # By length, so that hardly any padding is computed.
        order = np.argsort(encoded.lengths[rows], kind="stable")
        for start in range(0, len(order), self.batch):
            places = order[start : start + self.batch]
            ids, lengths = encoded.padded(rows[places], at_least=self.bundle.manifest.min_length)
            probabilities[places] = self.session.run(None, {"ids": ids, "lengths": lengths})[0]
        return probabilities


def inference_session(model: bytes, threads: int = 1) -> ort.InferenceSession:
    """An ONNX Runtime session that keeps to its threads and leaves them idle between runs."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    # Spinning threads would take the core from Spark's JVM.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
