"""Students and schemes are told apart by `kind`: a key of another kind is refused by its name."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from pydantic import ValidationError

from models.scheme_settings import (
    JOINT,
    JointCoupledSettings,
    JointSummedSettings,
    MultiTeacherSettings,
    OfflineSettings,
    SchemeKind,
)
from models.student_settings import (
    BOWSettings,
    RecurrentSettings,
    StudentKind,
    TextCNNSettings,
    read_student,
    with_kind,
    with_scheme,
)
from models.students.architectures import ARCHITECTURES, build_student


@pytest.mark.parametrize(
    ("given", "place"),
    [
        ({"kind": "bilstm", "filters": 9}, "bilstm.filters"),
        ({"kind": "bigru", "widths": [2]}, "bigru.widths"),
        ({"kind": "bow", "widths": [2]}, "bow.widths"),
        ({"hidden": 9}, "textcnn.hidden"),
        ({"scheme": {"kind": "joint_summed", "curriculum": True}}, "textcnn.scheme.joint_summed.curriculum"),
        ({"scheme": {"teachers": {"live": 1.0}}}, "textcnn.scheme.offline.teachers"),
        ({"scheme": {"hint_layer": 1}}, "textcnn.scheme.offline.hint_layer"),
        ({"scheme": {"kind": "multi_teacher", "hint_layer": 1}}, "textcnn.scheme.multi_teacher.hint_layer"),
        ({"scheme": {"kind": "joint_isolated", "feedback_weight": 1}}, "textcnn.scheme.joint_isolated.feedback_weight"),
        ({"scheme": {"kind": "joint_coupled", "teachers": {}}}, "textcnn.scheme.joint_coupled.teachers"),
        ({"temperature": 2.0}, "textcnn.temperature"),
        ({"scheme": "online"}, "textcnn.scheme"),
        ({"kind": "tree"}, ""),
    ],
    ids=str,
)
def test_a_key_of_another_kind_is_refused_by_name(given: dict[str, Any], place: str) -> None:
    with pytest.raises(ValidationError) as caught:
        read_student(given)
    assert [".".join(map(str, problem["loc"])) for problem in caught.value.errors()] == [place]


def test_a_student_without_a_kind_is_a_textcnn_that_learns_offline() -> None:
    student = read_student({})
    assert student == TextCNNSettings()
    assert (student.kind, student.filters, student.widths) == ("textcnn", 128, (2, 3, 4))
    assert student.scheme == OfflineSettings()
    assert (student.scheme.temperature, student.scheme.soft_weight, student.scheme.hint_weight) == (1.0, 0.7, 0.0)


@pytest.mark.parametrize("kind", get_args(SchemeKind))
def test_the_name_of_a_scheme_stands_for_its_defaults(kind: SchemeKind) -> None:
    named, spelt = read_student({"scheme": kind}), read_student({"scheme": {"kind": kind}})
    assert named == spelt
    assert named.scheme.kind == kind
    assert named.scheme.hint_layer == -1
    assert named.scheme.curriculum is False
    assert read_student(named.model_dump()) == read_student(named.model_dump(mode="json")) == named


@pytest.mark.parametrize("kind", get_args(StudentKind))
def test_every_kind_has_settings_and_a_network(kind: StudentKind) -> None:
    student = read_student({"kind": kind, "embedding": 4})
    assert read_student(student.model_dump(mode="json")) == student
    assert type(build_student(student, 9, 2)) is ARCHITECTURES[kind].network


def test_another_kind_keeps_what_both_kinds_have() -> None:
    scheme = {"kind": "joint_coupled", "feedback_weight": 2.0, "temperature": 3.0, "hint_layer": 1}
    student = read_student({"filters": 7, "epochs": 2, "scheme": scheme})
    bag = with_kind(student, "bow", unit="word")
    assert bag == BOWSettings(filters=7, epochs=2, unit="word", scheme=student.scheme)
    assert with_kind(student, "bigru") == RecurrentSettings(kind="bigru", epochs=2, scheme=student.scheme)
    summed = with_scheme(student, "joint_summed", soft_weight=0.1).scheme
    assert summed == JointSummedSettings(temperature=3.0, hint_layer=1, soft_weight=0.1)
    assert with_scheme(student, "multi_teacher").scheme == MultiTeacherSettings(temperature=3.0)
    assert with_scheme(student, "joint_coupled") == student


def test_joint_schemes_are_those_whose_teacher_has_layers_to_name() -> None:
    assert JointCoupledSettings(hint_layer=2).hint_layer == 2
    with_layers = [
        kind
        for kind in get_args(SchemeKind)
        if "hint_layer" in type(read_student({"scheme": kind}).scheme).model_fields
    ]
    assert tuple(with_layers) == JOINT
