"""Where scores from outside lie: files of any format, and Delta tables by path, URI or name in the catalog."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow as pa
from delta import DeltaTable as SparkDeltaTable
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError
from pyspark.errors import PySparkException

from jobs.ingestion.file_survey import survey_files
from jobs.ingestion.named_files import listed_at, refusal_of
from jobs.lake.store import Lake
from models.errors import DataError
from models.text.rules import Cleaner
from udfs.readers.files import is_gzip
from udfs.readers.formats import FORMATS
from udfs.readers.record_spans import RecordSpan
from udfs.readers.survey import Survey
from udfs.readers.text_encoding import UTF_8, undecodable
from udfs.score_parsing import parse_file, parse_spans
from udfs.score_settings import ScoreFiles
from udfs.score_values import ScoreRules
from udfs.storage import Storage, is_uri, without_file_scheme

SECTION = "outside_scores"
MOST_RECORDS = 2_000_000
"""Of one import: the driver holds them. `teacher_scores` is a sample, and `teacher ask` writes which."""
_NAME = re.compile(r"\w+(\.\w+){0,2}")
_READ = frozenset({"timestampNtz"})  # features of a table whose rows delta-rs reads as they are
Options = Callable[[], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class FileSource:
    """A file of scores, surveyed."""

    survey: Survey
    layout: ScoreFiles

    @property
    def place(self) -> str:
        """Its path."""
        return self.survey.path

    @property
    def identity(self) -> str:
        """Its name and the digest of its bytes: the same file elsewhere is the same."""
        return f"{PurePosixPath(self.place).name} {self.survey.sha256}"

    @property
    def records(self) -> int:
        """How many it holds, counted without the parser."""
        return self.survey.records

    def parsed(self, rules: ScoreRules, cleaner: Cleaner) -> Iterator[dict[str, Any]]:
        """A row (`udfs.score_parsing.PARSED`) a record."""
        return parse_file(self.place, self.layout, rules, cleaner)


@dataclass(frozen=True, slots=True)
class TableSource:
    """A Delta table of scores at one of its versions.

    Attributes:
        place: As it was named.
        identity: Its own id and the version.
        records: How many rows it has.
        batches: Reads its rows, of the columns that scores can be in.
    """

    place: str
    identity: str
    records: int
    batches: Callable[[], Iterable[pa.RecordBatch]]

    def parsed(self, rules: ScoreRules, cleaner: Cleaner) -> Iterator[dict[str, Any]]:
        """A row (`udfs.score_parsing.PARSED`) a row of the table."""
        return parse_spans(self.place, _spans(self.batches()), rules, cleaner, undecodable(UTF_8))


ScoreSource = FileSource | TableSource


def sources_at(lake: Lake, places: Sequence[str], rules: ScoreRules, options: Options) -> list[ScoreSource]:
    """The files and tables at all places, each once.

    Args:
        lake: Whose session knows tables by name, and surveys many files.
        places: A file, a folder of them, a pattern, a Delta table's folder or URI, or its name.
        rules: What makes their records scores.
        options: How object stores are reached, as delta-rs names it.

    Raises:
        DataError: A place has nothing, a file is refused whole, or there are more records than an import takes.
    """
    found: list[ScoreSource] = []
    files: list[str] = []
    for place in dict.fromkeys(places):
        table = _table(lake, without_file_scheme(place), rules, options)
        if table is None:
            files.append(place)
        else:
            found.append(table)
    if files:
        found += _files(lake, files, rules)
    if (records := sum(one.records for one in found)) > MOST_RECORDS:
        raise DataError(
            f"teacher import-scores: got {records:,} records, at most {MOST_RECORDS:,} are taken at once; bring the "
            "scores of the texts that `pingti teacher ask` writes"
        )
    return found


def _files(lake: Lake, places: Sequence[str], rules: ScoreRules) -> list[ScoreSource]:
    listed = listed_at(places)
    layouts = {name: ScoreFiles(name, rules.settings, frozenset(rules.labels)) for name in FORMATS}
    files = [FileSource(survey, layouts[file.source_name]) for file, survey in survey_files(lake, layouts, listed)]
    if refused := [refusal_of(file.survey, SECTION) for file in files if file.survey.refused]:
        raise DataError(f"{'; '.join(refused)}; nothing was imported")
    return [*files]


def _table(lake: Lake, place: str, rules: ScoreRules, options: Options) -> TableSource | None:
    """The table at a place; None where files are meant."""
    if is_uri(place):
        return _opened(lake, place, place, rules, options) if _is_table(place, options) else None
    if (Path(place) / "_delta_log").is_dir():
        return _opened(lake, place, str(Path(place).resolve()), rules, options)
    if not _NAME.fullmatch(place) or _is_of_files(place) or Path(place).exists():
        return None
    return _by_name(lake, place, rules, options)


def _is_of_files(place: str) -> bool:
    """Whether a name is a file's of a known format, or a pattern."""
    name = place[:-3] if is_gzip(place) else place
    return any(sign in name for sign in "*?[{") or PurePosixPath(name).suffix.lower().removeprefix(".") in FORMATS


