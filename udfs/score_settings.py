"""What files of scores from outside look like: settings, and the layout that the readers ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

from pydantic import Field

from models.settings_base import Frozen, Name, Share
from udfs.labelled_files import LabelledFiles
from udfs.readers.dialects import DIALECTS, DialectSetting
from udfs.readers.text_encoding import UTF_8, Encoding

ScoreColumn = Literal["task", "label", "score", "scores", "text_id", "source", "source_id", "text", "text_b"]
COLUMNS: tuple[ScoreColumn, ...] = get_args(ScoreColumn)
Scale = Literal["probability", "logit"]
SCALES: tuple[Scale, ...] = get_args(Scale)


class OutsideScoreSettings(Frozen):
    """What files of scores from outside look like, where their columns are not called as ours.

    A record names its text (`text_id`; `source` and `source_id`; or `text`, of pairs with `text_b`) and its scores: a
    `label` and its `score`; a column for each label; an object `scores` of labels; or the labels alone that hold.
    """

    columns: Mapping[ScoreColumn, str] = Field(
        default_factory=dict, description="Our name of a column to the file's; a column that is named has to be there."
    )
    constants: Mapping[ScoreColumn, str] = Field(default_factory=dict, description="Fixed values of ours.")
    labels: Mapping[str, Name | None] = Field(
        default_factory=dict,
        description="The file's name of a label to ours; `null`: it says nothing. A label of ours that is mapped to "
        "`null` was not asked for, and the teacher does not know it.",
    )
    list_separator: str | None = Field(
        None, min_length=1, description="Between labels in one cell, as in `annotations.list_separator`."
    )
    scale: Scale = Field(
        "probability",
        description="What a score is: a `probability` from 0 to 1 (yes is 1, no is 0), or a `logit`. `--scale` comes "
        "before it.",
    )
    max_set_aside_share: Share = Field(
        0.5,
        description="A file of whose records more than this share is set aside gives nothing, and the import ends with "
        "code 4 when all else is in.",
    )
    dialect: DialectSetting | None = Field(None, description=DIALECTS)
    encoding: Encoding = Field(UTF_8, description="The encoding of files of text.")


@dataclass(frozen=True, slots=True)
class ScoreFiles(LabelledFiles[OutsideScoreSettings]):
    """Files of scores from outside in one format."""

    ours: ClassVar[Sequence[str]] = COLUMNS
