"""Several teachers as one."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.evaluation.ensemble import averaged, in_order
from models.evaluation.predictions import probabilities
from models.tasks import TaskKind
from udfs.averaging import EnsembleMember, averager

share = st.floats(0.001, 0.999)


@settings(deadline=None)
@given(st.lists(st.tuples(share, share, st.floats(0.1, 5), st.floats(0.1, 5)), min_size=1, max_size=6))
def test_it_averages_probabilities_not_logits(values: list[tuple[float, float, float, float]]) -> None:
    for one, other, weight, another in values:
        logits = averaged([np.array([[one]]), np.array([[other]])], [weight, another], "multi_label")
        wanted = (weight * one + another * other) / (weight + another)
        assert probabilities(logits, "multi_label")[0, 0] == pytest.approx(wanted, abs=1e-5)


def test_averaging_logits_would_be_something_else() -> None:
    logits = averaged([np.array([[0.99]]), np.array([[0.5]])], [1, 1], "multi_label")
    mean_of_logits = np.log(0.99 / 0.01) / 2
    assert logits[0, 0] < mean_of_logits - 1


@pytest.mark.parametrize("kind", ["multi_label", "multi_class", "pair"])
def test_who_does_not_know_a_label_contributes_nothing_to_it(kind: TaskKind) -> None:
    one = np.array([[0.6, 0.4, np.nan], [np.nan] * 3])
    other = np.array([[0.2, 0.7, 0.1], [np.nan] * 3])
    logits = averaged([one, other], [3, 1], kind)
    assert np.isnan(logits[1]).all()
    # Of classes, the first model's two share the .9 that the second, which knows all, gives them.
    wanted = [(3 * 0.9 * 0.6 + 0.2) / 4, (3 * 0.9 * 0.4 + 0.7) / 4, 0.1] if kind == "multi_class" else [0.5, 0.475, 0.1]
    assert probabilities(logits[:1], kind)[0] == pytest.approx(wanted, abs=1e-5)


def test_models_of_which_none_knows_all_classes_share_them() -> None:
    one, other = np.array([[0.5, 0.5, np.nan]]), np.array([[np.nan, 0.5, 0.5]])
    found = probabilities(averaged([one, other], [1, 1], "multi_class"), "multi_class")
    assert found[0] == pytest.approx([1 / 3] * 3, abs=1e-6)


def test_classes_share_one_probability_after_averaging() -> None:
    random = np.random.default_rng(1)
    parts = [random.dirichlet(np.ones(4), 5) for _ in range(3)]
    logits = averaged(parts, [1, 2, 3], "multi_class")
    assert probabilities(logits, "multi_class") == pytest.approx(np.average(parts, axis=0, weights=[1, 2, 3]), abs=1e-6)


def test_certain_teachers_have_finite_logits() -> None:
    assert np.isfinite(averaged([np.array([[0.0, 1.0]])], [1], "multi_label")).all()
    assert np.isfinite(averaged([np.array([[0.0, 1.0]])], [1], "multi_class")).all()


def test_labels_are_put_in_order_by_name() -> None:
    values = np.array([[1, 2], [3, 4]], np.float32)
    found = in_order(values, ["got", "asks"], ["asks", "thanks", "got"])
    assert found[:, [0, 2]].tolist() == [[2, 1], [4, 3]]
    assert np.isnan(found[:, 1]).all()


def test_a_batch_of_voices_becomes_one_column_of_logits() -> None:
    lists = pa.list_(pa.float32())
    batch = pa.RecordBatch.from_pydict({
        "text_id": ["a", "b", "c"],
        "bert": pa.array([[0.0, 2.0], None, None], lists),
        "past": pa.array([[0.75], [0.25], None], lists),
    })  # fmt: skip
    voices = [
        EnsembleMember("bert", ("asks", "got"), 1.0, logits=True),
        EnsembleMember("past", ("got",), 1.0, logits=False),
    ]
    (found,) = averager(voices, ("asks", "got"), "multi_label", ["text_id"])(iter([batch]))
    assert found.schema.names == ["text_id", "soft"]
    soft = found.column("soft").to_pylist()
    assert soft[0][0] == pytest.approx(0, abs=1e-5)
    together = (1 / (1 + np.exp(-2.0)) + 0.75) / 2
    assert 1 / (1 + np.exp(-soft[0][1])) == pytest.approx(together, abs=1e-5)
    assert soft[1][0] is None
    assert 1 / (1 + np.exp(-soft[1][1])) == pytest.approx(0.25, abs=1e-5)
    assert soft[2] == [None, None]
