"""What a source of texts looks like, and its files: listed, surveyed, cut into ranges."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from typing import Literal
from urllib.parse import quote, urlparse
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pyarrow.fs as pafs
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import PositiveInt, field_validator, model_validator

from models import digests
from models.errors import DataError
from models.tasks import Frozen

_BLOCK = 4 << 20
DELIMITERS = {"csv": b",", "tsv": b"\t"}


class SourceSettings(Frozen):
    """One source of texts: which files, and which of their columns are ours.

    `columns` maps our names to the source's; `constants` gives ours a fixed value. `event_time` may be ISO 8601,
    `2026-03-01 08:00:00`, epoch seconds or milliseconds; one without an offset is read in `timezone`.
    """

    path: str
    format: Literal["jsonl", "csv", "tsv", "parquet"]
    columns: Mapping[Literal["source_id", "text", "event_time", "scene", "source"], str]
    constants: Mapping[Literal["event_time", "scene", "source"], str] = {}
    timezone: str = "Asia/Shanghai"

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
        return self

    @property
    def digest(self) -> str:
        """Names how a file is read; the folder it lies in does not matter."""
        return digests.of_json(self.model_dump(mode="json", exclude={"path"}), chars=16)


class IngestSettings(Frozen):
    """Limits of what is taken in; the rest is rejected with its reason."""

    max_text_chars: PositiveInt = 100_000
    split_bytes: PositiveInt = 16 << 20  # a JSONL file is read in ranges of this size
    max_rejected_share: float = 0.02


@dataclass(frozen=True, slots=True)
class Survey:
    """A file's digest, size and number of records, counted without the parser."""

    path: str
    sha256: str
    size: int
    records: int


def list_files(pattern: str) -> list[str]:
    """The files that a path names, sorted: a file, a folder's files, or a glob; any URI that Arrow can open."""
    if urlparse(pattern).scheme and "://" in pattern:
        return sorted(_list_uri(pattern))
    named = sorted(glob.glob(pattern))  # noqa: PTH207 (the pattern may start at any root)
    infos = pafs.LocalFileSystem().get_file_info(named)
    paths = [info.path for info in infos if info.type == pafs.FileType.File]
    for info in infos:
        if info.type == pafs.FileType.Directory:
            inside = pafs.LocalFileSystem().get_file_info(pafs.FileSelector(info.path))
            paths += [child.path for child in inside if child.type == pafs.FileType.File]
    return sorted(path for path in paths if _is_data(path))


def _list_uri(pattern: str) -> Iterator[str]:
    uri = urlparse(pattern)
    try:
        filesystem, path = pafs.FileSystem.from_uri(pattern)
    except (OSError, ValueError) as error:
        raise DataError(f"{pattern}: not a place that can be read ({type(error).__name__}); mend its path") from None
    found = [filesystem.get_file_info(path)]
    if found[0].type == pafs.FileType.Directory:
        found = filesystem.get_file_info(pafs.FileSelector(path))
    for info in found:
        if info.type == pafs.FileType.File and _is_data(info.path):
            inside = quote(info.path.removeprefix(path.rstrip("/")))  # empty for the file itself
            yield uri._replace(path=uri.path.rstrip("/") + inside).geturl()


def _is_data(path: str) -> bool:
    """Hidden files and marks such as `_SUCCESS` are none."""
    return not path.rsplit("/", 1)[-1].startswith((".", "_"))


@contextmanager
def open_file(path: str) -> Iterator[BufferedReader]:
    """A file of any file system that Arrow knows, buffered and seekable."""
    if "://" in path:
        filesystem, inside = pafs.FileSystem.from_uri(path)
    else:
        filesystem, inside = pafs.LocalFileSystem(), path
    try:
        native = filesystem.open_input_file(inside)
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({type(error).__name__}); check path and rights") from None
    with native:
        yield BufferedReader(native, _BLOCK)


def survey(path: str, kind: str) -> Survey:
    """Digest, size and record count of a file, by another way than the parser's, so that the two can be compared."""
    digest = hashlib.sha256()
    size = 0
    counter = _CsvCounter(DELIMITERS[kind]) if kind in DELIMITERS else _LineCounter()
    with open_file(path) as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
            if kind != "parquet":
                counter.feed(block)
        records = counter.records()
        if kind == "parquet":
            file.seek(0)
            try:
                records = pq.ParquetFile(file).metadata.num_rows
            except Exception as error:
                raise DataError(f"{path}: not a Parquet file ({type(error).__name__}); check the source") from None
    return Survey(path, digest.hexdigest(), size, records)


class _LineCounter:
    """Counts lines with anything but blanks in them."""

    def __init__(self) -> None:
        self._count = 0
        self._rest = b""
        self._first = True  # the file's first line may begin with a byte order mark

    def feed(self, block: bytes) -> None:
        *lines, self._rest = (self._rest + block).split(b"\n")
        self._count += sum(1 for line in lines if self._filled(line))

    def records(self) -> int:
        return self._count + self._filled(self._rest)

    def _filled(self, line: bytes) -> bool:
        mark, self._first = b"\xef\xbb\xbf" if self._first else b"", False
        return bool(line.removeprefix(mark).strip())


class _CsvCounter:
    """Counts line ends outside quotes, less the header and empty lines.

    A quote opens only where a field begins, and a doubled one inside stands for itself (RFC 4180, and what Python's
    csv does with a quote elsewhere): `5" pipe,1` has no quoted field.
    """

    def __init__(self, delimiter: bytes) -> None:
        self._field_starts = frozenset(delimiter + b"\r\n")
        self._ends = 0
        self._inside = False
        self._filled = False
        self._before = 0x0A  # the byte before the block
        # Quotes at a block's end, for the next block says what they mean; None before the first block.
        self._rest: bytes | None = None

    def feed(self, block: bytes) -> None:
        block = block.removeprefix(b"\xef\xbb\xbf") if self._rest is None else self._rest + block
        kept = block.rstrip(b'"')
        self._rest = block[len(kept) :]
        if kept:
            self._count(kept)

    def records(self) -> int:
        if self._rest:
            self._count(self._rest)
            self._rest = b""
        return max(0, self._ends + self._filled - 1)

    def _count(self, block: bytes) -> None:
        data = np.frombuffer(block, np.uint8)
        turns = self._turns(data)
        breaks = np.flatnonzero(data == 0x0A)
        ends = breaks[(np.searchsorted(turns, breaks) + self._inside) % 2 == 0]
        content = np.concatenate(([self._filled], np.cumsum((data != 0x0A) & (data != 0x0D)) + self._filled))
        marks = content[ends]
        before = np.concatenate(([0], marks[:-1])) if len(ends) else marks
        self._ends += int(np.count_nonzero(marks > before))
        self._filled = bool(content[-1] > (marks[-1] if len(ends) else 0))
        self._inside = bool((len(turns) + self._inside) % 2)
        self._before = block[-1]

    def _turns(self, data: NDArray[np.uint8]) -> NDArray[np.int64]:
        """Where quoted fields open and close, in turn."""
        quotes = np.flatnonzero(data == 0x22)
        before = np.where(quotes > 0, data[quotes - 1], self._before)
        opens = np.isin(before, list(self._field_starts)).tolist()
        turns: list[int] = []
        inside, doubled = self._inside, -1
        for at, opening in zip(quotes.tolist(), opens, strict=True):
            if at == doubled:
                continue
            if inside and at + 1 < len(data) and data[at + 1] == 0x22:
                doubled = at + 1
            elif inside or opening:
                inside = not inside
                turns.append(at)
        return np.array(turns, np.int64)
