"""Distillation schemes as settings: one model for each kind, so that a key of another kind is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, TypeAlias

from pydantic import BeforeValidator, Field, NonNegativeFloat, PositiveFloat

from models.settings_base import KIND_REQUIRED, Frozen, Share, kind_or, or_plain_name

SchemeKind = Literal["offline", "joint_isolated", "joint_coupled", "joint_summed", "multi_teacher"]
JOINT: tuple[SchemeKind, ...] = ("joint_isolated", "joint_coupled", "joint_summed")


class SchemeBase(Frozen):
    """What all schemes have."""

    temperature: PositiveFloat = Field(1.0, description="Divides the logits in the soft loss.")
    soft_weight: Share = Field(0.7, description="The soft loss' share of the loss; the hard one has the rest.")
    hint_weight: NonNegativeFloat = Field(
        0.0, description="Above 0 the student's features also learn to predict the teacher's [CLS]."
    )


_CURRICULUM = Field(False, description="Learn from the teacher's intermediate checkpoints, the earliest first.")
_STORED = "Learn from the teacher's intermediate checkpoints, the earliest first; needs `teacher.checkpoints`."


class OfflineSettings(SchemeBase):
    """The student learns from the teacher's stored logits, and the labels."""

    kind: Literal["offline"] = Field("offline", description="How teacher and student learn together.")
    curriculum: bool = Field(False, description=_STORED)
    hint_layer: ClassVar[int] = -1  # stored scores have the last layer's [CLS]


class MultiTeacherSettings(SchemeBase):
    """The student learns from the weighted average of several models' probabilities, and the labels."""

    model_config = KIND_REQUIRED

    kind: Literal["multi_teacher"] = Field("multi_teacher", description="How teacher and student learn together.")
    teachers: Mapping[str, PositiveFloat] = Field(
        default_factory=dict,
        description="Weights by model, or by `teacher`, the newest, and `live`, the student in force; these two alike "
        "by default.",
    )
    curriculum: bool = Field(False, description=_STORED)
    hint_layer: ClassVar[int] = -1


class JointBase(SchemeBase):
    """What the schemes have whose teacher learns beside the student."""

    model_config = KIND_REQUIRED

    hint_layer: int = Field(-1, description="The teacher's layer whose [CLS] the hints are.")


class JointIsolatedSettings(JointBase):
    """The student learns from the logits of a teacher that learns beside it, from the labels alone."""

    kind: Literal["joint_isolated"] = Field("joint_isolated", description="How teacher and student learn together.")
    curriculum: bool = _CURRICULUM


class JointCoupledSettings(JointBase):
    """As `joint_isolated`; the student's soft loss moves the teacher too, in a step of its own."""

    kind: Literal["joint_coupled"] = Field("joint_coupled", description="How teacher and student learn together.")
    curriculum: bool = _CURRICULUM
    feedback_weight: NonNegativeFloat = Field(
        1.0, description="The weight of the student's soft loss in the teacher's update."
    )
    feedback_learning_rate: PositiveFloat = Field(
        0.03, description="Of that update, which is plain descent: a step is as long as its gradient."
    )


class JointSummedSettings(JointBase):
    """Student and teacher make each step together, by one sum of their losses; there is no curriculum."""

    kind: Literal["joint_summed"] = Field("joint_summed", description="How teacher and student learn together.")
    curriculum: ClassVar[bool] = False


SchemeSettings: TypeAlias = Annotated[
    OfflineSettings | MultiTeacherSettings | JointIsolatedSettings | JointCoupledSettings | JointSummedSettings,
    Field(discriminator="kind", json_schema_extra=or_plain_name),
    BeforeValidator(kind_or("offline")),
]
"""A scheme of any kind; a plain name stands for it with its defaults."""
