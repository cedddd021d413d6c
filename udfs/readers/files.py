"""The files of a source: listed, opened and decompressed, never whole in memory."""

from __future__ import annotations

import glob
import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from typing import BinaryIO, cast
from urllib.parse import quote, urlparse

import pyarrow.fs as pafs

from models.errors import DataError

BLOCK = 4 << 20  # what one request to a remote store brings
SMALL_BLOCK = 1 << 20  # where a block is taken apart, which takes many times its size


def sized_files(pattern: str) -> list[tuple[str, int]]:
    """The files that a path names, sorted, each with its size in bytes.

    A path is a file, a folder (its files, not those of folders inside), or a glob; any URI that Arrow can open.
    """
    if urlparse(pattern).scheme and "://" in pattern:
        return sorted(_list_uri(pattern))
    named = sorted(glob.glob(pattern))  # noqa: PTH207 (the pattern may start at any root)
    infos = pafs.LocalFileSystem().get_file_info(named)
    files = [info for info in infos if info.type == pafs.FileType.File]
    for info in infos:
        if info.type == pafs.FileType.Directory:
            inside = pafs.LocalFileSystem().get_file_info(pafs.FileSelector(info.path))
            files += [child for child in inside if child.type == pafs.FileType.File]
    return sorted((info.path, info.size) for info in files if _is_data(info.path))


def _list_uri(pattern: str) -> Iterator[tuple[str, int]]:
    uri = urlparse(pattern)
    try:
        filesystem, path = pafs.FileSystem.from_uri(pattern)
    except (OSError, ValueError) as error:
        raise DataError(f"{pattern}: not a place that can be read ({type(error).__name__}); mend its path") from None
    infos = [filesystem.get_file_info(path)]
    if infos[0].type == pafs.FileType.Directory:
        infos = filesystem.get_file_info(pafs.FileSelector(path))
    for info in infos:
        if info.type == pafs.FileType.File and _is_data(info.path):
            inside = quote(info.path.removeprefix(path.rstrip("/")))  # empty for the file itself
            yield uri._replace(path=uri.path.rstrip("/") + inside).geturl(), info.size


def _is_data(path: str) -> bool:
    """Hidden files and marks such as `_SUCCESS` are none."""
    return not path.rsplit("/", 1)[-1].startswith((".", "_"))


@contextmanager
def open_file(path: str) -> Iterator[BufferedReader]:
    """A file of any file system that Arrow knows, buffered and seekable."""
    if "://" in path:
        filesystem, inside = pafs.FileSystem.from_uri(path)
    else:
        filesystem, inside = pafs.LocalFileSystem(), path
    try:
        native = filesystem.open_input_file(inside)
    except OSError as error:
        raise DataError(f"{path}: cannot be opened ({type(error).__name__}); check path and rights") from None
    with native:
        yield BufferedReader(native, BLOCK)


def decompressed(file: BufferedReader, path: str) -> BufferedReader:
    """The bytes of a file, decompressed where its name ends in `.gz`."""
    if not path.endswith(".gz"):
        return file
    return BufferedReader(cast(io.RawIOBase, gzip.GzipFile(fileobj=cast(BinaryIO, file))), BLOCK)
