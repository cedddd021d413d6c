"""Students as settings: one model for each kind of network, so that a size of another kind is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, Field, PositiveFloat, PositiveInt, TypeAdapter

from models.scheme_settings import OfflineSettings, SchemeSettings
from models.settings_base import KIND_REQUIRED, Frozen, as_kind, kind_or, or_plain_name

StudentKind = Literal["textcnn", "bow", "bilstm", "bigru"]
Unit = Literal["char", "word"]


class StudentBase(Frozen):
    """What all students have: how they read texts, their schedule and their scheme."""

    unit: Unit = Field("char", description="What becomes one id: a character, or a word as jieba finds it.")
    embedding: PositiveInt = Field(128, description="Width of the embedding of a character or word.")
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
    scheme: SchemeSettings = Field(
        default_factory=OfflineSettings, description="How it learns: the name of a scheme, or its keys."
    )


class TextCNNSettings(StudentBase):
    """Convolutions over neighbouring characters or words."""

    kind: Literal["textcnn"] = Field("textcnn", description="The network.")
    filters: PositiveInt = Field(128, description="Filters of each width.")
    widths: tuple[PositiveInt, ...] = Field((2, 3, 4), min_length=1, description="Widths of its windows.")


class BOWSettings(StudentBase):
    """A bag of characters or words, summed and read by one layer."""

    model_config = KIND_REQUIRED

    kind: Literal["bow"] = Field("bow", description="The network.")
    filters: PositiveInt = Field(128, description="Features of its layer.")


class RecurrentSettings(StudentBase):
    """A bidirectional recurrent network."""

    model_config = KIND_REQUIRED

    kind: Literal["bilstm", "bigru"] = Field(description="The network.")
    hidden: PositiveInt = Field(64, description="Units in each direction.")


StudentSettings: TypeAlias = Annotated[
    TextCNNSettings | BOWSettings | RecurrentSettings,
    Field(discriminator="kind", json_schema_extra=or_plain_name),
    BeforeValidator(kind_or("textcnn")),
]
"""A student of any kind; without a `kind` it is a TextCNN."""

_STUDENTS: TypeAdapter[StudentSettings] = TypeAdapter(StudentSettings)


def read_student(values: Mapping[str, Any]) -> StudentSettings:
    """The student that these keys describe; pydantic's `ValidationError` for any that its kind or scheme lacks."""
    return _STUDENTS.validate_python(dict(values))


def with_kind(student: StudentSettings, kind: str, **changes: Any) -> StudentSettings:
    """The student as another kind: what both kinds have stays, its scheme included, the rest is by default."""
    return read_student(as_kind(student, StudentSettings, kind) | changes)


def with_scheme(student: StudentSettings, kind: str, **changes: Any) -> StudentSettings:
    """The student with a scheme of another kind: what both kinds have stays, the rest is by default."""
    scheme = as_kind(student.scheme, SchemeSettings, kind)
    return read_student(student.model_dump() | {"scheme": scheme | changes})
