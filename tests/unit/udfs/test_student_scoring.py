"""Scores come out row for row, from the very student that was asked for."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import BundleError
from models.export.exporter import export_student
from models.serving.bundle import open_bundle
from models.serving.fused_engine import FusedEngine
from models.serving.open_engine import open_engine
from models.student_settings import TextCNNSettings
from models.students.architectures import build_student
from models.text.vocabulary import Vocabulary
from udfs.model_files import ModelFiles
from udfs.student_scoring import STORED, Served, score_batch, scores_schema, student_scorer

VOCABULARY = Vocabulary(tuple("abc好老师"))
SIZES = TextCNNSettings(embedding=4, filters=3, widths=(2, 3), max_length=12)
LABELS = {"praise": ("asks", "got"), "mood": ("glad", "sad", "angry")}


@pytest.fixture(scope="module")
def students(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Served]:
    made = {}
    for seed, (task, labels) in enumerate(LABELS.items()):
        torch.manual_seed(seed)
        bundle = export_student(
            build_student(SIZES, len(VOCABULARY), len(labels)), folder=tmp_path_factory.mktemp("bundles") / task,
            task=task, kind="textcnn", labels=labels, vocabulary=VOCABULARY, max_length=12, clean_version="1",
        )  # fmt: skip
        model_id = open_engine(bundle).bundle.manifest.model_id
        made[task] = Served(model_id, ModelFiles(str(bundle)), f"wanted_{task}")
    return made


def batch_of(rows: list[tuple[str | None, bool, bool]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({
        "text_id": pa.array([f"id{number}" for number in range(len(rows))], pa.string()),
        "dt": pa.array([date(2026, 3, 1 + number % 3) for number in range(len(rows))], pa.date32()),
        "scene": pa.array(["chat" if number % 2 else "speech" for number in range(len(rows))], pa.string()),
        "text": pa.array([text for text, _, _ in rows], pa.string()),
        "clean_version": pa.array(["v1"] * len(rows), pa.string()),
        "wanted_praise": pa.array([praise for _, praise, _ in rows], pa.bool_()),
        "wanted_mood": pa.array([mood for _, _, mood in rows], pa.bool_()),
        "everything": pa.array([True] * len(rows), pa.bool_()),
    })  # fmt: skip


ROWS = st.lists(
    st.tuples(st.one_of(st.none(), st.text("abc好老师😀", max_size=16)), st.booleans(), st.booleans()), max_size=9
)


@given(st.lists(ROWS, max_size=3))
@settings(max_examples=60, deadline=None)
def test_every_wanted_row_has_one_score_of_every_student(
    students: dict[str, Served], rows: list[list[tuple[str | None, bool, bool]]]
) -> None:
    batches = [batch_of(part) for part in rows]
    out = [row for batch in student_scorer(list(students.values()))(iter(batches)) for row in batch.to_pylist()]
    wanted = [
        (served.model_id, *(row[name] for name in ("text_id", "dt", "scene", "clean_version")))
        for batch in batches
        for served in students.values()
        for row in batch.to_pylist()
        if row[served.wanted]
    ]
    assert [
        tuple(row[name] for name in ("model_id", "text_id", "dt", "scene", "clean_version")) for row in out
    ] == wanted


@given(ROWS.filter(bool))
@settings(max_examples=60, deadline=None)
def test_scores_are_the_engines_and_null_texts_have_an_error_instead(
    students: dict[str, Served], rows: list[tuple[str | None, bool, bool]]
) -> None:
    batch = batch_of(rows)
    for task, served in students.items():
        scored = list(score_batch(batch, [Served(served.model_id, served.files, "everything")]))
        out = scored[0].to_pylist()
        probabilities = open_engine(served.files.place).probabilities(batch.column("text"))
        for row, own, (text, _, _) in zip(out, probabilities, rows, strict=True):
            assert row["error"] == ("no_text" if text is None else None)
            assert row["probs"] == (None if text is None else own.tolist())
            assert text is None or len(row["probs"]) == len(LABELS[task])


def test_the_columns_are_as_declared(students: dict[str, Served]) -> None:
    (scored,) = score_batch(batch_of([("好", True, True)]), [students["praise"]])
    schema = scored.schema
    assert schema == scores_schema(STORED) == pa.schema([
        ("text_id", pa.string()), ("dt", pa.date32()), ("scene", pa.string()), ("clean_version", pa.string()),
        ("model_id", pa.string()), ("probs", pa.list_(pa.float32())), ("error", pa.string()),
    ])  # fmt: skip
    (nulls,) = score_batch(batch_of([(None, True, True)] * 2), [students["praise"]])
    assert nulls.schema == schema
    assert nulls.column("probs").null_count == 2


def test_a_bundle_of_another_model_is_refused(students: dict[str, Served]) -> None:
    praise, mood = students["praise"], students["mood"]
    wrong = Served(mood.model_id, praise.files, praise.wanted)
    with pytest.raises(BundleError, match=f"holds {praise.model_id}, the table models says {mood.model_id}"):
        list(student_scorer([wrong])(iter([batch_of([("好", True, False)])])))


def test_a_bundle_that_was_sealed_again_is_refused(students: dict[str, Served]) -> None:
    """Its manifest vouches for its own files; only the registry knows which they were."""
    praise = students["praise"]
    files = dict(open_bundle(praise.files.place).manifest.files)
    batch = [batch_of([("好", True, False)])]
    registered = replace(praise, files=ModelFiles(praise.files.place, files))
    assert len(list(student_scorer([registered])(iter(batch)))) == 1
    other = replace(praise, files=ModelFiles(praise.files.place, files | {"model.onnx": "0" * 64}))
    with pytest.raises(BundleError, match=f"other content than {praise.model_id} was registered with"):
        list(student_scorer([other])(iter(batch)))


def test_a_batch_without_a_row_of_its_own_opens_no_student(tmp_path: Path) -> None:
    nobody = Served("praise/textcnn/none", ModelFiles(str(tmp_path / "none")), "wanted_praise")
    assert list(student_scorer([nobody])(iter([batch_of([]), batch_of([("好", False, True)])]))) == []
    with pytest.raises(BundleError):
        list(student_scorer([nobody])(iter([batch_of([("好", True, True)])])))


def test_scores_do_not_depend_on_how_rows_are_batched(students: dict[str, Served]) -> None:
    rows = [("好老师"[: at % 4] + "abc" * (at % 3), True, False) for at in range(70)]

    def scores(part: list[tuple[str | None, bool, bool]]) -> list[list[float]]:
        return [
            probs for out in score_batch(batch_of(part), [students["praise"]]) for probs in out["probs"].to_pylist()
        ]

    assert scores(rows) == [row for at in range(0, 70, 7) for row in scores(rows[at : at + 7])]


def test_students_of_one_alphabet_share_the_ids(students: dict[str, Served], monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[object] = []
    whole = FusedEngine.encode
    monkeypatch.setattr(FusedEngine, "encode", lambda engine, texts: encoded.append(1) or whole(engine, texts))
    out = list(score_batch(batch_of([("好老师", True, True), ("a", True, False)]), list(students.values())))
    assert [len(batch) for batch in out] == [2, 1]
    assert len(encoded) == 1


def test_both_engines_serve(students: dict[str, Served]) -> None:
    batch = batch_of([("好老师" * at, True, True) for at in range(6)])
    fused, onnx = (
        np.concatenate([np.array(out["probs"].to_pylist()) for out in score_batch(batch, [students["praise"]], kind)])
        for kind in ("fused", "onnxruntime")
    )
    assert np.abs(fused - fused[0]).max() > 0
    assert np.abs(fused - onnx).max() <= 1e-5
