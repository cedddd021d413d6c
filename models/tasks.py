"""Tasks and their labels, as settings: what is labelled, by which teacher, through which student."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
LabelRef = Annotated[str, Field(pattern=r"^([a-z][a-z0-9_]{0,63}\.)?[a-z][a-z0-9_]{0,63}$")]
Share = Annotated[float, Field(ge=0, le=1)]

EVERY_SCENE, EVERY_TASK = "*", "*"
"""What stands for every scene of a task, and for every task, in thresholds and rules."""

TaskKind = Literal["multi_label", "multi_class", "pair"]
"""`multi_label`: every label is a yes-or-no question of its own; `multi_class`: a text has exactly one label; `pair`:
yes-or-no questions about two texts."""

StudentKind = Literal["textcnn", "bow", "bilstm", "bigru"]
Unit = Literal["char", "word"]
Scheme = Literal["offline", "joint_isolated", "joint_coupled", "joint_summed", "multi_teacher"]
JOINT: tuple[Scheme, ...] = ("joint_isolated", "joint_coupled", "joint_summed")


class Frozen(BaseModel):
    """Base of all settings: read once, never changed, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Target(Frozen):
    """What a label's student must reach against its teacher before it may be promoted."""

    precision: Share = 0.80
    recall: Share = 0.80


class LabelSettings(Frozen):
    """One label of a task.

    `requires` and `excludes` name labels of this task (`label`) or of another (`task.label`). A label holds only
    where all it requires hold; a label that holds removes the labels it excludes.
    """

    target: Target = Target()
    requires: tuple[LabelRef, ...] = ()
    excludes: tuple[LabelRef, ...] = ()


class TeacherSettings(Frozen):
    """The teacher: a Hugging Face model by folder or hub name, or (None) a small BERT built and pretrained here."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    source: str | None = Field(default=None, alias="from")
    layers: PositiveInt = 2
    hidden: PositiveInt = 128
    heads: PositiveInt = 2
    max_tokens: Annotated[int, Field(ge=8, le=512)] = 64
    vocabulary_size: PositiveInt = 6000
    pretrain_steps: Annotated[int, Field(ge=0)] = 1500
    pretrain_seconds: PositiveFloat = 90.0  # whichever of steps and seconds comes first ends the pretraining
    pretrain_texts: PositiveInt = 60_000
    epochs: PositiveInt = 6
    batch: PositiveInt = 32
    learning_rate: PositiveFloat = 5e-4
    projection: PositiveInt = 32  # width of the stored [CLS] projection
    checkpoints: Annotated[int, Field(ge=0)] = 0  # intermediate checkpoints that are kept, for a student's curriculum


class StudentSettings(Frozen):
    """The student: kind, sizes, and how it learns.

    `textcnn` has `filters` of each width, `bow` has `filters` features, `bilstm` and `bigru` have `hidden` units each
    way.
    """

    kind: StudentKind = "textcnn"
    unit: Unit = "char"  # what becomes one id: a character, or a word as jieba finds it
    embedding: PositiveInt = 128
    filters: PositiveInt = 128
    widths: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (2, 3, 4)
    hidden: PositiveInt = 64
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.2
    max_length: PositiveInt = 128
    vocabulary_size: PositiveInt = 6000
    epochs: PositiveInt = 6
    validation_share: Annotated[float, Field(ge=0, lt=1)] = 0.0  # of the training rows, kept back for early stopping
    patience: PositiveInt = 3  # epochs without a better validation F1 after which training stops
    batch: PositiveInt = 64
    learning_rate: PositiveFloat = 2e-3
    temperature: PositiveFloat = 1.0
    soft_weight: Share = 0.7  # the soft term's share of the loss, the hard term has the rest
    scheme: Scheme = "offline"
    teachers: Mapping[str, PositiveFloat] = Field(default_factory=dict)  # of multi_teacher: weights by model or role
    feedback_weight: NonNegativeFloat = 1.0  # of joint_coupled: the student's soft loss in the teacher's update
    feedback_learning_rate: PositiveFloat = 0.03  # of plain descent: a step is as long as its gradient
    hint_weight: NonNegativeFloat = 0.0  # above 0: the student's features also learn to predict the teacher's [CLS]
    hint_layer: int = -1  # of the joint schemes: whose [CLS]; stored scores have the last layer's
    curriculum: bool = False  # learn from the teacher's intermediate checkpoints, the earliest first

    @model_validator(mode="after")
    def _scheme_fits(self) -> StudentSettings:
        if self.teachers and self.scheme != "multi_teacher":
            raise ValueError(f"teachers are of the scheme multi_teacher, the scheme is {self.scheme}")
        if self.curriculum and self.scheme == "joint_summed":
            raise ValueError("curriculum: the teacher and the student of joint_summed make each step together")
        if self.hint_layer != -1 and self.scheme not in JOINT:
            raise ValueError(f"hint_layer: {self.scheme} reads stored scores, which have the last layer (-1) alone")
        return self


class TaskSettings(Frozen):
    """A set of labels of one kind, built in one phase, for the scenes it applies to."""

    kind: TaskKind = "multi_label"
    phase: PositiveInt = 1
    scenes: Annotated[tuple[Name, ...], Field(min_length=1)]
    labels: Annotated[dict[Name, LabelSettings], Field(min_length=1)]
    teacher: TeacherSettings = TeacherSettings()
    student: StudentSettings = StudentSettings()

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels in their declared order; a model made now keeps this order for ever."""
        return tuple(self.labels)

    def of(self, labels: Collection[str]) -> TaskSettings:
        """The task with those of its labels alone that are among these; there may be none."""
        return self.model_copy(
            update={"labels": {name: label for name, label in self.labels.items() if name in labels}}
        )
