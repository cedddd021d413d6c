"""A machine that lacks something is told so in one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.runtime import environment
from jobs.settings_file import load
from models import folders
from models.errors import EnvError, SettingsError

ROOT = Path(__file__).parents[3]


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the whole PATH, with no JAVA_HOME."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    return folder


def fake_java(folder: Path, told: str) -> Path:
    java = folder / "java"
    java.write_text(f"#!/bin/sh\necho '{told}' >&2\n")
    java.chmod(0o755)
    return java


def test_without_java_it_says_what_to_install(path: Path) -> None:
    with pytest.raises(EnvError, match="Java: none found; install a JDK 17 or newer") as caught:
        environment.check(path, 0)
    assert caught.value.exit_code == 6


def test_a_java_home_without_a_java_counts_as_none(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_java(path, 'openjdk version "21.0.1"')
    monkeypatch.setenv("JAVA_HOME", str(path / "nowhere"))
    with pytest.raises(EnvError, match="none found"):
        environment.check(path, 0)


@pytest.mark.parametrize(
    ("told", "got"),
    [
        ('openjdk version "11.0.2" 2019-01-15', "11"),
        ('java version "1.8.0_202"', "8"),
        ('openjdk version "16"', "16"),
        ("no such thing", "an unknown version"),
    ],
)
def test_a_java_too_old_is_named_with_its_version(path: Path, told: str, got: str) -> None:
    java = fake_java(path, told)
    with pytest.raises(EnvError) as caught:
        environment.check(path, 0)
    assert str(caught.value).startswith(f"Java: {java} is {got}; Spark needs 17 or newer")


def test_a_java_that_does_not_run_is_named(path: Path) -> None:
    java = fake_java(path, "")
    java.write_bytes(b"\x7fELF, or what is left of it")
    with pytest.raises(EnvError, match=f"Java: {java} does not run"):
        environment.check(path, 0)


@pytest.mark.parametrize("told", ['openjdk version "17.0.15" 2025-04-15', 'openjdk version "25-ea"'])
def test_a_java_new_enough_will_do(path: Path, told: str) -> None:
    fake_java(path, told)
    environment.check(path / "not" / "made" / "yet", 0)


def test_java_home_goes_before_the_path(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_java(path, 'openjdk version "11"')
    (tmp_path / "jdk" / "bin").mkdir(parents=True)
    fake_java(tmp_path / "jdk" / "bin", 'openjdk version "17"')
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "jdk"))
    environment.check(path, 0)


def test_a_full_disk_is_told_with_the_folder_that_is_on_it(path: Path) -> None:
    fake_java(path, 'openjdk version "17"')
    with pytest.raises(EnvError) as caught:
        environment.check(path / "not" / "made" / "yet", 1 << 62)
    assert f"MiB are free under {path}, {1 << 42} MiB are needed" in str(caught.value)
    assert caught.value.exit_code == 6


@pytest.mark.parametrize(("gibibytes", "code", "told"), [("0", 0, ""), (str(1 << 32), 6, "pingti: disk: ")])
def test_it_can_be_asked_from_a_shell(path: Path, gibibytes: str, code: int, told: str) -> None:
    fake_java(path, 'openjdk version "17"')
    ended = subprocess.run(
        [sys.executable, "-m", "jobs.runtime.environment", str(path), gibibytes],
        capture_output=True, text=True, check=False, env={"PATH": str(path), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (ended.returncode, ended.stdout) == (code, "")
    assert ended.stderr[: len(told)] == told


def test_a_user_without_a_name_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    environment.check_user()
    monkeypatch.setattr(environment.os, "getuid", lambda: 54321)
    with pytest.raises(EnvError, match="user: 54321 has no name in passwd"):
        environment.check_user()


def test_a_user_without_a_home_has_a_folder_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HOME", "XDG_CACHE_HOME", "PINGTI_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    own = os.getuid()

    def nobody(_: int) -> None:
        raise KeyError

    monkeypatch.setattr("pwd.getpwuid", nobody)
    assert folders.cache() == tmp_path / f"pingti-{own}" / "pingti"
    with pytest.raises(SettingsError, match="~ is the home folder, and this user has none"):
        load(None, {"lake": {"location": "~/warehouse"}})


@pytest.mark.parametrize(
    ("given", "set_to"),
    [
        ({"LC_ALL": "C"}, "C.UTF-8"),
        ({"LC_ALL": "", "LANG": "POSIX"}, "C.UTF-8"),
        ({"LANG": "zh_CN.GBK"}, "C.UTF-8"),
        ({}, "C.UTF-8"),
        ({"LANG": "zh_CN.UTF-8"}, None),
        ({"LC_ALL": "C.utf8", "LANG": "C"}, "C.utf8"),
    ],
)
def test_a_locale_without_utf8_is_one_with_it_for_what_is_started(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str], set_to: str | None
) -> None:
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    environment.set_utf8_locale()
    assert os.environ.get("LC_ALL") == set_to


def test_libraries_are_unpacked_where_programs_may_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert environment.temporary_folder([]) is None
    noexec = {environment.JAVA_TEMPORARY, tmp_path / "a"}
    monkeypatch.setattr(environment, "_runs_programs", lambda folder: folder not in noexec)
    assert environment.temporary_folder([tmp_path / "a", tmp_path / "b"]) == tmp_path / "b"
    with pytest.raises(EnvError, match=r"/tmp is mounted noexec, and so is .*/a: .*PINGTI_CACHE"):
        environment.temporary_folder([tmp_path / "a"])


def test_a_tilde_is_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/them")
    lake = load(None, {"lake": {"location": "~/warehouse", "bundles": "~"}}).lake
    assert (lake.location, lake.bundles) == ("/home/them/warehouse", "/home/them")


def test_where_tmp_runs_no_programs_a_folder_of_the_cache_does_and_is_not_made_by_looking(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PINGTI_CACHE", str(tmp_path / "cache"))
    runs = environment._runs_programs
    monkeypatch.setattr(environment, "_runs_programs", lambda one: one != environment.JAVA_TEMPORARY and runs(one))
    assert environment.temporary_folder() == tmp_path / "cache" / "tmp"
    assert not (tmp_path / "cache").exists()
