"""What a source of texts looks like, and the limits of what is taken from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, field_validator, model_validator

from models import digests
from models.settings_base import Frozen
from udfs.readers.dialects import DIALECTS, DialectSetting
from udfs.readers.formats import DELIMITED, FORMATS
from udfs.readers.text_encoding import UTF_8, Encoding
from udfs.readers.times import TIME_FORMS, TimeForm


class SourceSettings(Frozen):
    """One source of texts: which files, and which of their columns are ours.

    `columns` maps our names to the source's (`text_b` is the second text of a pair); `constants` gives ours a fixed
    value. An `event_time` without an offset is read in `timezone`. A file whose name ends in `.gz` is decompressed;
    `encoding` is that of its content.
    """

    path: str = Field(
        description="A file, a folder, or a pattern of `*`, `?`, `[1-3]`, `**` (any number of folders), `{a,b}` and "
        "`~`, of this machine or as a URI that Arrow opens (`hdfs://`, `s3://`). What exists by its literal name is no "
        "pattern."
    )
    optional: bool = Field(
        False, description="Whether it may have no file; else a load ends with code 4 and says so, when all else is in."
    )
    format: str = Field(description="The format of its files.", json_schema_extra={"enum": list(FORMATS)})
    columns: Mapping[Literal["source_id", "text", "text_b", "event_time", "scene", "source"], str] = Field(
        description="Our name of a column to theirs; `text_b` is the second text of a pair."
    )
    constants: Mapping[Literal["event_time", "scene", "source"], str] = Field(
        default_factory=dict,
        description="Fixed values of ours; each of `text`, `event_time`, `scene` and `source` must come from one of "
        "the two.",
    )
    timezone: str = Field("Asia/Shanghai", description="The zone of times without an offset.")
    time_format: TimeForm | None = Field(None, description=TIME_FORMS)
    dialect: DialectSetting | None = Field(None, description=DIALECTS)
    encoding: Encoding = Field(
        UTF_8, description="The encoding of the files; a Parquet file's strings are always UTF-8."
    )

    @field_validator("format")
    @classmethod
    def _known_format(cls, value: str) -> str:
        if value not in FORMATS:
            raise ValueError(f"not a format that can be read; known are {', '.join(FORMATS)}")
        return value

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError("not a time zone of the tz database, such as Asia/Shanghai") from None
        return value

    @model_validator(mode="after")
    def _complete(self) -> SourceSettings:
        given = set(self.columns) | set(self.constants)
        missing = sorted({"text", "event_time", "scene", "source"} - given)
        if missing:
            raise ValueError(f"neither columns nor constants give {', '.join(missing)}")
        twice = sorted(set(self.columns) & set(self.constants))
        if twice:
            raise ValueError(f"both columns and constants give {', '.join(twice)}")
        if self.dialect is not None and self.format not in DELIMITED:
            raise ValueError(f"dialect: only {' and '.join(DELIMITED)} have one")
        if not FORMATS[self.format].is_text and self.encoding != UTF_8:
            raise ValueError(
                f"a {self.format.capitalize()} file's strings are UTF-8, encoding {self.encoding} is not possible"
            )
        return self

    @property
    def digest(self) -> str:
        """Names how a file is read; the folder it lies in does not matter."""
        settings = self.model_dump(mode="json", exclude={"path", "optional"})
        for name in _LATER & settings.keys():  # files loaded before there was a choice keep their names
            if settings[name] == type(self).model_fields[name].default:
                del settings[name]
        return digests.of_json(settings, chars=16)

    @property
    def required_columns(self) -> Sequence[str]:
        """The columns of its files, all of which have to be there."""
        return tuple(dict.fromkeys(self.columns.values()))

    @property
    def optional_columns(self) -> Sequence[str]:
        """None."""
        return ()

    def splits(self, path: str) -> bool:
        """Whether the file can be read from any of its bytes."""
        return FORMATS[self.format].splits(path, self.encoding)


_LATER = {"encoding", "time_format", "dialect"}
_FIRST, _LAST = (moment.replace(tzinfo=UTC) for moment in (datetime.min, datetime.max))


@dataclass(frozen=True, slots=True)
class RecordLimits:
    """What a record may be at most; by default as long as 100,000 characters, and of any time.

    Attributes:
        max_text_chars: Of either text.
        earliest: The first event time that is taken.
        latest: The last one.
    """

    max_text_chars: int = 100_000
    earliest: datetime = _FIRST
    latest: datetime = _LAST


class IngestSettings(Frozen):
    """Limits of what is taken in; the rest is rejected with its reason."""

    max_text_chars: PositiveInt = Field(
        100_000, description="Longer texts are rejected as `too_long`, and so is any record over 8 MiB."
    )
    split_bytes: PositiveInt = Field(
        16 << 20, description="Plain JSONL in UTF-8 is read in ranges of this size, every other file in one."
    )
    driver_bytes: NonNegativeInt = Field(
        64 << 20,
        description="A load of at most 32 files and this many bytes is read and committed by the driver, without a "
        "session; what is compressed counts eight times its size. Greater ones are read by executors.",
    )
    max_rejected_share: float = Field(
        0.02,
        description="Above this share of a source's records nothing of it is loaded, and the job ends with code 4 when "
        "all else is in; records that were delivered before count neither way.",
    )
    earliest: date = Field(
        date(2000, 1, 1),
        description="Event times before this day (in UTC), or more than a day after the arrival, are rejected as "
        "`event_time_out_of_range`: one wrong clock would move the windows of rounds.",
    )
    same_id_days: NonNegativeInt = Field(
        7,
        description="A record's id is looked for among the texts of this many days before and after its own: what "
        "comes again with another event time than this is not found out.",
    )
    batch_files: PositiveInt = Field(
        10_000, description="New files that one commit takes; more are surveyed and loaded batch by batch."
    )
    follow_seconds: PositiveFloat = Field(10.0, description="How often `--follow` looks for new files.")
    follow_files: PositiveInt = Field(1000, description="New files that `--follow` and `--new` take in one batch.")

    def limits(self, arrival: datetime) -> RecordLimits:
        """The limits of records that arrive at a time (with its zone)."""
        earliest = datetime.combine(self.earliest, time(), UTC)
        return RecordLimits(self.max_text_chars, earliest, arrival + timedelta(days=1))
