"""A format of files is one object in one registry: whatever is registered can be configured, surveyed and read."""

from __future__ import annotations

import gzip
import hashlib
import struct
from collections.abc import Callable, Iterator
from functools import partial
from io import BufferedReader
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import ValidationError

from udfs.readers.file_format import FileLayout, Format, TextFormat, check_not_empty
from udfs.readers.formats import FORMATS
from udfs.readers.reading import record_reader
from udfs.readers.record_spans import RecordSpan, RejectedError
from udfs.readers.sources import RecordLimits, SourceSettings
from udfs.readers.survey import Survey, survey, surveyor

SIZE = 16


class FixedWidth:
    """A second of the epoch and a text, in 16 bytes a record, after a first record that says how many there are."""

    is_text = False

    def splits(self, path: str, encoding: str) -> bool:
        return True

    def surrogate_reason(self, encoding: str) -> str:
        return "not_utf8"

    def check(self, file: BufferedReader, path: str, layout: FileLayout) -> None:
        check_not_empty(file)
        if unknown := set(layout.required_columns) - {"second", "words"}:
            raise RejectedError("file_header", f"no column {', '.join(sorted(unknown))}")

    def count(self, file: BufferedReader, path: str, layout: FileLayout) -> int:
        return int(struct.unpack("q8x", file.read(SIZE))[0])

    def read(
        self, file: BufferedReader, path: str, layout: FileLayout, first: int, last: int | None
    ) -> Iterator[RecordSpan]:
        position = max(SIZE, -(-first // SIZE) * SIZE)
        file.seek(position)
        while (last is None or position < last) and (record := file.read(SIZE)):
            yield RecordSpan(position, record, partial(self._values, record))
            position += SIZE

    def _values(self, record: bytes) -> dict[str, Any]:
        second, words = struct.unpack("q8s", record)
        return {"second": second, "words": words.rstrip(b"\0").decode("utf-8", "surrogateescape")}


class Semicolons:
    """Counts what semicolons end."""

    def __init__(self) -> None:
        self._count = 0

    def feed(self, block: bytes) -> None:
        self._count += block.count(b";")

    def records(self) -> int:
        return self._count


def semicolon_spans(file: BufferedReader, layout: FileLayout, first: int, last: int | None) -> Iterator[RecordSpan]:
    position = 0
    for record in file.read().split(b";")[:-1]:
        yield RecordSpan(position, record, partial(dict, {"second": 0, "words": record.decode()}))
        position += len(record) + 1


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Format], SourceSettings]:
    """Registers a format for the time of a test, and gives a source of it."""

    def register(name: str, file_format: Format) -> SourceSettings:
        monkeypatch.setitem(FORMATS, name, file_format)  # type: ignore[arg-type]
        columns = {"text": "words", "event_time": "second"}
        constants = {"scene": "chat", "source": "app"}
        return SourceSettings.model_validate(
            {"path": "", "format": name, "columns": columns, "constants": constants, "time_format": "epoch_seconds"}
        )

    return register


def fixed(*records: tuple[int, bytes]) -> bytes:
    return struct.pack("q8x", len(records)) + b"".join(struct.pack("q8s", *record) for record in records)


def read(source: SourceSettings, *ranges: tuple[Path, int, int]) -> list[dict[str, Any]]:
    rows = [
        {"source_name": "s", "file": str(path), "load_id": "load", "first": first, "last": last, "size": size}
        for path, first, last in ranges
        for size in [path.stat().st_size]
    ]
    batches = record_reader({"s": source}, RecordLimits())(iter([pa.RecordBatch.from_pylist(rows)]))
    return [row for batch in batches for row in batch.to_pylist()]


def test_a_format_that_is_registered_is_surveyed_and_read_as_any_other(
    tmp_path: Path, register: Callable[[str, Format], SourceSettings]
) -> None:
    source = register("fixed", FixedWidth())
    content = fixed((0, "好".encode()), (1, b"\xff"), (2, b""), (3, b"good"))
    (tmp_path / "f").write_bytes(content)
    counted = Survey(str(tmp_path / "f"), hashlib.sha256(content).hexdigest(), len(content), 4)
    assert survey(str(tmp_path / "f"), source) == counted
    batch = pa.RecordBatch.from_pylist([{"source_name": "s", "path": str(tmp_path / "f")}])
    (surveys,) = surveyor({"s": source})(iter([batch]))
    assert surveys.column("records").to_pylist() == [4]
    assert source.splits(str(tmp_path / "f"))
    rows = read(source, (tmp_path / "f", 0, 40), (tmp_path / "f", 40, len(content)))
    assert [(row["position"], row["reason"], row["text"]) for row in rows] == [
        (16, None, "好"), (32, "not_utf8", None), (48, "no_text", None), (64, None, "good"),
    ]  # fmt: skip
    assert rows[1]["sha256"] == hashlib.sha256(content[32:48]).hexdigest()


def test_a_format_that_is_registered_refuses_files_by_its_own_check(
    tmp_path: Path, register: Callable[[str, Format], SourceSettings]
) -> None:
    source = register("fixed", FixedWidth())
    (tmp_path / "empty").write_bytes(b"")
    assert survey(str(tmp_path / "empty"), source).refused == "file_empty"
    (tmp_path / "f").write_bytes(fixed((0, b"a")))
    other = source.model_copy(update={"columns": {"text": "sentence", "event_time": "second"}})
    refused = survey(str(tmp_path / "f"), other)
    assert (refused.refused, refused.detail, refused.size) == ("file_header", "no column sentence", 2 * SIZE)


def test_a_format_of_text_brings_gzip_and_encodings_with_it(
    tmp_path: Path, register: Callable[[str, Format], SourceSettings]
) -> None:
    source = register("semicolons", TextFormat(semicolon_spans, lambda _: Semicolons()))
    packed = gzip.compress("老师好;再见;".encode("gbk"))
    (tmp_path / "f.gz").write_bytes(packed)
    gbk = source.model_copy(update={"encoding": "gbk"})
    assert survey(str(tmp_path / "f.gz"), gbk).records == 2
    assert [row["text"] for row in read(gbk, (tmp_path / "f.gz", 0, len(packed)))] == ["老师好", "再见"]
    (tmp_path / "f.gz").write_bytes(packed[:-9])
    assert survey(str(tmp_path / "f.gz"), gbk).refused == "file_truncated"
    (tmp_path / "f").write_bytes(b"\xef\xbb\xbfa;")
    assert survey(str(tmp_path / "f"), gbk).refused == "file_encoding"


def test_the_settings_know_a_format_from_the_registry_alone(
    register: Callable[[str, Format], SourceSettings],
) -> None:
    source = register("fixed", FixedWidth())
    with pytest.raises(ValidationError, match="known are csv, tsv, jsonl, json, parquet, fixed"):
        SourceSettings.model_validate(source.model_dump() | {"format": "orc"})
    with pytest.raises(ValidationError, match="a Fixed file's strings are UTF-8"):
        SourceSettings.model_validate(source.model_dump() | {"encoding": "gbk"})
