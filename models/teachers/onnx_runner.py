"""A teacher's network in ONNX Runtime, on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from models.teachers.batch_scoring import DoesNotFitError, Result, Runner
from models.teachers.tokenisation import Tokens, inputs_of


class OnnxRunner(Runner):
    """Runs a graph of `teacher_graph`.

    Args:
        session: The graph, loaded.
        tokenizer: Of the teacher.
        config: Of the teacher's network.
    """

    def __init__(self, session: ort.InferenceSession, tokenizer: Any, config: Any) -> None:
        self._session, self._tokenizer, self._config = session, tokenizer, config
        self._names = {one.name for one in session.get_inputs()}

    def start(self, tokens: Tokens, rows: NDArray[np.int64]) -> Callable[[], Result]:
        """See `Runner.start`."""
        inputs = inputs_of(self._tokenizer, self._config, tokens, rows)
        given = {name: value.numpy() for name, value in inputs.items() if name in self._names}
        try:
            logits, states = self._session.run(None, given)
        except Exception as error:  # onnxruntime has a dozen error classes without a common base
            if "alloc" not in str(error):
                raise
            raise DoesNotFitError from error
        result = logits.astype(np.float32, copy=False), states.astype(np.float32, copy=False)
        return lambda: result
