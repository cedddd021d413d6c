"""Tasks and their labels, as settings: what is labelled, by which teacher, through which student."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, PositiveFloat, PositiveInt, model_validator

from models.settings_base import Frozen, LabelRef, Name, Share
from models.student_settings import StudentSettings, TextCNNSettings

EVERY_SCENE, EVERY_TASK = "*", "*"
"""What stands for every scene of a task, and for every task, in thresholds and rules."""

TaskKind = Literal["multi_label", "multi_class", "pair"]
"""`multi_label`: every label is a yes-or-no question of its own; `multi_class`: a text has exactly one label; `pair`:
yes-or-no questions about two texts."""


SMALL_BERT_STEPS = 1500
"""Batches of pretraining of a small BERT where the settings name no number."""
MaskedShare = Annotated[float, Field(gt=0, lt=1)]
PoolingChoice = Literal["auto", "cls", "mean"]
"""What a teacher's last layer reads of a text: see `TeacherSettings.pooling`."""


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
    """The teacher: a Hugging Face model by folder or hub name, or a small one built and pretrained here."""

    model_config = ConfigDict(populate_by_name=True)

    source: str | None = Field(
        None,
        alias="from",
        description="A folder, or a name on the hub, which may have a revision behind it (`NAME@REVISION`); `null` "
        "begins with the small BERT that `pingti pretrain` makes here. With `pretrain_steps` it is pretrained further "
        "first.",
    )
    layers: PositiveInt = Field(2, description="Layers of the small BERT.")
    hidden: PositiveInt = Field(128, description="Width of the small BERT, a multiple of `heads`.")
    heads: PositiveInt = Field(2, description="Attention heads of the small BERT.")
    max_tokens: int = Field(64, ge=8, le=512, description="Longer texts are cut to this many tokens.")
    vocabulary_size: PositiveInt = Field(6000, description="Tokens of the small BERT.")
    pretrain_steps: int | None = Field(
        None,
        ge=0,
        description="Batches of 64 texts of pretraining; `null` is 1500 of the small BERT, and none of a model that "
        "`from` names.",
    )
    pretrain_texts: PositiveInt = Field(60_000, description="Texts that pretraining reads.")
    pretrain_objective: Literal["mlm", "rtd"] = Field(
        "mlm",
        description="What the model learns in pretraining: to guess hidden tokens (`mlm`), or to tell which tokens a "
        "small generator replaced (`rtd`, ELECTRA), without `from` alone.",
    )
    pretrain_masking: Literal["tokens", "whole_words"] = Field(
        "tokens",
        description="What pretraining hides: `tokens` one by one, or `whole_words` as jieba finds them; the share of "
        "hidden tokens is the same.",
    )
    pretrain_masked: MaskedShare | tuple[MaskedShare, MaskedShare] = Field(
        0.15,
        description="Share of the tokens that pretraining hides; of two numbers the one at its first step and the one "
        "at its last, in between it follows the line.",
    )
    pooling: PoolingChoice = Field(
        "auto",
        description="What the last layer reads of a text: its first token's state through the pooler (`cls`), or the "
        "`mean` of its tokens' states; `auto` takes the mean where the base brings no pooler that was trained.",
    )
    epochs: PositiveInt = Field(6, description="Epochs of fine-tuning; of its shortest schedule.")
    min_steps: int = Field(
        3000,
        ge=0,
        description="Schedules three times as long each are tried after it, up to so many steps, while the rows kept "
        "back gain by them; 0: only `epochs`.",
    )
    validation_share: float = Field(
        0.1,
        ge=0,
        le=0.5,
        description="Share of the rows that is kept back, where there are enough: they say how long to fine-tune and "
        "which weights stay, and calibrate the probabilities. Without any the longest schedule is the only one.",
    )
    patience: PositiveInt = Field(
        5, description="A schedule ends when the rows kept back have gained nothing for so many twentieths of it."
    )
    batch: PositiveInt = Field(32, description="Texts a step of fine-tuning.")
    learning_rate: PositiveFloat | None = Field(
        None,
        description="Of fine-tuning, at the top of its ramp; `null` goes by the base's width: 5e-4 at 128, 2e-4 at "
        "256, 1e-4 at 384, 4e-5 at 768.",
    )
    positive_weight: float = Field(
        10.0,
        ge=1,
        description="How much more a positive of a rare label (of less than a twentieth of the rows) may weigh than a "
        "negative, at most; the probabilities are corrected for it. 1 weighs all alike.",
    )
    processes: PositiveInt = Field(
        1,
        description="Processes that fine-tune together (data parallelism by Spark's `TorchDistributor`), each with a "
        "GPU of its own where there are some; each step reads a batch for each.",
    )
    projection: PositiveInt = Field(32, description="Width of the stored [CLS] projection.")
    checkpoints: int = Field(
        0, ge=0, description="Intermediate checkpoints that are kept, for a student's `curriculum`."
    )

    @model_validator(mode="after")
    def _detects_from_nothing(self) -> Self:
        if self.source is not None and self.pretrain_objective == "rtd":
            raise ValueError("pretrain_objective: rtd begins from nothing, expected no `from` beside it; set mlm")
        return self

    @property
    def pretraining_steps(self) -> int:
        """Batches of pretraining; 0 of a model that is taken as it is."""
        if self.pretrain_steps is not None:
            return self.pretrain_steps
        return SMALL_BERT_STEPS if self.source is None else 0

    @property
    def masked_shares(self) -> tuple[float, float]:
        """Share of the tokens that are hidden at the first step of pretraining, and at the last."""
        shares = self.pretrain_masked
        return shares if isinstance(shares, tuple) else (shares, shares)

    @property
    def is_pretrained_here(self) -> bool:
        """Whether a teacher begins as a model of `pingti pretrain`, not as the given one as it is."""
        return self.source is None or self.pretraining_steps > 0


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
    student: StudentSettings = Field(default_factory=TextCNNSettings, description="Its student.")

    @property
    def label_names(self) -> tuple[str, ...]:
        """The labels in their declared order; a model made now keeps this order for ever."""
        return tuple(self.labels)

    def of(self, labels: Collection[str]) -> TaskSettings:
        """The task with those of its labels alone that are among these; there may be none."""
        return self.model_copy(
            update={"labels": {name: label for name, label in self.labels.items() if name in labels}}
        )
