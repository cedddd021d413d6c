"""What a source of texts looks like, and the limits of what is taken from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import PositiveFloat, PositiveInt, field_validator, model_validator

from models import digests
from models.tasks import Frozen

DELIMITERS = {"csv": b",", "tsv": b"\t"}
UTF_8: Final = "utf-8"


class SourceSettings(Frozen):
    """One source of texts: which files, and which of their columns are ours.

    `columns` maps our names to the source's (`text_b` is the second text of a pair); `constants` gives ours a fixed
    value. `event_time` may be ISO 8601, `2026-03-01 08:00:00`, epoch seconds or milliseconds; one without an offset is
    read in `timezone`. A file whose name ends in `.gz` is decompressed; `encoding` is that of its content.
    """

    path: str
    format: Literal["jsonl", "csv", "tsv", "parquet"]
    columns: Mapping[Literal["source_id", "text", "text_b", "event_time", "scene", "source"], str]
    constants: Mapping[Literal["event_time", "scene", "source"], str] = {}
    timezone: str = "Asia/Shanghai"
    encoding: Literal["utf-8", "gbk", "gb18030", "utf-16"] = UTF_8

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
        if self.format == "parquet" and self.encoding != UTF_8:
            raise ValueError(f"a Parquet file's strings are UTF-8, encoding {self.encoding} is not possible")
        return self

    @property
    def digest(self) -> str:
        """Names how a file is read; the folder it lies in does not matter."""
        told = self.model_dump(mode="json", exclude={"path"})
        if self.encoding == UTF_8:
            del told["encoding"]  # files loaded before there was a choice keep their names
        return digests.of_json(told, chars=16)

    @property
    def undecodable(self) -> str:
        """The reason of a record whose bytes are not of the source's encoding."""
        return f"not_{self.encoding.replace('-', '')}"

    def splits(self, path: str) -> bool:
        """Whether the file can be read from any of its bytes: one record a line, neither compressed nor converted."""
        return self.format == "jsonl" and self.encoding == UTF_8 and not path.endswith(".gz")


class IngestSettings(Frozen):
    """Limits of what is taken in; the rest is rejected with its reason."""

    max_text_chars: PositiveInt = 100_000
    split_bytes: PositiveInt = 16 << 20  # a JSONL file is read in ranges of this size
    max_rejected_share: float = 0.02
    follow_seconds: PositiveFloat = 10.0  # how often `--follow` looks for new files
    follow_files: PositiveInt = 1000  # new files taken at once by `--follow` and `--new`
