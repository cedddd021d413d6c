"""Which files a load takes: those of the sources whose every record is not in the tables yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.lake import tables
from jobs.runtime.job import Context, Work
from models import digests
from models.errors import DataError, SettingsError
from udfs.build import same_build
from udfs.readers.files import sized_files
from udfs.readers.survey import SURVEY_DDL, UNREADABLE, Survey, surveyor

LISTED_DDL = "source_name string, path string"
FEW_FILES, FEW_BYTES = 32, 64 << 20

Listed = Sequence[tuple[str, str, int]]
"""Files: their source's name, path, and size in bytes."""


@dataclass(frozen=True, slots=True)
class NewFile:
    """A surveyed file that was not loaded before; `load_id` names its bytes and how they are read.

    `known` is how many of its rows are in `rejected` already, by a run that was killed before its second commit.
    """

    source_name: str
    survey: Survey
    load_id: str
    known: int = 0

    @property
    def step(self) -> str:
        """What would be done with it, in words."""
        if self.survey.refused:
            return f"refuse {self.survey.path}: {self.survey.refused}, {self.survey.detail}"
        return f"load {self.survey.records:,} records of {self.survey.path}"


def plan(context: Context) -> Work:
    """Survey the sources' files and leave out those whose every record is in the tables already."""
    listed = list_sources(context)
    if not listed:
        paths = ", ".join(source.path for source in context.settings.sources.values())
        raise DataError(f"sources: no file at {paths}; mend sources.*.path, or bring the files")
    return plan_files(context, listed)


def list_sources(context: Context) -> Listed:
    """Every file of every source, by the source's name."""
    sources = context.settings.sources
    if not sources:
        raise SettingsError("sources: the settings name none; add one under sources:, as docs/settings.md shows")
    found = {name: sized_files(source.path) for name, source in sources.items()}
    for name, files in found.items():
        if not files:
            context.reporter.say(f"  {name}: no file at {sources[name].path}")
    return [(name, path, size) for name, files in found.items() for path, size in files]


def plan_files(context: Context, listed: Listed) -> Work:
    """Survey these files and leave out those whose every record is in the tables already."""
    if not listed:
        return Work((), ())
    sources = context.settings.sources
    found = []
    for name, one in _surveyed(context, listed):
        # Nothing tells two refused files apart but their names: all empty ones have the same bytes.
        also = [one.path] if one.refused else []
        found.append((name, one, digests.of_json([one.sha256, sources[name].digest, *also], chars=32)))
    there = loaded(context, [load_id for _, _, load_id in found])
    new = []
    for name, one, load_id in found:
        known = there.get(load_id, 0)
        if known < one.records:
            new.append(NewFile(name, one, load_id, known))
            there[load_id] = one.records  # the same bytes under a second name are the same load
    return Work(tuple(file.step for file in new), tuple(new))


def _surveyed(context: Context, listed: Listed) -> list[tuple[str, Survey]]:
    look = surveyor(dict(context.settings.sources))
    rows: list[dict[str, Any]]
    if _are_few(listed):
        names, paths, _ = zip(*listed, strict=True)
        batch = pa.RecordBatch.from_pydict({"source_name": names, "path": paths})
        rows = [row for surveys in look(iter([batch])) for row in surveys.to_pylist()]
    else:
        named = [(name, path) for name, path, _ in listed]
        files = context.spark.createDataFrame(named, LISTED_DDL).repartition(len(listed))
        rows = [row.asDict() for row in files.mapInArrow(same_build(look), SURVEY_DDL).collect()]
    found = []
    for values in sorted(rows, key=lambda row: (row["source_name"], row["path"])):
        found.append((values.pop("source_name"), Survey(**values)))
    unreadable = [str(one.detail) for _, one in found if one.refused == UNREADABLE]
    if unreadable:
        raise DataError(f"ingest: nothing was loaded; {'; '.join(unreadable)}")
    return found


def _are_few(listed: Listed) -> bool:
    """Whether the driver has looked through the files before executors have begun to."""
    return len(listed) <= FEW_FILES and sum(size for _, _, size in listed) <= FEW_BYTES


def loaded(context: Context, load_ids: list[str]) -> dict[str, int]:
    """How many records of these loads the tables hold. Delta's statistics spare it the files of all other loads."""
    own = F.col("load_id").isin(load_ids)
    both: list[DataFrame] = [
        context.lake.read(table).where(own).groupBy("load_id").count() for table in (tables.RAW_TEXTS, tables.REJECTED)
    ]
    counted = both[0].unionByName(both[1]).groupBy("load_id").agg(F.sum("count").alias("rows"))
    return {row["load_id"]: row["rows"] for row in counted.collect()}
