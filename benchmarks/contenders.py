"""What else could score the texts in the same Spark job: nothing at all, fastText, Spark's own `predict_batch_udf`.

Each is a function of the very shape of `udfs.student_scoring.score_batch`, giving the same columns, so that a job
with it differs from the student's job by the model alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from models.serving.engine import EngineKind
from udfs.file_scoring import ScoreBatch
from udfs.list_arrays import to_lists
from udfs.student_scoring import Served, with_scores

Batches = Iterator[pa.RecordBatch]
Answer = Callable[[pa.Array], NDArray[np.float32]]
"""Texts to probabilities, (texts, labels)."""

_POOL = 1 << 20


def scorer(open_model: Callable[[], Answer]) -> ScoreBatch:
    """Scores of every row that a student wants, by a model that each worker opens once."""

    def score(batch: pa.RecordBatch, students: Sequence[Served], _: EngineKind, keep: pa.Schema) -> Batches:
        for student in students:
            rows = np.flatnonzero(batch.column(student.wanted).to_numpy(zero_copy_only=False))
            probabilities = open_model()(batch.column("text").take(pa.array(rows)))
            lists = to_lists(probabilities, np.zeros(len(rows), bool))
            yield with_scores(batch.select(keep.names), student, rows, lists)

    return score


@lru_cache(maxsize=1)
def identity(labels: int) -> Answer:
    """No model: random probabilities made beforehand, since constant ones would be compressed away."""
    pool = np.random.default_rng(1).random((_POOL // labels, labels), np.float32)
    places = iter(range(1 << 62))

    def answer(texts: pa.Array) -> NDArray[np.float32]:
        start = next(places) * 4099 % max(len(pool) - len(texts), 1)
        return pool[start : start + len(texts)]

    return answer


def train_fasttext(texts: Sequence[str], labels: Sequence[str], folder: Path) -> Path:
    """A fastText classifier on characters and their pairs; the labels are drawn, speed is all that counts."""
    import fasttext

    drawn = np.random.default_rng(1).integers(len(labels), size=len(texts))
    lines = (f"__label__{labels[at]} {' '.join(text)}\n" for at, text in zip(drawn, texts, strict=True))
    (folder / "train.txt").write_text("".join(lines), "utf-8")
    model = fasttext.train_supervised(
        str(folder / "train.txt"), loss="ova", wordNgrams=2, dim=100, epoch=1, thread=1, verbose=0
    )
    model.save_model(str(folder / "fasttext.bin"))
    return folder / "fasttext.bin"


def spaced(texts: Sequence[str]) -> list[str]:
    """Texts as fastText reads them: a word is what stands between spaces, here a character."""
    return [" ".join(text) + "\n" for text in texts]


def fasttext_predict(path: str, labels: int) -> Callable[[list[str]], tuple[list[list[str]], list[Any]]]:
    """FastText's own batch call: names and probabilities of so many labels for each line, the likeliest first."""
    import fasttext

    model = fasttext.load_model(path)

    def predict(lines: list[str]) -> tuple[list[list[str]], list[Any]]:
        # The public `predict` copies into arrays in a way that NumPy 2 refuses; this is what it calls.
        found: tuple[list[list[str]], list[Any]] = model.f.multilinePredict(lines, labels, 0.0, "strict")
        return found

    return predict


@lru_cache(maxsize=1)
def fasttext_model(path: str, labels: tuple[str, ...]) -> Answer:
    """All labels' probabilities by fastText's own batch call."""
    predict = fasttext_predict(path, len(labels))
    places = {f"__label__{label}": at for at, label in enumerate(labels)}

    def answer(texts: pa.Array) -> NDArray[np.float32]:
        names, probabilities = predict(spaced(texts.to_pylist()))
        found = np.zeros((len(texts), len(labels)), np.float32)
        for row, (values, told) in enumerate(zip(probabilities, names, strict=True)):
            found[row, [places[name] for name in told]] = values
        return found

    return answer


def sklearn_model(texts: Sequence[str], labels: int) -> Answer:
    """TF-IDF of characters and their pairs with one logistic regression a label, on drawn labels."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import SGDClassifier
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import make_pipeline

    drawn = np.random.default_rng(1).random((len(texts), labels)) < 0.1
    model = make_pipeline(
        TfidfVectorizer(analyzer="char", ngram_range=(1, 2), dtype=np.float32),
        OneVsRestClassifier(SGDClassifier(loss="log_loss", max_iter=3, tol=None, random_state=1)),
    )
    model.fit(texts, drawn)
    return lambda column: np.asarray(model.predict_proba(column.to_pylist()), np.float32)


def spark_udf(bundle: str) -> Any:
    """Spark's `predict_batch_udf` over the same folded graph in ONNX Runtime."""
    from pyspark.ml.functions import predict_batch_udf
    from pyspark.sql.types import ArrayType, FloatType

    def open_model() -> Callable[[NDArray[Any]], NDArray[np.float32]]:
        from models.serving.open_engine import open_engine

        engine = open_engine(bundle, "onnxruntime")
        return lambda texts: engine.probabilities(pa.array(texts, pa.string()))

    return predict_batch_udf(open_model, return_type=ArrayType(FloatType()), batch_size=4096)
