"""Folders and files that appear whole or not at all: written beside their place, flushed to disk, renamed."""

from __future__ import annotations

import os
import re
import shutil
import stat
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from models import digests
from models.errors import BundleError


def cache() -> Path:
    """Where fetched things are kept between sessions: `PINGTI_CACHE`, the user's cache folder, or the machine's own.

    Executors of a cluster often run as a user without a home that can be written.
    """
    given = os.environ.get("PINGTI_CACHE")
    if given:
        return Path(given)
    return home_cache() / "pingti"


def home_cache() -> Path:
    """The user's cache folder; where the home cannot be written, a folder that this user alone can read and write."""
    home = _home()
    if home is not None and os.access(home, os.W_OK):
        return Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    folder = Path(tempfile.gettempdir()) / f"pingti-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    made = folder.lstat()
    # In a folder for everyone another user may have been first, and code is kept here.
    if made.st_uid == os.getuid() and stat.S_ISDIR(made.st_mode) and not made.st_mode & 0o022:
        return folder
    return Path(tempfile.mkdtemp(prefix="pingti-"))


def safe_name(name: str) -> str:
    """A name of letters, digits, `_`, `.` and `-` for a folder, another one for every name: paths may become URIs."""
    plain = name.replace("/", "-")
    if _PLAIN.fullmatch(plain):
        return plain
    return f"{_OTHERS.sub('', plain).strip('-.')}-{digests.of_bytes(name.encode())[:12]}".lstrip("-")


_PLAIN, _OTHERS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*"), re.compile(r"[^A-Za-z0-9_.-]")


def _home() -> Path | None:
    """The home folder; None of a user whom nobody knows by name, as containers start."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def publish(folder: Path, write: Callable[[Path], None]) -> Path:
    """Make a folder appear whole: written beside its place, flushed to disk, renamed.

    Args:
        folder: Where it shall be. If it exists with the same files, it stays as it is.
        write: Fills the (existing, empty) folder it is given.

    Raises:
        BundleError: `folder` exists with other content.
    """
    with _staging_beside(folder) as staging:
        write(staging)
        for item in [*staging.rglob("*"), staging]:
            _flush(item)
        try:
            # Not `replace`: renaming onto a folder that holds anything must fail.
            staging.rename(folder)
        except OSError:
            if not folder.exists():
                raise
            _check_equal(folder, staging)
        else:
            _flush(folder.parent)
    return folder


@contextmanager
def _staging_beside(folder: Path) -> Iterator[Path]:
    """An empty sibling of `folder`, removed afterwards if it is still there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Made by mkdir, not tempfile: other users' executors must be able to read it.
    staging = folder.parent / f".{folder.name}.{uuid.uuid4().hex}"
    staging.mkdir()
    try:
        yield staging
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _check_equal(folder: Path, staging: Path) -> None:
    was, new = _contents(folder), _contents(staging)
    if was == new:
        return
    differing = sorted(name for name in was.keys() | new.keys() if was.get(name) != new.get(name))
    raise BundleError(
        f"{folder}: exists already and differs in {', '.join(differing)}, expected the same content or no "
        "folder; write to another folder, or remove this one if nothing uses it"
    )


def _contents(folder: Path) -> Mapping[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): digests.of_file(path) for path in files}


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def replaced_file(file: Path) -> Iterator[Path]:
    """A path beside `file` to write to; when the block ends well it takes the file's place, else all is as before."""
    partial = file.with_name(f".{file.name}.{os.getpid()}.{uuid.uuid4().hex[:8]}")
    try:
        yield partial
        _flush(partial)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)


def write_file(file: Path, content: str, *, private: bool = False) -> None:
    """Write a text file whole or not at all, `private` for its owner alone; its folder is made where it is missing."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with replaced_file(file) as partial:
        if private:
            partial.touch(0o600)
        partial.write_text(content, "utf-8")
