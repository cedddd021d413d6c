"""The files of all sources as their folders list them, and the sources that have none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobs.ingestion.file_survey import ListedFile
from models.errors import SettingsError
from udfs.readers.files import sized_files
from udfs.readers.sources import SourceSettings


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of all sources, and the sources that have none and should have some, in words."""

    files: tuple[ListedFile, ...]
    missing: tuple[str, ...]


def list_sources(sources: Mapping[str, SourceSettings]) -> Listing:
    """Every file of every source, by the source's name."""
    if not sources:
        raise SettingsError("sources: the settings name none; add one under sources:, as docs/settings.md shows")
    listed, missing = [], []
    for name, source in sources.items():
        sized = sized_files(source.path)
        if not sized and not source.optional:
            missing.append(f"sources.{name}: no file at {source.path}")
        listed += [ListedFile(name, *file) for file in sized]
    return Listing(tuple(listed), tuple(missing))


def missing_files(missing: Sequence[str]) -> str:
    """That sources have no file, and what to do."""
    return f"{'; '.join(missing)}; mend the path, bring the files, or say optional: true of a source that may have none"
