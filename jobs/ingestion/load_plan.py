"""Which files a load takes: those of the sources whose every record is not in the tables yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from jobs.lake import tables
from jobs.lake.store import Lake
from jobs.runtime.context import Context
from jobs.runtime.executors import map_batches
from jobs.runtime.job import Work
from models import digests
from models.errors import DataError, SettingsError
from udfs.readers.file_format import FileLayout
from udfs.readers.files import sized_files
from udfs.readers.sources import SourceSettings
from udfs.readers.survey import SURVEYS, UNREADABLE, Survey, surveyor

LISTED_DDL = "source_name string, path string"
FEW_FILES, FEW_BYTES = 32, 64 << 20

Listed = Sequence[tuple[str, str, int]]
"""Files: the name of their layout (for texts, of their source), path, and size in bytes."""


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


def plan(context: Context) -> Work[tuple[NewFile, ...]]:
    """Survey the sources' files and leave out those whose every record is in the tables already."""
    listed = list_sources(context.settings.sources, context.reporter.say)
    if not listed:
        paths = ", ".join(source.path for source in context.settings.sources.values())
        raise DataError(f"sources: no file at {paths}; mend sources.*.path, or bring the files")
    return plan_files(context.lake, context.settings.sources, listed)


def list_sources(sources: Mapping[str, SourceSettings], say: Callable[[str], None]) -> Listed:
    """Every file of every source, by the source's name."""
    if not sources:
        raise SettingsError("sources: the settings name none; add one under sources:, as docs/settings.md shows")
    files = {name: sized_files(source.path) for name, source in sources.items()}
    for name, sized in files.items():
        if not sized:
            say(f"  {name}: no file at {sources[name].path}")
    return [(name, path, size) for name, sized in files.items() for path, size in sized]


def plan_files(lake: Lake, sources: Mapping[str, SourceSettings], listed: Listed) -> Work[tuple[NewFile, ...]]:
    """Survey these files and leave out those whose every record is in the tables already."""
    if not listed:
        return Work()
    surveyed = []
    for name, survey in survey_files(lake, sources, listed):
        # Nothing tells two refused files apart but their names: all empty ones have the same bytes.
        also = [survey.path] if survey.refused else []
        load_id = digests.of_json([survey.sha256, sources[name].digest, *also], chars=32)
        surveyed.append((name, survey, load_id))
    there = loaded(lake, [load_id for _, _, load_id in surveyed])
    new = []
    for name, survey, load_id in surveyed:
        known = there.get(load_id, 0)
        if known < survey.records:
            new.append(NewFile(name, survey, load_id, known))
            there[load_id] = survey.records  # the same bytes under a second name are the same load
    return Work(tuple(file.step for file in new), tuple(new))


def survey_files(lake: Lake, layouts: Mapping[str, FileLayout], listed: Listed) -> list[tuple[str, Survey]]:
    """Each file's layout's name and survey, in their order: made here where they are few, else by executors.

    Raises:
        DataError: naming every file that cannot be opened.
    """
    look = surveyor(dict(layouts))
    rows: list[dict[str, Any]]
    if _are_few(listed):
        names, paths, _ = zip(*listed, strict=True)
        batch = pa.RecordBatch.from_pydict({"source_name": names, "path": paths})
        rows = [row for surveys in look(iter([batch])) for row in surveys.to_pylist()]
    else:
        named = [(name, path) for name, path, _ in listed]
        files = lake.spark.createDataFrame(named, LISTED_DDL).repartition(len(listed))
        rows = [row.asDict() for row in map_batches(files, look, SURVEYS).collect()]
    surveys = []
    for values in sorted(rows, key=lambda row: (row["source_name"], row["path"])):
        surveys.append((values.pop("source_name"), Survey(**values)))
    unreadable = [str(survey.detail) for _, survey in surveys if survey.refused == UNREADABLE]
    if unreadable:
        raise DataError(f"nothing was loaded; {'; '.join(unreadable)}")
    return surveys


def _are_few(listed: Listed) -> bool:
    """Whether the driver has looked through the files before executors have begun to."""
    return len(listed) <= FEW_FILES and sum(size for _, _, size in listed) <= FEW_BYTES


def loaded(lake: Lake, load_ids: list[str]) -> dict[str, int]:
    """How many records of these loads the tables hold. The log's statistics spare it the files of all other loads."""
    counted: Counter[str] = Counter()
    for table in (tables.RAW_TEXTS, tables.REJECTED):
        held = lake.arrow(table, "load_id", where=pc.field("load_id").isin(load_ids))
        for row in held.group_by("load_id").aggregate([([], "count_all")]).to_pylist():
            counted[row["load_id"]] += row["count_all"]
    return dict(counted)
