"""Files surveyed before any record of them is read: by the driver where they are few, else by executors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import pyarrow as pa

from jobs.lake.store import Lake
from jobs.runtime.executors import map_batches
from models.errors import DataError
from udfs.readers.file_format import FileLayout
from udfs.readers.survey import SURVEYS, UNREADABLE, Content, Survey, surveyor

LISTED_DDL = "source_name string, path string, known_size bigint, known_sha256 string"
FEW_FILES, FEW_BYTES = 32, 64 << 20
FEW_TASKS = 32
TASK_FILES, TASK_BYTES = 256, 64 << 20
"""What a task surveys or reads at least, where there are more than a few."""


class ListedFile(NamedTuple):
    """A file as its folder lists it.

    Attributes:
        source_name: The name of its layout (for texts, of its source).
        path: Its name.
        size: Bytes.
        modified: When it was last written; None where its store does not say.
        known: What was loaded under its name before.
        read_otherwise: Whether texts without ids of their own were loaded of it by other settings of its source.
    """

    source_name: str
    path: str
    size: int
    modified: datetime | None = None
    known: Content | None = None
    read_otherwise: bool = False


def task_count(files: int, size: int, task_bytes: int = TASK_BYTES) -> int:
    """How many tasks share so many files, or ranges of them, of so many bytes together."""
    return min(files, max(files // TASK_FILES, size // task_bytes, FEW_TASKS))


def survey_files(
    lake: Lake, layouts: Mapping[str, FileLayout], listed: Sequence[ListedFile]
) -> list[tuple[ListedFile, Survey]]:
    """Each file with its survey, by the layouts' names and the paths.

    Raises:
        DataError: naming every file that cannot be opened.
    """
    if not listed:
        return []
    look = surveyor(dict(layouts))
    columns = [
        (file.source_name, file.path, *((file.known.size, file.known.sha256) if file.known else (None, None)))
        for file in listed
    ]
    rows: list[dict[str, Any]]
    if are_few(listed):
        names = [column.split()[0] for column in LISTED_DDL.split(", ")]
        batch = pa.RecordBatch.from_pylist([dict(zip(names, values, strict=True)) for values in columns])
        rows = [row for surveys in look(iter([batch])) for row in surveys.to_pylist()]
    else:
        tasks = task_count(len(listed), sum(file.size for file in listed))
        files = lake.spark.createDataFrame(columns, LISTED_DDL).repartition(tasks)
        rows = [row.asDict() for row in map_batches(files, look, SURVEYS).collect()]
    surveys = {(row.pop("source_name"), row["path"]): Survey(**row) for row in rows}
    unreadable = [str(survey.detail) for survey in surveys.values() if survey.refused == UNREADABLE]
    if unreadable:
        raise DataError(f"nothing was loaded; {'; '.join(sorted(unreadable))}")
    ordered = sorted(listed, key=lambda file: (file.source_name, file.path))
    return [(file, surveys[file.source_name, file.path]) for file in ordered]


def are_few(listed: Sequence[ListedFile]) -> bool:
    """Whether the driver has looked through the files before executors have begun to."""
    return len(listed) <= FEW_FILES and sum(file.size for file in listed) <= FEW_BYTES
