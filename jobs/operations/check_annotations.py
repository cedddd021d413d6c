"""Files of human labels as an import would read them: the labels that they name, and what would be set aside."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import PurePosixPath

from jobs.ingestion.import_annotations import rules_of
from jobs.ingestion.named_files import format_of
from jobs.settings import Settings
from models.errors import DataError
from udfs.annotation_parsing import REASON_PREFIX, parse_file
from udfs.cleaning import cleaner_of
from udfs.readers.files import sized_files
from udfs.readers.survey import survey

FIRST_ROWS = 10_000
"""Of each file; so many are read."""


def look(place: str, settings: Settings) -> list[str]:
    """What the files at a place hold, a line each and one a label.

    Raises:
        DataError: There is none, one would be refused, or one has nothing that can be used.
    """
    files = sized_files(place)
    if not files:
        raise DataError(f"--annotations: no file at {place}; give a file, a folder of them, or a glob")
    return [line for file in files for line in _file(file.path, settings)]


def _file(path: str, settings: Settings) -> list[str]:
    file_format, rules = format_of(path), rules_of(settings)
    looked = survey(path, rules.layout(file_format))
    if looked.refused:
        raise DataError(f"{path} would be refused: {looked.refused}, {looked.detail}")
    cleaner = cleaner_of(settings.cleaning.model_dump_json())
    rows = list(islice(parse_file(path, file_format, rules, cleaner), FIRST_ROWS))
    said = Counter(
        (row["task"], row["label"], row["value"]) for row in rows if row.get("label") and not row.get("reason")
    )
    bad = Counter(f"{row['reason'].removeprefix(REASON_PREFIX)} ({row['detail']})" for row in rows if row.get("reason"))
    told = "; ".join(f"{count:,} {reason}" for reason, count in bad.most_common(5))
    if not said:
        raise DataError(
            f"{path}: nothing of its first {len(rows):,} rows can be used: {told or 'no row names a label'}"
        )
    lines = [
        f"{PurePosixPath(path).name}: {looked.records:,} records" + (f"; would be set aside: {told}" if told else "")
    ]
    for task, label in sorted({(task, label) for task, label, _ in said}):
        lines.append(f"  {task}.{label}: {said[task, label, True]:,} yes, {said[task, label, False]:,} no")
    return lines
