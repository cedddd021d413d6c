"""A teacher's graph is made once, kept beside it, and found again by whoever scores next."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertForSequenceClassification

from jobs.lake import tables
from jobs.lake.registry import CONTENT, RegisteredModel
from jobs.lake.store import Lake
from jobs.scoring import teacher_graphs
from jobs.settings import LakeSettings
from models.errors import BundleError
from models.teachers import graph_sealing
from models.teachers.pretraining import build_tokenizer
from models.teachers.sealed_graph import MODEL, open_graph
from models.teachers.teacher import Teacher
from tests.support import add, sample_row
from udfs.model_files import stored_files
from udfs.storage import Storage

TEACHER = "praise/teacher/a"
TEXTS = ["好", "老师", "ab", "老师好", "abc", "好好好好", "老师讲得好"]


@pytest.fixture
def lake(bare_lake: Callable[..., Lake]) -> Lake:
    return bare_lake(tables.ROUND_SAMPLES)


@pytest.fixture
def registered(lake: Lake) -> RegisteredModel:
    return teacher_in(lake)


def teacher_in(lake: Lake) -> RegisteredModel:
    """A teacher with its own rows, registered nowhere."""
    torch.manual_seed(1)
    tokenizer = build_tokenizer(TEXTS, 40)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    model = BertForSequenceClassification(BertConfig(vocab_size=len(tokenizer), num_labels=2, **sizes))
    model.config.pingti_max_tokens, model.config.id2label = 16, {0: "asks", 1: "got"}
    teacher = Teacher(("asks", "got"), 16, model.eval(), tokenizer)
    path = lake.bundles.published(teacher.save(lake.bundles.folder / "praise-teacher-a-12345678"))
    add(lake, tables.ROUND_SAMPLES, *[sample_row(TEACHER, text) for text in TEXTS], sample_row("another", "x"))
    return RegisteredModel(
        TEACHER, "praise", "bert", "teacher", ("asks", "got"), None, None, path, "1", {CONTENT: teacher.digest}
    )


def test_a_graph_is_made_once_and_opens_by_its_files(
    lake: Lake, registered: RegisteredModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    files, manifest = teacher_graphs.graph_of(lake, registered, "multi_label", ("float32",))
    assert manifest.precision == "float32"
    assert manifest.losses["float32"].texts == len(TEXTS)  # its own rows, none of another's
    assert open_graph(files.local(), registered.digests[CONTENT], 64).labels == 2

    def again(*_: object) -> None:
        raise AssertionError("it is there")

    monkeypatch.setattr(graph_sealing, "seal_graph", again)
    assert teacher_graphs.graph_of(lake, registered, "multi_label", ("float32",)) == (files, manifest)


def test_the_graph_of_a_teacher_that_was_changed_is_not_made(lake: Lake, registered: RegisteredModel) -> None:
    other = RegisteredModel(
        TEACHER, "praise", "bert", "teacher", ("asks", "got"), None, None, registered.path, "1", {CONTENT: "0" * 64}
    )
    with pytest.raises(BundleError, match=r"its row in models says 0{12}…"):
        teacher_graphs.graph_of(lake, other, "multi_label", ("float32",))


def test_in_an_object_store_a_graph_that_was_shared_in_part_is_shared_again(
    object_store: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"s3://texts/{uuid.uuid4().hex}"
    settings = LakeSettings.model_validate(
        {"location": f"{place}/warehouse", "bundles": f"{place}/bundles", "storage_options": object_store}
    )

    def on(machine: str) -> Lake:
        monkeypatch.setenv("PINGTI_CACHE", str(tmp_path / machine))
        return Lake(no_session, settings, "Asia/Shanghai")  # type: ignore[arg-type]

    one = on("one")
    one.catalog.make((tables.ROUND_SAMPLES,))
    registered = teacher_in(one)
    files, manifest = teacher_graphs.graph_of(one, registered, "multi_label", ("float32",))
    store = Storage(files.place, object_store).open()
    every = stored_files(store)
    for machine in ("one", "another"):
        store.delete_file(MODEL)  # as a run that was killed would have left it
        lake = on(machine)
        assert teacher_graphs.graph_of(lake, registered, "multi_label", ("float32",)) == (files, manifest)
        assert stored_files(store) == every
    monkeypatch.setenv("PINGTI_CACHE", str(tmp_path / "executor"))
    assert open_graph(files.local(), registered.digests[CONTENT], 64).labels == 2


def no_session() -> None:
    raise AssertionError("a session was asked for where none is needed")
