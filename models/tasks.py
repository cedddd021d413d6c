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

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Target(Frozen):
    """What a label's student must reach against its teacher before it may be promoted."""

    precision: Share = Field(0.80, description="The least precision.")
    recall: Share = Field(0.80, description="The least recall.")


class LabelSettings(Frozen):
    """One label of a task.

    `requires` and `excludes` name labels of this task (`label`) or of another (`task.label`). A label holds only
    where all it requires hold; a label that holds removes the labels it excludes.
    """

    target: Target = Field(Target(), description="What its student must reach.")
    requires: tuple[LabelRef, ...] = Field((), description="Labels that must hold too.")
    excludes: tuple[LabelRef, ...] = Field((), description="Labels that it removes where it holds.")


class TeacherSettings(Frozen):
    """The teacher: a Hugging Face model by folder or hub name, or a small BERT built and pretrained here."""

    model_config = ConfigDict(populate_by_name=True)

    source: str | None = Field(
        None, alias="from", description="A folder or hub name; `null` builds a small BERT and pretrains it here."
    )
    layers: PositiveInt = Field(2, description="Layers of the small BERT.")
    hidden: PositiveInt = Field(128, description="Width of the small BERT, a multiple of `heads`.")
    heads: PositiveInt = Field(2, description="Attention heads of the small BERT.")
    max_tokens: int = Field(64, ge=8, le=512, description="Longer texts are cut to this many tokens.")
    vocabulary_size: PositiveInt = Field(6000, description="Tokens of the small BERT.")
    pretrain_steps: int = Field(1500, ge=0, description="Batches of pretraining.")
    pretrain_seconds: PositiveFloat = Field(
        90.0, description="Time of pretraining; it ends by steps or by seconds, whichever come first."
    )
    pretrain_texts: PositiveInt = Field(60_000, description="Texts that pretraining reads.")
    epochs: PositiveInt = Field(6, description="Epochs of fine-tuning.")
    batch: PositiveInt = Field(32, description="Texts a step of fine-tuning.")
    learning_rate: PositiveFloat = Field(5e-4, description="Of fine-tuning, at the top of its ramp.")
    projection: PositiveInt = Field(32, description="Width of the stored [CLS] projection.")
    checkpoints: int = Field(
        0, ge=0, description="Intermediate checkpoints that are kept, for a student's `curriculum`."
    )


class StudentSettings(Frozen):
    """The student: kind, sizes, and how it learns.

    `textcnn` has `filters` of each width, `bow` has `filters` features, `bilstm` and `bigru` have `hidden` units each
    way.
    """

    kind: StudentKind = Field("textcnn", description="The network.")
    unit: Unit = Field("char", description="What becomes one id: a character, or a word as jieba finds it.")
    embedding: PositiveInt = Field(128, description="Width of the embedding of a character or word.")
    filters: PositiveInt = Field(128, description="Of `textcnn`: filters of each width; of `bow`: features.")
    widths: tuple[PositiveInt, ...] = Field((2, 3, 4), min_length=1, description="Of `textcnn`: widths of its windows.")
    hidden: PositiveInt = Field(64, description="Of `bilstm` and `bigru`: units in each direction.")
    dropout: float = Field(0.2, ge=0, lt=1, description="Of the features, before the last layer.")
    max_length: PositiveInt = Field(128, description="Longer texts are cut to this many characters or words.")
    vocabulary_size: PositiveInt = Field(6000, description="The most characters or words it has ids for.")
    epochs: PositiveInt = Field(6, description="How often it goes through its rows.")
    validation_share: float = Field(
        0.0, ge=0, lt=1, description="Share of the training rows that is kept back for early stopping (0: none)."
    )
    patience: PositiveInt = Field(
        3,
        description="Epochs without a better macro F1 on these after which training stops; the best epoch is kept.",
    )
    batch: PositiveInt = Field(64, description="Rows a step.")
    learning_rate: PositiveFloat = Field(2e-3, description="At the top of its ramp.")
    temperature: PositiveFloat = Field(1.0, description="Divides the logits in the soft loss.")
    soft_weight: Share = Field(0.7, description="The soft loss' share of the loss; the hard one has the rest.")
    scheme: Scheme = Field("offline", description="How it learns; see [schemes.md](schemes.md).")
    teachers: Mapping[str, PositiveFloat] = Field(
        default_factory=dict,
        description="Of `multi_teacher`: weights by model, or by `teacher`, the newest, and `live`, the student in "
        "force; these two alike by default.",
    )
    feedback_weight: NonNegativeFloat = Field(
        1.0, description="Of `joint_coupled`: the weight of the student's soft loss in the teacher's update."
    )
    feedback_learning_rate: PositiveFloat = Field(
        0.03, description="Of `joint_coupled`, and of plain descent: a step is as long as its gradient."
    )
    hint_weight: NonNegativeFloat = Field(
        0.0, description="Above 0 the student's features also learn to predict the teacher's [CLS]."
    )
    hint_layer: int = Field(
        -1, description="Of the joint schemes: the layer whose [CLS] it is; stored scores have the last one's."
    )
    curriculum: bool = Field(
        False, description="Learn from the teacher's intermediate checkpoints, the earliest first (not `joint_summed`)."
    )

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

    kind: TaskKind = Field(
        "multi_label",
        description="`multi_label`: each label is a yes-or-no question of its own; `multi_class`: a text has exactly "
        "one of the labels; `pair`: yes-or-no questions about two texts.",
    )
    phase: PositiveInt = Field(1, description="The phase in which the task was built.")
    scenes: tuple[Name, ...] = Field(min_length=1, description="The scenes whose texts it labels.")
    labels: dict[Name, LabelSettings] = Field(min_length=1, description="Its labels by name, in their order.")
    teacher: TeacherSettings = Field(TeacherSettings(), description="Its teacher.")
    student: StudentSettings = Field(StudentSettings(), description="Its student.")

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels in their declared order; a model made now keeps this order for ever."""
        return tuple(self.labels)

    def of(self, labels: Collection[str]) -> TaskSettings:
        """The task with those of its labels alone that are among these; there may be none."""
        return self.model_copy(
            update={"labels": {name: label for name, label in self.labels.items() if name in labels}}
        )
