"""The files of a source: listed, opened and decompressed, never whole in memory."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from io import BufferedReader
from typing import BinaryIO, NamedTuple, cast
from urllib.parse import quote, unquote, urlparse

import pyarrow.fs as pafs

from models.errors import DataError
from udfs.readers import patterns

BLOCK = 4 << 20  # what one request to a remote store brings
_LOOKS_AT_ONCE = 32  # at single files of a remote store, each a round trip
SMALL_BLOCK = 1 << 20  # where a block is taken apart, which takes many times its size


class SizedFile(NamedTuple):
    """A file as its folder lists it: its size in bytes, and when it was last written (None: nobody knows)."""

    path: str
    size: int
    modified: datetime | None


def sized_files(pattern: str) -> list[SizedFile]:
    """The files that a path names, each once, sorted by their paths; none of them is opened.

    A path is a file, a folder (its files, not those of folders inside), or a pattern (`patterns`), of this machine or
    as any URI that Arrow can open.
    """
    found = _listed_uri(pattern) if urlparse(pattern).scheme and "://" in pattern else _listed_local(pattern)
    return sorted({file.path: file for file in found}.values(), key=_path)


def _path(file: SizedFile) -> str:
    return file.path


def _sized(path: str, info: pafs.FileInfo) -> SizedFile:
    return SizedFile(path, info.size, info.mtime)


def _listed_local(pattern: str) -> Iterator[SizedFile]:
    infos = pafs.LocalFileSystem().get_file_info(patterns.local_paths(pattern))
    for info in _inside(pafs.LocalFileSystem(), infos):
        yield _sized(info.path, info)


def _inside(filesystem: pafs.FileSystem, infos: Sequence[pafs.FileInfo]) -> Iterator[pafs.FileInfo]:
    """The files among these, and those of the folders among them."""
    for info in infos:
        several = [info]
        if info.type == pafs.FileType.Directory:
            several = filesystem.get_file_info(pafs.FileSelector(info.path))
        yield from (one for one in several if one.type == pafs.FileType.File and _is_data(one.path))


def _listed_uri(pattern: str) -> Iterator[SizedFile]:
    uri = urlparse(pattern)  # its query says how a store is reached: a question mark is no pattern there
    try:
        filesystem, folder = pafs.FileSystem.from_uri(uri._replace(path="/").geturl())
    except (OSError, ValueError) as error:
        raise DataError(f"{pattern}: not a place that can be read ({type(error).__name__}); mend its path") from None
    folder = folder.rstrip("/")

    def info_of(path: str) -> pafs.FileInfo:
        return filesystem.get_file_info(f"{folder}/{path}")

    def exists(path: str) -> bool:
        return bool(path) and info_of(path).type != pafs.FileType.NotFound

    plain = unquote(uri.path).strip("/")
    for one in patterns.expanded(plain, exists):
        prefix, rest = patterns.literal_prefix(one, exists)
        infos = [info_of(prefix)]
        if rest:
            below = f"{folder}/{prefix}".rstrip("/")
            matches = patterns.matcher(rest)
            selector = pafs.FileSelector(below, recursive="/" in rest or "**" in rest, allow_not_found=True)
            infos = [info for info in filesystem.get_file_info(selector) if matches(info.path[len(below) + 1 :])]
        for info in _inside(filesystem, infos):
            yield _sized(uri._replace(path=f"/{quote(info.path[len(folder) + 1 :])}").geturl(), info)


def _is_data(path: str) -> bool:
    """Hidden files and marks such as `_SUCCESS` are none."""
    return not path.rsplit("/", 1)[-1].startswith((".", "_"))


def sized_now(paths: Sequence[str]) -> list[SizedFile | None]:
    """Files by their own names as they are now; None for one that is gone."""
    with ThreadPoolExecutor(_LOOKS_AT_ONCE) as pool:
        return list(pool.map(_look, paths))


def _look(path: str) -> SizedFile | None:
    filesystem, inside = pafs.FileSystem.from_uri(path) if "://" in path else (pafs.LocalFileSystem(), path)
    info = filesystem.get_file_info(inside)
    return _sized(path, info) if info.type == pafs.FileType.File else None


@contextmanager
def open_file(path: str, size: int | None = None) -> Iterator[BufferedReader]:
    """A file of any file system that Arrow knows, buffered and seekable.

    Args:
        path: A path, or a URI.
        size: It is taken to end after this many bytes, however far it has grown since.
    """
    if "://" in path:
        filesystem, inside = pafs.FileSystem.from_uri(path)
    else:
        filesystem, inside = pafs.LocalFileSystem(), path
    try:
        native = filesystem.open_input_file(inside)
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({type(error).__name__}); check path and rights") from None
    with native:
        yield BufferedReader(native if size is None else cast(io.RawIOBase, _Cut(native, size)), BLOCK)


class _Cut(io.RawIOBase):
    """The first bytes of a file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """The place of the next byte."""
        return self._file.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a byte, counted from the beginning, from here, or from the cut."""
        return self._file.seek(self._size + offset) if whence == io.SEEK_END else self._file.seek(offset, whence)

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill the buffer; 0 at the cut."""
        left = max(0, min(len(buffer), self._size - self._file.tell()))
        block = self._file.read(left)
        memoryview(buffer)[: len(block)] = block
        return len(block)


def is_gzip(path: str) -> bool:
    """Whether a file is compressed, by its name."""
    return path.lower().endswith(".gz")


def decompressed(file: BufferedReader, path: str) -> BufferedReader:
    """The bytes of a file, decompressed where its name ends in `.gz`."""
    if not is_gzip(path):
        return file
    return BufferedReader(cast(io.RawIOBase, gzip.GzipFile(fileobj=cast(BinaryIO, file))), BLOCK)
