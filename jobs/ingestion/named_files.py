"""Files that a command names: each once, with its format, or refused in words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath

from jobs.ingestion.file_survey import ListedFile
from models.errors import DataError
from udfs.readers.files import SizedFile, is_gzip, sized_files
from udfs.readers.formats import FORMATS
from udfs.readers.survey import Survey

_NOT_GZIP = ("file_empty", "file_truncated", "file_not_gzip")


def listed_at(places: Sequence[str]) -> list[ListedFile]:
    """The files at all places, each once; every place has to have some."""
    files: dict[str, SizedFile] = {}
    for place in places:
        here = sized_files(place)
        if not here:
            raise DataError(f"--file: no file at {place}; give a {_suffixes()} file, a folder of them, or a glob")
        files |= {file.path: file for file in here}
    return [ListedFile(format_of(file.path), *file) for file in files.values()]


def format_of(path: str) -> str:
    """The name of a file's format, by its suffix."""
    suffix = PurePosixPath(path[:-3] if is_gzip(path) else path).suffix.lower()
    if suffix.removeprefix(".") not in FORMATS:
        raise DataError(
            f"{path}: got the suffix {suffix!r}, expected {_suffixes()}; "
            "rename or convert the file, or name the others by a glob such as folder/*.csv"
        )
    return suffix.removeprefix(".")


def _suffixes() -> str:
    """The suffixes of all formats, in words."""
    *texts, last = [f".{name}" for name, known in FORMATS.items() if known.is_text]
    others = [f".{name}" for name, known in FORMATS.items() if not known.is_text]
    return f"{', '.join(texts)} or {last} (or these with .gz), or {' or '.join(others)}"


def refusal_of(survey: Survey, section: str) -> str:
    """In words, why a file is refused whole, and what may mend it: the file, or a section of the settings."""
    reason = f"{survey.refused}: {survey.detail}"
    if is_gzip(survey.path) and survey.refused in _NOT_GZIP:
        return f"{survey.path}: not whole gzip data ({reason}); bring the file again"
    return f"{survey.path}: {reason}; mend the file, or the section {section} of the settings"
