"""The interface of every engine: a sealed student, ready to score."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.errors import BundleError, DataError
from models.serving.bundle import VOCABULARY, Bundle
from models.text.pairs import joined
from models.text.vocabulary import Encoded, Texts

SCORING_VERSION = 1
"""Raised where a sealed student's probabilities come out otherwise by more than 1e-5; all days are scored again."""
EngineKind = Literal["auto", "fused", "onnxruntime"]


class Engine(ABC):
    """One student, ready to score; no state between calls, no text's score depends on its neighbours."""

    bundle: Bundle

    @classmethod
    @abstractmethod
    def of(cls, bundle: Bundle, threads: int = 1) -> Self:
        """An engine over an opened bundle, whose files were checked when it was opened.

        Args:
            bundle: The sealed student.
            threads: Threads of one run, where the engine has threads of its own.

        Raises:
            BundleError: This engine cannot run the bundle.
        """

    @abstractmethod
    def probabilities_unchecked(self, encoded: Encoded, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Probabilities of the named rows, in their order: (rows, labels) float32, of any value."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels, in the order of the probabilities' columns."""
        return self.bundle.manifest.labels

    @property
    def encoder_key(self) -> tuple[str, int, bool]:
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
            BundleError: The student gave something that is no probability.
            DataError: The column holds no strings, or bytes that are not UTF-8.
        """
        if pa.types.is_dictionary(texts.type):  # a null may also be among the dictionary's entries
            texts = texts.cast(texts.type.value_type)
        probabilities = self.probabilities_encoded(self.encode(texts))
        if texts.null_count:
            probabilities[texts.is_null().to_numpy(zero_copy_only=False)] = np.nan
        return probabilities

    def probabilities_encoded(self, encoded: Encoded, rows: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
        """Score texts that are ids already; there are no nulls among ids.

        Args:
            encoded: What `encode` made of them, here or in an engine of the same `encoder_key`.
            rows: Which of them, in the order wanted; None for all.

        Returns:
            (rows, labels) float32, each 0 to 1.

        Raises:
            BundleError: The student gave something that is no probability.
        """
        probabilities = self.probabilities_unchecked(encoded, np.arange(len(encoded)) if rows is None else rows)
        # Written so that NaN fails too.
        if not ((probabilities >= 0) & (probabilities <= 1)).all():
            raise BundleError(
                f"{self.bundle.path}: model {self.bundle.manifest.model_id} answered with something that is "
                "no probability, expected 0 to 1; take it out of use and train it again"
            )
        return probabilities
