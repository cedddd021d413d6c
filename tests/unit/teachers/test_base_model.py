"""What a teacher begins as, without looking at a text."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from jobs.lake import tables
from jobs.lake.store import Lake
from jobs.teachers import base_model, pretrain
from jobs.teachers.base_making import content_digest
from jobs.teachers.base_model import Base, BaseSettings, given_base, known_base, opened
from models.errors import BundleError
from models.tasks import TeacherSettings
from tests.support import add, context_of, day, fill, model_row, text_row

SMALL = TeacherSettings(layers=1, hidden=16)


def base_row(name: str, settings: TeacherSettings, **values: Any) -> dict[str, Any]:
    given = given_base(settings) if settings.is_pretrained_here else None
    stored = BaseSettings.of(settings, 1, given).model_dump_json()
    return model_row(name, [], task="*", kind="bert", role="base") | {"settings": stored} | values


def test_the_newest_base_of_the_settings_is_what_a_teacher_begins_as(bare_lake: Callable[..., Lake]) -> None:
    lake = bare_lake(tables.MODELS)
    assert known_base(lake, SMALL, 1) is None
    add(lake, tables.MODELS, base_row("base/bert/a", SMALL, path="/a"), base_row("base/bert/b", TeacherSettings()))
    assert known_base(lake, SMALL, 1) == Base("/a", "base/bert/a")
    assert known_base(lake, SMALL, 2) is None, "another seed is another base"
    assert known_base(lake, SMALL.model_copy(update={"pretrain_steps": 7}), 1) is None
    later = datetime(2026, 2, 1, tzinfo=UTC)
    add(lake, tables.MODELS, base_row("base/bert/c", SMALL, path="/c", created_at=later))
    assert known_base(lake, SMALL.model_copy(update={"epochs": 9}), 1) == Base("/c", "base/bert/c")
    unread = {"settings": '{"layers": 1, "of": "a later version"}'}
    add(lake, tables.MODELS, base_row("base/bert/d", SMALL) | unread)
    assert known_base(lake, SMALL, 1) == Base("/c", "base/bert/c")


def test_the_bytes_of_a_folder_name_it_wherever_it_lies(bare_lake: Callable[..., Lake], tmp_path: Path) -> None:
    lake = bare_lake(tables.MODELS)

    def identity(folder: str) -> str:
        known = known_base(lake, TeacherSettings(source=str(tmp_path / folder)), 1)
        assert known is not None
        return known.identity

    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "model.safetensors").write_bytes(b"weights")
    assert identity("here") == identity("there")
    (tmp_path / "there" / "README.md").write_text("not read")
    assert identity("here") == identity("there")
    (tmp_path / "there" / "model.safetensors").write_bytes(b"others!")
    assert identity("here") != identity("there")


@pytest.mark.parametrize("name", ["bert-base-chinese", "bert-base-chinese@8d2a91f", "s3://models/bert"])
def test_a_name_elsewhere_stands_for_itself(bare_lake: Callable[..., Lake], name: str) -> None:
    assert known_base(bare_lake(tables.MODELS), TeacherSettings(source=name), 1) == Base(name, name)


def test_a_row_and_a_name_of_an_earlier_version_stay_what_they_are() -> None:
    stored = (
        '{"layers": 2, "hidden": 128, "heads": 2, "max_tokens": 64, "vocabulary_size": 6000, "pretrain_steps": 1500, '
        '"pretrain_texts": 60000, "seed": 1}'
    )
    assert BaseSettings.of(TeacherSettings(), 1).equals(stored)
    assert content_digest(BaseSettings.of(TeacherSettings(), 1), ["a", "b"]) == "8aecb998a6d6"


def test_a_given_model_is_pretrained_further_where_steps_are_named(
    bare_lake: Callable[..., Lake], tmp_path: Path
) -> None:
    lake = bare_lake(tables.MODELS)
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    further = TeacherSettings(source=str(tmp_path), pretrain_steps=5)
    as_it_is = known_base(lake, TeacherSettings(source=str(tmp_path)), 1)
    assert as_it_is is not None
    assert as_it_is.place == str(tmp_path)
    assert known_base(lake, further.model_copy(update={"pretrain_steps": 0}), 1) == as_it_is
    assert known_base(lake, further, 1) is None, "it is yet to be made"
    add(lake, tables.MODELS, base_row("base/bert/a", further, path="/a"), base_row("base/bert/b", SMALL))
    assert known_base(lake, further, 1) == Base("/a", "base/bert/a")
    assert known_base(lake, further.model_copy(update={"layers": 9, "hidden": 8}), 1) == Base("/a", "base/bert/a")
    assert known_base(lake, further.model_copy(update={"pretrain_steps": 6}), 1) is None
    assert known_base(lake, TeacherSettings(pretrain_steps=5), 1) is None, "a small BERT is another"
    (tmp_path / "model.safetensors").write_bytes(b"others!")
    assert known_base(lake, further, 1) is None, "other bytes in the folder are another model"


def test_what_a_base_went_on_from_is_part_of_its_name() -> None:
    settings = TeacherSettings(pretrain_steps=5)
    first, other = (
        content_digest(BaseSettings.of(settings, 1, Base("/a", identity)), ["a"]) for identity in ("x", "y")
    )
    assert len({first, other, content_digest(BaseSettings.of(settings, 1), ["a"])}) == 3


def test_how_it_learns_is_part_of_a_base() -> None:
    plain = BaseSettings.of(TeacherSettings(), 1)
    assert BaseSettings.of(TeacherSettings(pretrain_masked=(0.15, 0.15)), 1) == plain
    others = [
        BaseSettings.of(TeacherSettings(pretrain_masking="whole_words"), 1),
        BaseSettings.of(TeacherSettings(pretrain_masked=(0.3, 0.15)), 1),
        BaseSettings.of(TeacherSettings(pretrain_objective="rtd"), 1),
    ]
    assert len({content_digest(one, ["a"]) for one in (plain, *others)}) == 4
    for one in others:
        assert not plain.equals(one.model_dump_json())
        assert one.equals(one.model_dump_json())


def test_a_recorded_base_whose_files_are_others_is_not_begun_from(
    bare_lake: Callable[..., Lake], tmp_path: Path
) -> None:
    lake = bare_lake(tables.MODELS)
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    digests = base_model.files_read(tmp_path)
    add(lake, tables.MODELS, base_row("base/bert/a", SMALL, path=str(tmp_path), digests=digests))
    base = Base(str(tmp_path), "base/bert/a")
    assert opened(lake, base) == str(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"others!")
    with pytest.raises(BundleError, match="got other files"):
        opened(lake, base)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(BundleError, match="got no files"):
        opened(lake, base)


def test_tasks_with_equal_sizes_share_a_base_and_one_with_its_own_needs_none(bare_lake: Callable[..., Lake]) -> None:
    lake = fill(bare_lake(tables.MODELS, tables.TEXTS), {
        tables.MODELS: [base_row("base/bert/a", SMALL)], tables.TEXTS: [text_row("a"), text_row("b", dt=day(1))],
    })  # fmt: skip

    def plan(**teachers: dict[str, Any]) -> tuple[str, ...]:
        tasks = {name: {"scenes": ["live_chat"], "labels": {"x": {}}, "teacher": one} for name, one in teachers.items()}
        days = {"threshold_days": 0, "test_days": 1, "gate_days": 0, "min_train_days": 1}
        return pretrain.plan(context_of(lake, "pretrain", tasks=tasks, rounds=days)).steps

    small = {"layers": 1, "hidden": 16}
    assert plan(praise=small, mood={"from": "bert-base-chinese"}) == ()
    assert plan(praise=small, mood={}, topic={"epochs": 2}) == (
        "pretrain what the teachers of mood, topic begin as, 1500 steps",
    )
    assert plan(praise={"from": "bert-base-chinese", "pretrain_steps": 9, "layers": 5}, mood=small, topic={
        "from": "bert-base-chinese", "pretrain_steps": 9,
    }) == ("pretrain what the teachers of praise, topic begin as, bert-base-chinese further, 9 steps",)  # fmt: skip
