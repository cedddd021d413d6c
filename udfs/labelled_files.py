"""The layout that readers ask for, of files that say something of texts label by label: annotations, and scores."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from udfs.readers.dialects import Dialect, DialectSetting
from udfs.readers.formats import FORMATS
from udfs.readers.text_encoding import UTF_8, Encoding

TOOLS_LISTS = ("label", "labels", "cats")
"""What tools call a column of lists."""


class LabelledFileSettings(Protocol):
    """What the settings say of such files."""

    @property
    def columns(self) -> Mapping[Any, str]:
        """Our name of a column to the file's."""
        ...

    @property
    def constants(self) -> Mapping[Any, Any]:
        """Fixed values of ours."""
        ...

    @property
    def labels(self) -> Mapping[str, Any]:
        """The file's name of a label to ours."""
        ...

    @property
    def dialect(self) -> DialectSetting | None:
        """How fields are parted and quoted, where that is said."""
        ...

    @property
    def encoding(self) -> Encoding:
        """Of files of text."""
        ...


Settings = TypeVar("Settings", bound=LabelledFileSettings)


@dataclass(frozen=True, slots=True)
class LabelledFiles(Generic[Settings]):
    """Files of one format, as the settings describe them (a `FileLayout`).

    A column that the settings name has to be there; one that is called as ours, or as a label, is read where it is.

    Attributes:
        ours: Our names of columns, of each kind of file.
        format: The format's name.
        settings: The files' names for ours.
        labels: What the tasks call labels.
    """

    ours: ClassVar[Sequence[str]] = ()

    format: str
    settings: Settings
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
        ours = [name for name in self.ours if name not in {*self.settings.columns, *self.settings.constants}]
        return [*ours, *sorted({*self.labels, *self.settings.labels, *TOOLS_LISTS} - {*ours})]
