"""The files of a source: listed, opened, decompressed and converted to UTF-8, never whole in memory."""

from __future__ import annotations

import codecs
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
from udfs.readers.sources import UTF_8

BLOCK = 4 << 20  # what one request to a remote store brings
SMALL_BLOCK = 1 << 20  # where a block is taken apart, which takes many times its size
UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


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
    found = [filesystem.get_file_info(path)]
    if found[0].type == pafs.FileType.Directory:
        found = filesystem.get_file_info(pafs.FileSelector(path))
    for info in found:
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


def content(file: BufferedReader, path: str, encoding: str) -> BufferedReader:
    """What a file holds, decompressed where its name ends in `.gz`, as UTF-8.

    A character that is wrong in the encoding comes out as bytes that no UTF-8 has, so that its record is found out.
    """
    return converted(decompressed(file, path), encoding)


def decompressed(file: BufferedReader, path: str) -> BufferedReader:
    """The bytes of a file, decompressed where its name ends in `.gz`."""
    if not path.endswith(".gz"):
        return file
    return BufferedReader(cast(io.RawIOBase, gzip.GzipFile(fileobj=cast(BinaryIO, file))), BLOCK)


def converted(file: BufferedReader, encoding: str) -> BufferedReader:
    """A stream in some encoding as UTF-8."""
    return file if encoding == UTF_8 else BufferedReader(_Converted(file, encoding), BLOCK)


def _marked(error: UnicodeError) -> tuple[str, int]:
    """Stands a lone surrogate in place of what cannot be decoded."""
    assert isinstance(error, UnicodeDecodeError)  # only ever used for decoding
    return "\udcff", error.end


codecs.register_error("pingti.marked", _marked)


class _Converted(io.RawIOBase):
    """A stream of UTF-8 made of a stream in another encoding."""

    def __init__(self, file: BufferedReader, encoding: str) -> None:
        self._file = file
        if encoding == "utf-16" and file.peek(2)[:2] not in UTF_16_MARKS:
            encoding = "utf-16-le"  # the order of nearly every file that does not say its own
        self._decoder = codecs.getincrementaldecoder(encoding)("pingti.marked")
        self._ready = memoryview(b"")
        self._ended = False

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        """Fill the buffer as far as one block goes; 0 at the end."""
        while not self._ready and not self._ended:
            block = self._file.read(SMALL_BLOCK)
            self._ended = not block
            text = self._decoder.decode(block, final=self._ended)
            self._ready = memoryview(text.encode("utf-8", "surrogatepass"))
        taken = self._ready[: len(buffer)]
        buffer[: len(taken)] = taken
        self._ready = self._ready[len(taken) :]
        return len(taken)
