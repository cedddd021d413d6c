"""What files of human labels look like: settings, and the layout that the readers ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from pydantic import Field, model_validator

from models.settings_base import Frozen, Name, Share
from udfs.labelled_files import LabelledFiles
from udfs.readers.dialects import DIALECTS, DialectSetting
from udfs.readers.text_encoding import UTF_8, Encoding
from udfs.readers.times import TIME_FORMS, TimeForm

AnnotationColumn = Literal[
    "task", "label", "value", "annotator", "annotated_at", "text_id", "source", "source_id", "text", "text_b",
    "dt", "event_time",
]  # fmt: skip
COLUMNS: tuple[AnnotationColumn, ...] = get_args(AnnotationColumn)
Shape = Literal["long", "list", "wide", "label_studio", "doccano"]


class AnnotationSettings(Frozen):
    """What files of human labels look like, where their columns are not called as ours.

    A row of the long form needs a `value` (true or false): in the file, or here.
    """

    shape: Shape | None = Field(
        None,
        description="`long`: a row says of one label whether it holds. `list`: a row has the labels that hold, in one "
        "column. `wide`: a column for each label. `label_studio` (JSON), `doccano` (JSONL): as these export. Without "
        "it what the file's columns and values cannot be mistaken for, else `long`.",
    )
    columns: Mapping[AnnotationColumn, str] = Field(
        default_factory=dict, description="Our name of a column to the file's; a column that is named has to be there."
    )
    constants: Mapping[AnnotationColumn, str] = Field(default_factory=dict, description="Fixed values of ours.")
    labels: Mapping[str, Name | None] = Field(
        default_factory=dict,
        description="The file's name of a label to ours; `null`: it says nothing. In the wide form these, and the "
        "tasks' own names of labels, are the columns that are labels.",
    )
    list_separator: str | None = Field(
        None,
        min_length=1,
        description="Between labels in one cell. Without it a cell is a JSON list, a label, or labels of the settings "
        "with one of `|`, `,`, `;`, `#`, `、`, `，` or `；` between them.",
    )
    unlisted: Literal["unknown", "denied"] = Field(
        "unknown",
        description="What a list, or a row of the wide form, says of labels that it does not have: `denied`: that they "
        "do not hold, of the task's other labels, or of the other columns. An empty list (`[]`) denies all; an empty "
        "cell of a list, or a wide row without any value, says nothing: nobody may have looked at it.",
    )
    several_days: Literal["set_aside", "earliest"] = Field(
        "set_aside",
        description="What becomes of an annotation by source and text where such a text is of several days: set aside "
        "as `annotation_ambiguous`, unless `dt` or `event_time` names the day, or given to the earliest. An annotation "
        "of a test day may reach training so.",
    )
    max_set_aside_share: Share = Field(
        0.5,
        description="A file of whose records more than this share is set aside gives nothing, and the import ends with "
        "code 4 when all else is in.",
    )
    time_format: TimeForm | None = Field(None, description=TIME_FORMS)
    dialect: DialectSetting | None = Field(None, description=DIALECTS)
    encoding: Encoding = Field(UTF_8, description="The encoding of files of text.")

    @model_validator(mode="after")
    def _lists_have_unlisted(self) -> AnnotationSettings:
        if self.shape == "long" and self.unlisted == "denied":
            raise ValueError("unlisted: a row of shape long speaks of its own label alone; shape: list has others")
        return self


@dataclass(frozen=True, slots=True)
class AnnotationFiles(LabelledFiles[AnnotationSettings]):
    """Files of annotations in one format."""

    ours: ClassVar[Sequence[str]] = COLUMNS
