"""The formats of files that can be read, by name. A new one is a module with an object like these, and a line here."""

from __future__ import annotations

from collections.abc import Mapping

from udfs.readers.delimited import CSV, TSV
from udfs.readers.file_format import Format
from udfs.readers.json_array import JSON_ARRAY
from udfs.readers.json_lines import JSON_LINES
from udfs.readers.parquet import PARQUET

FORMATS: Mapping[str, Format] = {
    "csv": CSV,
    "tsv": TSV,
    "jsonl": JSON_LINES,
    "json": JSON_ARRAY,
    "parquet": PARQUET,
}
DELIMITED: Mapping[str, str] = {"csv": ",", "tsv": "\t"}
"""Formats of fields, with what lies between two of them unless a dialect says otherwise."""
