"""Where scores lie: in files, and in Delta tables here or in an object store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from jobs.lake.store import Lake
from jobs.outside import score_sources
from jobs.outside.score_sources import FileSource, ScoreSource, TableSource, sources_at
from models.errors import DataError
from models.text.rules import Cleaner, CleaningSettings
from udfs.score_settings import OutsideScoreSettings
from udfs.score_values import ScoreRules

ROWS = pa.table({"text_id": ["a", "b"], "asks": [0.5, 1.0], "more": [1, 2]})
RULES = ScoreRules(OutsideScoreSettings(), "praise", "multi_label", ("asks",), frozenset(), "probability")


def parsed(source: ScoreSource) -> list[tuple[str, list[float]]]:
    return [(row["text_id"], row["scores"]) for row in source.parsed(RULES, Cleaner(CleaningSettings()))]


def test_a_table_in_an_object_store_is_read_by_its_uri(
    bare_lake: Callable[..., Lake], object_store: Mapping[str, str]
) -> None:
    place = "s3://texts/scores"
    write_deltalake(place, ROWS, storage_options={**object_store, "AWS_S3_ALLOW_UNSAFE_RENAME": "true"})
    (source,) = sources_at(bare_lake(), [place, place], RULES, lambda: object_store)
    assert isinstance(source, TableSource)
    assert source.records == 2
    assert parsed(source) == [("a", [0.5]), ("b", [1.0])]


def test_files_and_tables_are_told_apart(bare_lake: Callable[..., Lake], tmp_path: Path) -> None:
    write_deltalake(str(tmp_path / "table"), ROWS)
    (tmp_path / "a.jsonl").write_text('{"text_id": "a", "asks": 1}\n')
    places = [str(tmp_path / "a.jsonl"), f"file://{tmp_path}/table", str(tmp_path / "*.jsonl")]
    table, file = sources_at(bare_lake(), places, RULES, dict)
    assert isinstance(table, TableSource)
    assert isinstance(file, FileSource)
    assert file.identity.startswith("a.jsonl ")
    before = table.identity
    write_deltalake(str(tmp_path / "table"), ROWS, mode="append")
    (again,) = sources_at(bare_lake(), [str(tmp_path / "table")], RULES, dict)
    assert again.identity != before
    assert len(parsed(again)) == 4


def test_more_records_than_the_driver_holds_are_refused(
    bare_lake: Callable[..., Lake], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score_sources, "MOST_RECORDS", 1)
    (tmp_path / "a.jsonl").write_text('{"text_id": "a", "asks": 1}\n' * 2)
    with pytest.raises(DataError, match=r"got 2 records, at most 1 are taken at once; .*`pingti teacher ask`"):
        sources_at(bare_lake(), [str(tmp_path / "a.jsonl")], RULES, dict)
