"""Rows as files that people and tools open: JSONL, CSV or TSV, for their owner alone."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from models.errors import SettingsError
from udfs.readers.formats import DELIMITED
from udfs.readers.spreadsheet_cells import escaped

_DELIMITERS = {f".{name}": delimiter for name, delimiter in DELIMITED.items()}
_OWNER_ONLY = 0o600  # texts of pupils may be in it
Put = Callable[[Mapping[str, Any]], object]


def writable(file: Path) -> Path:
    """The file of `--file`, where rows can be written to one of its name and place.

    Raises:
        SettingsError: They cannot.
    """
    if file.suffix not in (*_DELIMITERS, ".jsonl"):
        raise SettingsError(f"--file: got {file}, expected a name that ends with .csv, .tsv or .jsonl")
    if not file.parent.is_dir():
        raise SettingsError(f"--file: {file.parent} is no folder; make it first")
    return file


def write_rows(file: Path, suffix: str, columns: Sequence[str], records: Iterable[Mapping[str, Any]]) -> int:
    """Write the records in the form that the suffix names; returns how many there were.

    Cells begin with a byte order mark: without it Chinese spreadsheets take them for GBK, and save them as such. A
    cell that a spreadsheet would run is made harmless; whoever reads it here undoes that.
    """
    rows = 0
    encoding = "utf-8" if suffix == ".jsonl" else "utf-8-sig"
    with open(file, "w", encoding=encoding, newline="", opener=_private) as out:
        put = _lines(out) if suffix == ".jsonl" else _cells(out, columns, _DELIMITERS[suffix])
        for record in records:
            put(record)
            rows += 1
    return rows


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, _OWNER_ONLY)


def _lines(out: TextIO) -> Put:
    return lambda record: out.write(json.dumps(record, ensure_ascii=False) + "\n")


def _cells(out: TextIO, columns: Sequence[str], delimiter: str) -> Put:
    writer = csv.DictWriter(out, columns, delimiter=delimiter, lineterminator="\n")
    writer.writeheader()
    return lambda record: writer.writerow({name: _cell(value) for name, value in record.items()})


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return escaped(value) if isinstance(value, str) else value
