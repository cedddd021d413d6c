"""The files of an import: those of all places that are named, each once; a place without files is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.ingestion.named_files import listed_at
from models.errors import DataError


def test_a_pattern_that_the_shell_took_apart_is_read_as_the_pattern(tmp_path: Path) -> None:
    for name in ("a.csv", "b.tsv.gz"):
        (tmp_path / name).write_text("text,label\n")
    apart = listed_at([str(tmp_path / "a.csv"), str(tmp_path / "b.tsv.gz"), str(tmp_path / "a.csv")])
    assert apart == listed_at([str(tmp_path / "*")]) == listed_at([str(tmp_path)])
    assert [(Path(file.path).name, file.source_name) for file in apart] == [("a.csv", "csv"), ("b.tsv.gz", "tsv")]


def test_each_place_has_to_have_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text,label\n")
    with pytest.raises(DataError, match=r"no file at .*/c\.csv"):
        listed_at([str(tmp_path / "a.csv"), str(tmp_path / "c.csv")])