def _is_table(uri: str, options: Options) -> bool:
    if _is_of_files(uri):
        return False
    try:
        return bool(DeltaTable.is_deltatable(uri, dict(options())))
    except (DeltaError, OSError, ValueError):  # a store that delta-rs does not know
        return False


def _by_name(lake: Lake, name: str, rules: ScoreRules, options: Options) -> TableSource:
    quoted = ".".join(f"`{part}`" for part in name.split("."))
    try:
        told = lake.spark.sql(f"DESCRIBE DETAIL {quoted}").collect()[0]
    except PySparkException as error:
        raise DataError(
            f"{name}: neither a file, nor a Delta table that the session's catalog knows "
            f"({error.getCondition() or type(error).__name__}); give a path, or schema.table"
        ) from None
    if told["format"] != "delta":
        raise DataError(f"{name}: a table of the format {told['format']}, expected delta; give its files, or a copy")
    return _opened(lake, name, without_file_scheme(told["location"]), rules, options, quoted)


def _opened(
    lake: Lake, place: str, at: str, rules: ScoreRules, options: Options, name: str | None = None
) -> TableSource:
    """The table at a path or URI; by the session where delta-rs does not read it."""
    layout = ScoreFiles("parquet", rules.settings, frozenset(rules.labels))
    reached = dict(options()) if is_uri(at) else {}
    try:
        table = DeltaTable(at, storage_options=reached)
        protocol = table.protocol()
        if protocol.min_reader_version == 2 or {*(protocol.reader_features or ())} - _READ:
            raise DeltaError("its rows are not those of its files alone")
        dataset = table.to_pyarrow_dataset(filesystem=Storage(at, reached).open())
    except (DeltaError, OSError, ValueError):
        return _by_spark(lake, place, at, layout, name)
    columns = _columns(place, dataset.schema.names, layout)
    identity = f"{table.metadata().id} {table.version()}"
    return TableSource(place, identity, dataset.count_rows(), partial(dataset.to_batches, columns=columns))


def _by_spark(lake: Lake, place: str, at: str, layout: ScoreFiles, name: str | None) -> TableSource:
    spark = lake.spark
    try:
        frame = spark.table(name) if name else spark.read.format("delta").load(at)
        delta = SparkDeltaTable.forName(spark, name) if name else SparkDeltaTable.forPath(spark, at)
        version, own = delta.history(1).collect()[0]["version"], delta.detail().collect()[0]["id"]
    except PySparkException as error:
        told = error.getCondition() or type(error).__name__
        raise DataError(f"{place}: no Delta table that can be opened ({told}); give a file or a table") from None
    chosen = frame.select(*_columns(place, frame.columns, layout))
    return TableSource(place, f"{own} {version}", frame.count(), lambda: chosen.toArrow().to_batches())


def _columns(place: str, there: Sequence[str], layout: ScoreFiles) -> list[str]:
    if missing := [name for name in dict.fromkeys(layout.required_columns) if name not in there]:
        raise DataError(f"{place}: no column {', '.join(missing)}; name the table's own in {SECTION}.columns")
    return sorted({*layout.required_columns, *(name for name in layout.optional_columns if name in there)})


def _spans(batches: Iterable[pa.RecordBatch]) -> Iterator[RecordSpan]:
    """The rows as records; the bytes of each are its values as JSON."""
    position = 0
    for batch in batches:
        for values in batch.to_pylist():
            raw = json.dumps(values, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass")
            yield RecordSpan(position, raw, partial(dict, values))
            position += 1
