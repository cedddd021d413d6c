"""The files of a source are found and opened, wherever they lie."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, unquote

import pytest

from models.errors import DataError
from udfs.readers.files import is_gzip, open_file, sized_files


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


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("d1/a.jsonl", "d2/deep/er/b.jsonl", "c.jsonl", "录音[1]/x.jsonl", "录音1/y.jsonl", ".hidden/z.jsonl",
                 "d1/A.JSONL.GZ", "a,b/{k}.jsonl"):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"{}\n")
    return tmp_path


PATTERNS = [
    (
        "**/*.jsonl",
        ["a,b/{k}.jsonl", "c.jsonl", "d1/a.jsonl", "d2/deep/er/b.jsonl", "录音1/y.jsonl", "录音[1]/x.jsonl"],
    ),
    ("d2/**/*.jsonl", ["d2/deep/er/b.jsonl"]),
    ("*/*.jsonl", ["a,b/{k}.jsonl", "d1/a.jsonl", "录音1/y.jsonl", "录音[1]/x.jsonl"]),
    ("{d1,d2/**,none}/*.jsonl", ["d1/a.jsonl", "d2/deep/er/b.jsonl"]),
    ("录音[1]", ["录音[1]/x.jsonl"]),
    ("录音[1]/*.jsonl", ["录音[1]/x.jsonl"]),
    ("录音[12]/*.jsonl", ["录音1/y.jsonl"]),
    ("a,b/{k}.jsonl", ["a,b/{k}.jsonl"]),
    ("d[12]", ["d1/A.JSONL.GZ", "d1/a.jsonl"]),
]


@pytest.mark.parametrize(("pattern", "names"), PATTERNS)
@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_pattern_names_the_same_files_here_and_as_a_uri(
    tree: Path, pattern: str, names: list[str], scheme: str
) -> None:
    found = list_files(f"{scheme}{tree}/{pattern}")
    assert sorted(unquote(path.removeprefix(scheme)) for path in found) == [str(tree / name) for name in names]
    for path in found:
        with open_file(path) as file:
            assert file.read()


def test_a_tilde_is_the_home_folder(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tree))
    assert list_files("~/d1/*.jsonl") == [str(tree / "d1/a.jsonl")]
    assert list_files("~/d[1]/*.jsonl") == [str(tree / "d1/a.jsonl")]


def test_the_end_of_a_name_that_says_gzip_is_of_any_case() -> None:
    assert is_gzip("A.JSONL.GZ")
    assert not is_gzip("a.jsonl")


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


@pytest.mark.parametrize("uri", ["nobody://knows/this"])
def test_a_place_that_cannot_be_read_is_an_error_of_ours(uri: str) -> None:
    with pytest.raises(DataError, match="not a place that can be read"):
        list_files(uri)


def test_a_file_that_cannot_be_opened_is_an_error_of_ours(folder: Path) -> None:
    with pytest.raises(DataError, match="cannot be opened"), open_file(str(folder / "none")):
        pass
