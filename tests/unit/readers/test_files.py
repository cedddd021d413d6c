"""The files of a source are found and opened, wherever they lie."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest

from models.errors import DataError
from udfs.readers.files import open_file, sized_files


def list_files(pattern: str) -> list[str]:
    return [file.path for file in sized_files(pattern)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("files") / "two words"
    (made / "inside").mkdir(parents=True)
    for name in ("b.csv", "a.csv", "c d.csv", ".hidden", "_SUCCESS", "inside/e.csv"):
        (made / name).write_text("h\n1\n")
    return made


def test_a_folder_gives_its_own_files_sorted_without_hidden_ones(folder: Path) -> None:
    assert list_files(str(folder)) == [str(folder / name) for name in ("a.csv", "b.csv", "c d.csv")]


def test_a_file_gives_itself_and_a_glob_what_it_matches(folder: Path) -> None:
    assert list_files(str(folder / "a.csv")) == [str(folder / "a.csv")]
    assert list_files(str(folder / "[ab].csv")) == [str(folder / "a.csv"), str(folder / "b.csv")]
    assert list_files(str(folder.parent / "*")) == list_files(str(folder))


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_uri_gives_uris_that_can_be_opened(folder: Path, slash: str) -> None:
    uri = "file://" + quote(str(folder))
    found = list_files(uri + slash)
    assert found == [f"{uri}/{name}" for name in ("a.csv", "b.csv", "c%20d.csv")]
    for path in found:
        with open_file(path) as file:
            assert file.read() == b"h\n1\n"
    assert list_files(found[2]) == [found[2]]


def test_what_is_not_there_gives_nothing(folder: Path) -> None:
    assert list_files(str(folder / "none")) == []
    assert list_files("file://" + quote(str(folder / "none"))) == []


@pytest.mark.parametrize("uri", ["file:///two words", "nobody://knows/this"])
def test_a_place_that_cannot_be_read_is_an_error_of_ours(uri: str) -> None:
    with pytest.raises(DataError, match="not a place that can be read"):
        list_files(uri)


def test_a_file_that_cannot_be_opened_is_an_error_of_ours(folder: Path) -> None:
    with pytest.raises(DataError, match="cannot be opened"), open_file(str(folder / "none")):
        pass
