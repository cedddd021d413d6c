"""What plans make of a teacher whose scores come from outside. No session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from jobs.lake import registry, tables
from jobs.lake.store import Lake
from jobs.rounds import distil
from jobs.runtime.context import Context
from jobs.scoring import score_teacher
from jobs.teachers import train_teacher
from models.errors import DataError
from tests.support import add, context_of, day, fill, model_row, sample_row, text_row

TEACHER = "praise/teacher/gpt"


@pytest.fixture
def lake(bare_lake: Callable[..., Lake]) -> Lake:
    return fill(bare_lake(*tables.ALL), {
        tables.TEXTS: [text_row(f"t{at}", dt=day(at)) for at in range(4)],
        tables.MODELS: [model_row(TEACHER, ["asks"], role="teacher", kind="external", path="")],
    })  # fmt: skip


def planning(lake: Lake, *sampling: str, again: bool = False, rounds: int = 3, **scheme: Any) -> Context:
    days = {"threshold_days": 1, "test_days": 1, "gate_days": 1, "min_train_days": 1}
    task = {"scenes": ["live_chat"], "labels": {"asks": {}}, "student": {"scheme": {"kind": "offline"} | scheme}}
    settings = days | {"rounds": rounds} | ({"sampling": sampling} if sampling else {})
    return context_of(lake, tasks={"praise": task}, rounds=settings, options={"again": again})


@pytest.mark.parametrize(
    ("sampling", "rounds", "number"),
    [((), 3, 2), (("random", "annotated"), 3, 1), (("annotated", "annotated", "random"), 3, 3), (("annotated",), 2, 2)],
)
def test_rounds_without_annotated_rows_begin_with_what_the_teacher_scored(
    sampling: tuple[str, ...], rounds: int, number: int, lake: Lake
) -> None:
    (first,) = distil.plan(planning(lake, *sampling, rounds=rounds)).required()
    assert (first.round_id, first.number, first.sampling) == ("praise/textcnn/01", number, "random")


def test_rounds_with_annotated_rows_begin_with_them(lake: Lake) -> None:
    add(lake, tables.ROUND_SAMPLES, sample_row(TEACHER, "t0"))
    (first,) = distil.plan(planning(lake)).required()
    assert (first.number, first.sampling) == (1, "annotated")


@pytest.mark.parametrize(
    ("scheme", "needs"),
    [({"kind": "joint_isolated"}, "joint_isolated"), ({"kind": "joint_summed"}, "joint_summed"),
     ({"hint_weight": 0.1}, "hint_weight"), ({"curriculum": True}, "curriculum"),
     ({"kind": "multi_teacher", "hint_weight": 0.1}, "hint_weight")],
)  # fmt: skip
def test_schemes_that_need_its_network_are_refused(scheme: dict[str, Any], needs: str, lake: Lake) -> None:
    with pytest.raises(DataError, match=f"{needs} needs the teacher's network, and the scores of {TEACHER}"):
        distil.plan(planning(lake, **scheme))
    assert distil.plan(planning(lake, kind="multi_teacher")).steps


def test_it_stays_the_newest_until_a_person_trains_another(lake: Lake) -> None:
    assert train_teacher.plan(planning(lake)).steps == ()
    assert train_teacher.plan(planning(lake, again=True)).steps != ()


def test_its_sample_is_counted_and_its_files_are_not_opened(lake: Lake) -> None:
    assert score_teacher.plan(planning(lake)).steps == (f"count what {TEACHER} has not scored of its sample",)
    with pytest.raises(DataError, match=r"comes? from outside, and it has no files to open"):
        registry.files(lake, registry.newest_teacher(lake, "praise"))
