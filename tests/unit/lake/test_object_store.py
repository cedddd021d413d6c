"""Tables and models in an object store, over an S3 server on this machine: every byte goes over HTTP."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping
from pathlib import Path

import pyarrow.compute as pc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.lake import row_files, tables
from jobs.lake.commits import Scope, Stamp
from jobs.lake.model_store import ModelStore
from jobs.lake.schema_check import conformed_rows
from jobs.lake.storage_options import from_hadoop, to_hadoop
from jobs.lake.store import Lake
from jobs.settings import LakeSettings, Settings
from models.errors import BundleError, ConflictError, DataError
from tests.support import DAY, NEW_YEAR, STAMP, add, day, fill, promotion_row, text_row, threshold_row
from udfs.data_files import DataFile
from udfs.model_files import ModelFiles, stored_files
from udfs.storage import Storage


def no_session() -> None:
    raise AssertionError("a session was asked for where none is needed")


@pytest.fixture
def remote(object_store: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lake:
    """A lake in a prefix of its own."""
    monkeypatch.setenv("PINGTI_CACHE", str(tmp_path / "cache"))
    return lake_at(f"s3://texts/{uuid.uuid4().hex}", object_store)


def lake_at(place: str, options: Mapping[str, str]) -> Lake:
    settings = LakeSettings.model_validate(
        {"location": f"{place}/warehouse", "bundles": f"{place}/bundles", "storage_options": options}
    )
    return Lake(no_session, settings, "Asia/Shanghai")  # type: ignore[arg-type]


def again(lake: Lake, object_store: Mapping[str, str]) -> Lake:
    """The same lake as another process opens it."""
    return lake_at((lake.catalog.root or "").removesuffix("/warehouse"), object_store)


def test_tables_are_made_written_and_read_without_a_session(remote: Lake, object_store: Mapping[str, str]) -> None:
    with pytest.raises(DataError, match="no such table"):
        remote.rows(tables.THRESHOLDS)
    assert len(remote.catalog.make()) == len(tables.ALL)
    assert remote.catalog.make() == []
    fill(remote, {
        tables.THRESHOLDS: [
            threshold_row("praise/textcnn/1", "asks", 0.4), threshold_row("praise/textcnn/1", "got", 0.6)
        ],
        tables.PROMOTIONS: [promotion_row("praise/textcnn/1", NEW_YEAR)],
    })  # fmt: skip

    other = again(remote, object_store)
    assert {row["label"]: row["value"] for row in other.rows(tables.THRESHOLDS)} == {"asks": 0.4, "got": 0.6}
    assert [row["model_id"] for row in other.rows(tables.PROMOTIONS, where=pc.field("task") == "praise")]
    assert other.log.version(tables.THRESHOLDS) == 1
    assert [stamp.run_id for stamp in other.log.stamps(tables.THRESHOLDS)] == [STAMP.run_id]


def test_a_replacement_takes_the_place_of_its_days_alone(remote: Lake, object_store: Mapping[str, str]) -> None:
    remote.catalog.make([tables.TEXTS])
    add(remote, tables.TEXTS, text_row("a"), text_row("b", dt=day(1)), text_row("c", dt=day(1)))
    remote.replace_rows(tables.TEXTS, [text_row("d", dt=day(1))], STAMP, Scope(day(1), day(1)))
    assert {row["text_id"] for row in again(remote, object_store).rows(tables.TEXTS)} == {"a", "d"}
    assert remote.days(tables.TEXTS) == {DAY: 1, day(1): 1}


def test_of_two_that_replace_one_day_one_wins(remote: Lake, object_store: Mapping[str, str]) -> None:
    remote.catalog.make([tables.TEXTS])
    outcomes: list[str] = []
    begun = threading.Barrier(2)

    def replace(name: str) -> None:
        lake = again(remote, object_store)
        since = lake.catalog.arrow.snapshot(tables.TEXTS, Scope(DAY, DAY))
        begun.wait()
        files = written(lake, name)
        try:
            lake.replace_files(tables.TEXTS, files, Stamp(name, "clean"), Scope(DAY, DAY), since)
            outcomes.append(name)
        except ConflictError:
            outcomes.append("")

    def written(lake: Lake, name: str) -> list[DataFile]:
        rows, folder = conformed_rows(tables.TEXTS, [text_row(name)]), lake.catalog.arrow.folder(tables.TEXTS)
        with row_files.written(tables.TEXTS, rows, folder) as files:
            return list(files)

    threads = [threading.Thread(target=replace, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    winners = [name for name in outcomes if name]
    assert len(outcomes) == 2
    assert len(winners) == 1
    assert [row["text_id"] for row in again(remote, object_store).rows(tables.TEXTS)] == winners


def test_files_of_a_partition_make_no_empty_objects_beside_them(remote: Lake) -> None:
    remote.catalog.make([tables.TEXTS])
    add(remote, tables.TEXTS, text_row("a"))
    files = stored_files(remote.catalog.arrow.folder(tables.TEXTS))
    assert {path.rpartition(".")[2] for path in files if path.startswith("dt=")} == {"parquet"}
    assert len(files) == 3  # two commits and the rows


def test_a_model_is_fetched_once_and_found_by_its_name(
    object_store: Mapping[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = f"s3://texts/{uuid.uuid4().hex}/bundles"
    monkeypatch.setenv("PINGTI_CACHE", str(tmp_path / "maker"))
    store = ModelStore(place, lambda: object_store)
    made = store.folder / "students" / "praise-1"
    (made / "checkpoint").mkdir(parents=True)
    (made / "model.onnx").write_bytes(b"weights" * 100_000)
    (made / "checkpoint" / "vocabulary.json").write_text("{}")
    published = store.published(made)
    assert published == f"{place}/students/praise-1"

    monkeypatch.setenv("PINGTI_CACHE", str(tmp_path / "executor"))
    other = ModelStore(place, lambda: object_store)
    files = other.files(published, {"model.onnx": "digest"})
    folder = files.local()
    assert (folder / "model.onnx").read_bytes() == b"weights" * 100_000
    assert (folder / "checkpoint" / "vocabulary.json").read_text() == "{}"
    (folder / "mark").touch()
    assert (files.local() / "mark").exists(), "it was fetched again"
    assert other.files(published, {"model.onnx": "another"}).local() != folder
    assert other.found("students/none") is None
    found = other.found("students/praise-1")
    assert found is not None
    assert (found / "model.onnx").exists()
    with pytest.raises(BundleError, match="no such folder"):
        ModelFiles(f"{place}/students/none", {}, object_store).local()


def test_keys_are_shown_nowhere(object_store: Mapping[str, str]) -> None:
    options = {**object_store, "AWS_SECRET_ACCESS_KEY": "hidden"}
    settings = Settings.model_validate({"lake": {"storage_options": options}})
    shown = [
        repr(settings), settings.model_dump_json(), repr(Storage("s3://texts/a", options)),
        repr(ModelFiles("s3://texts/a", {}, options)),
    ]  # fmt: skip
    assert not any("hidden" in one for one in shown)


def test_a_place_without_options_is_left_to_spark() -> None:
    lake = Lake(no_session, LakeSettings(location="s3://texts/unknown"), "Asia/Shanghai")  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match="a session was asked for"):
        lake.catalog.exists(tables.RUNS)  # Hadoop's settings of the session may say how


VALUES = st.text("abcXYZ019/+=", min_size=1, max_size=12)


@given(
    keys=st.fixed_dictionaries({}, optional={"AWS_ACCESS_KEY_ID": VALUES, "AWS_SECRET_ACCESS_KEY": VALUES}),
    endpoint=st.sampled_from([None, "http://minio:9000", "https://oss.example"]), virtual=st.booleans(),
)  # fmt: skip
def test_the_options_survive_hadoops_words(keys: dict[str, str], endpoint: str | None, virtual: bool) -> None:
    options = dict(keys)
    if endpoint:
        options["AWS_ENDPOINT_URL"] = endpoint
        if endpoint.startswith("http://"):
            options["AWS_ALLOW_HTTP"] = "true"
        if virtual:
            options["AWS_VIRTUAL_HOSTED_STYLE_REQUEST"] = "true"
    conf = {f"spark.hadoop.{key}": value for key, value in to_hadoop(options).items()}
    assert from_hadoop(conf) == options


def test_hadoops_defaults_are_https_and_virtual_hosts() -> None:
    assert from_hadoop({"fs.s3a.endpoint": "s3.example", "fs.s3a.impl": "x", "fs.s3a.access.key": ""}) == {
        "AWS_ENDPOINT_URL": "https://s3.example", "AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true"
    }  # fmt: skip
