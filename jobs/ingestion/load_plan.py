"""Which files a load takes: those of the sources that `loads` does not know by name, size and time.

Only such files are opened. What a file holds is known by its digest: bytes that were loaded under any name are noted
and not loaded again, and a file of lines that has grown goes on where it ended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from jobs.ingestion.file_survey import ListedFile, survey_files
from jobs.ingestion.source_files import list_sources, missing_files
from jobs.lake import loads, tables
from jobs.lake.loads import Held
from jobs.lake.store import Lake
from jobs.runtime.context import Context
from jobs.runtime.job import Work
from models import digests
from models.errors import DataError, SettingsError
from udfs.readers.sources import IngestSettings, SourceSettings
from udfs.readers.survey import CHANGED, Content, Survey

COMMITTED = (tables.REJECTED, tables.RAW_TEXTS, tables.LOADS)
"""What a load commits to, in this order."""


@dataclass(frozen=True, slots=True)
class NewFile:
    """A surveyed file with records that are not accounted for; `load_id` names its bytes and how they are read.

    Attributes:
        listed: The file as it was listed.
        layout: The digest of how it is read.
        survey: What it holds.
        load_id: Of the load.
        recorded: What `loads` tells of it.
        held: Its rows in the tables that `loads` does not tell of: a run was killed after its first commit.
    """

    listed: ListedFile
    layout: str
    survey: Survey
    load_id: str
    recorded: Counter[str]
    held: tuple[Held, ...] = ()

    @property
    def left(self) -> int:
        """The records that no table has."""
        return self.survey.records - self.recorded["records"] - sum(one.raw + one.rejected for one in self.held)

    @property
    def raw(self) -> int:
        """Its raw texts that are there."""
        return self.recorded["raw"] + sum(one.raw for one in self.held)

    @property
    def rejected(self) -> int:
        """Its rejected records that are there."""
        return self.recorded["rejected"] + sum(one.rejected for one in self.held)

    @property
    def step(self) -> str:
        """What would be done with it, in words."""
        survey = self.survey
        if survey.refused:
            return f"refuse {survey.path}: {survey.refused}, {survey.detail}"
        begin = f", from byte {survey.first:,} on" if survey.first else ""
        return f"load {survey.records:,} records of {survey.path}{begin}"


@dataclass(frozen=True, slots=True)
class Batch:
    """Files that one commit of each table takes.

    Attributes:
        files: To be read, or refused whole.
        done: Files of which the tables have every record that they will ever have.
        gone: Rows of loads whose files are not to be found any more.
        versions: Of the tables, when this was found out.
    """

    files: tuple[NewFile, ...]
    done: tuple[NewFile, ...]
    gone: tuple[Held, ...]
    versions: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """A first batch, or the names of more files than one batch takes; and what `Listing.missing` tells."""

    batch: Batch | None
    names: tuple[ListedFile, ...] = ()
    missing: tuple[str, ...] = ()


def plan(context: Context) -> Work[LoadPlan]:
    """Look for files that are new by name, size or time, and survey them; many are only counted."""
    listing = list_sources(context.settings.sources)
    if not listing.files and listing.missing:
        raise DataError(missing_files(listing.missing))
    replaced = context.request.options.get("replace_file") or ()
    work = plan_files(context.lake, context.settings.sources, context.settings.ingest, listing.files, replaced)
    steps = (*work.steps, *(f"tell of {one}" for one in listing.missing))
    return Work(steps, replace(work.required(), missing=listing.missing))


def plan_files(
    lake: Lake, sources: Mapping[str, SourceSettings], settings: IngestSettings, listed: Sequence[ListedFile],
    replaced: Collection[str] = (), *, at_most: int | None = None,
) -> Work[LoadPlan]:  # fmt: skip
    """What is to be done with these files.

    Args:
        lake: The tables.
        sources: How the files of each source are read.
        settings: How many files a batch takes.
        listed: All files there are.
        replaced: Names under which other content than was loaded is taken, whole.
        at_most: Take the first so many new ones only.
    """
    new = new_names(lake, sources, listed, replaced)[:at_most]
    if len(new) > settings.batch_files:
        size = sum(file.size for file in new)
        step = f"survey and load {len(new):,} files of {size:,} bytes, {settings.batch_files:,} at a time"
        return Work((step,), LoadPlan(None, tuple(new)))
    batch = plan_batch(lake, sources, new, {file.path for file in new})
    steps = [file.step for file in batch.files]
    if batch.done:
        steps.append(f"note {len(batch.done):,} files whose records are in the tables already")
    if batch.gone:
        steps.append(f"note {len(batch.gone):,} loads that were not recorded")
    return Work(tuple(steps), LoadPlan(batch))


def new_names(
    lake: Lake, sources: Mapping[str, SourceSettings], listed: Sequence[ListedFile], replaced: Collection[str] = ()
) -> list[ListedFile]:
    """The files that `loads` does not know by name, size and time, each with what was loaded under its name."""
    if unknown := set(replaced) - {file.path for file in listed}:
        raise SettingsError(f"--replace-file: no source lists {', '.join(sorted(unknown))}; name a file as --plan does")
    paths = pa.array([file.path for file in listed], pa.string())
    layouts = {name: source.digest for name, source in sources.items()}
    names = pa.table(
        {
            "file": paths,
            "layout": pa.array([layouts[file.source_name] for file in listed], pa.string()),
            "size": pa.array([file.size for file in listed], pa.int64()),
            "modified": pa.array([file.modified for file in listed], tables.TIMESTAMP),
            "nth": pa.array(range(len(listed)), pa.int64()),
        }
    )
    same = ["file", "layout", "size", "modified"]
    known = lake.arrow(tables.LOADS, *same, "state", where=pc.field("file").isin(paths))
    asked_again = pc.and_(
        pc.equal(known["state"], loads.REFUSED), pc.is_in(known["file"], pa.array(replaced, pa.string()))
    )
    known = known.filter(pc.invert(asked_again)).select(same)
    fresh = set(names.join(known, same, join_type="left anti")["nth"].to_pylist())
    new = [file for nth, file in enumerate(listed) if nth in fresh]
    contents, taken_by = _contents(lake, [file.path for file in new if file.path not in replaced])
    without_ids = {name for name, source in sources.items() if "source_id" not in source.columns}
    return [
        file._replace(
            known=contents.get((file.path, layouts[file.source_name])),
            read_otherwise=file.source_name in without_ids
            and bool(taken_by.get((file.path, file.source_name), set()) - {layouts[file.source_name]}),
        )
        for file in new
    ]


def _contents(
    lake: Lake, paths: Sequence[str]
) -> tuple[dict[tuple[str, str], Content], dict[tuple[str, str], set[str]]]:
    """What was last loaded under each name and layout; and the layouts by which anything was taken of a source's file.

    A file of which nothing was taken may be mended at will.
    """
    columns = ("run_id", "file", "source_name", "layout", "load_id", "size", "sha256", "state", "raw", "repeated")
    where = pc.field("file").isin(pa.array(paths, pa.string())) & (pc.field("state") != loads.REFUSED)
    newest: dict[tuple[str, str], tuple[str, Content]] = {}
    taken: set[tuple[str, str, str]] = set()
    taken_by: dict[tuple[str, str], set[str]] = {}
    rows = lake.rows(tables.LOADS, *columns, where=where & pc.field("sha256").is_valid()) if paths else []
    for row in rows:
        if row["state"] == loads.KNOWN or row["raw"] + row["repeated"] > 0:
            taken.add((row["file"], row["layout"], row["load_id"]))
            taken_by.setdefault((row["file"], row["source_name"]), set()).add(row["layout"])
    for row in sorted(rows, key=lambda row: row["run_id"]):
        if (row["file"], row["layout"], row["load_id"]) in taken:
            newest[row["file"], row["layout"]] = row["run_id"], Content(row["size"], row["sha256"])
    return {key: content for key, (_, content) in newest.items()}, taken_by


def plan_batch(
    lake: Lake, sources: Mapping[str, SourceSettings], new: Sequence[ListedFile], expected: Collection[str]
) -> Batch:
    """Survey these files, and tell those with records to read from those that the tables have already.

    `expected` are the paths of all new files; rows that are not recorded and belong to none of them are noted.
    """
    versions = {table.name: lake.log.version(table) for table in COMMITTED}
    held: dict[str, list[Held]] = {}
    for one in loads.unrecorded(lake):
        held.setdefault(one.load_id, []).append(one)
    surveys = [(file, _unless_read_otherwise(file, survey)) for file, survey in survey_files(lake, sources, new)]
    surveyed = [_named(file, survey, sources[file.source_name]) for file, survey in surveys]
    recorded = loads.recorded(lake, sorted({load_id for _, _, ids in surveyed for load_id in ids}))
    files, done = [], []
    for file, survey, ids in surveyed:
        load_id = next((one for one in ids if one in recorded), ids[-1])
        told = recorded.get(load_id, Counter())
        if load_id != ids[-1]:  # other content than the last under this name, but it was loaded some time
            survey = Survey(survey.path, survey.sha256, survey.size, told["records"])
        found = NewFile(file, sources[file.source_name].digest, survey, load_id, told, tuple(held.pop(load_id, ())))
        # Raw texts are the last rows that a load commits: where some are, what is left was repeated.
        if found.left > 0 and not found.raw:
            files.append(found)
        elif found.held or found.left > 0 or file.modified is not None:  # else its name would not be known by it
            done.append(found)
        # The same bytes under a second name are the same load.
        recorded[load_id] = Counter(records=survey.records, repeated=survey.records)
    gone = [one for rows in held.values() for one in rows if one.file not in expected]
    return Batch(tuple(files), tuple(done), tuple(gone), versions)


def _unless_read_otherwise(file: ListedFile, survey: Survey) -> Survey:
    """The survey; a refusal of a file whose texts, which have no ids, would be loaded a second time."""
    if not file.read_otherwise or survey.refused:
        return survey
    why = "its texts have no ids and were loaded by other settings of its source: they would be there twice"
    return replace(survey, records=1, refused=CHANGED, detail=why)


def _named(file: ListedFile, survey: Survey, source: SourceSettings) -> tuple[ListedFile, Survey, list[str]]:
    """A surveyed file with the ids that its load may have; the last one is that of a new load."""
    named = digests.of_json([survey.sha256, source.digest], chars=32)
    if not survey.refused:
        return file, survey, [named]
    # Nothing tells two refused files apart but their names: all empty ones have the same bytes.
    refused = digests.of_json([survey.sha256, source.digest, survey.path], chars=32)
    return file, survey, [named, refused] if survey.refused == CHANGED else [refused]
