"""What files of scores from outside look like: settings, and the layout that the readers ask for."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from pydantic import Field

from models.settings_base import Frozen, Name, Share
from udfs.annotation_settings import TOOLS_LISTS
from udfs.readers.dialects import DIALECTS, Dialect, DialectSetting
from udfs.readers.formats import FORMATS
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
class ScoreFiles:
    """Files of scores in one format, as the settings describe them (a `FileLayout`).

    Attributes:
        format: Its name.
        settings: The files' names for ours.
        labels: What the task calls its labels.
    """

    format: str
    settings: OutsideScoreSettings
    labels: Collection[str] = ()

    @property
    def encoding(self) -> Encoding:
        """That of the settings, but for a format that has one of its own."""
        return self.settings.encoding if FORMATS[self.format].is_text else UTF_8

    @property
    def dialect(self) -> Dialect | None:
        """That of the settings."""
        return self.settings.dialect

    @property
    def required_columns(self) -> Sequence[str]:
        """The columns that the settings name."""
        return [theirs for ours, theirs in self.settings.columns.items() if ours not in self.settings.constants]

    @property
    def optional_columns(self) -> Sequence[str]:
        """Our own names of what the settings do not speak of, labels, and what tools call lists of them."""
        ours = [name for name in COLUMNS if name not in {*self.settings.columns, *self.settings.constants}]
        return [*ours, *sorted({*self.labels, *self.settings.labels, *TOOLS_LISTS} - {*ours})]
