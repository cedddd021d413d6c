"""Encodings of text files: their content as UTF-8."""

from __future__ import annotations

import codecs
import io
from io import BufferedReader
from typing import Final, Literal

from udfs.readers.files import BLOCK, SMALL_BLOCK

Encoding = Literal["utf-8", "gbk", "gb18030", "utf-16"]
UTF_8: Final = "utf-8"
UTF_16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_FIRST_BYTES, _ZEROS = 64, 4
_LAYOUT = b',\t;"\r\n'


def undecodable(encoding: Encoding) -> str:
    """The reason of a record whose bytes are not of the encoding."""
    return f"not_{encoding.replace('-', '')}"


def order_of_utf16(start: bytes) -> str | None:
    """The order of UTF-16 without a byte order mark, by the zeros of its ASCII characters; None where it is none.

    Zeros that strayed into a file of another encoding make none: the first mark of its layout has its zero beside it.
    """
    start = start[:_FIRST_BYTES]
    zeros = {at % 2 for at, byte in enumerate(start) if not byte}
    if start.count(0) < _ZEROS or len(zeros) > 1:
        return None
    (of_zeros,) = zeros
    mark = next((at for at, byte in enumerate(start) if byte in _LAYOUT), None)
    if mark is not None and (mark % 2 == of_zeros or start[mark ^ 1 : (mark ^ 1) + 1] != b"\0"):
        return None
    return "utf-16-le" if of_zeros else "utf-16-be"


def converted(file: BufferedReader, encoding: str) -> BufferedReader:
    """A stream in some encoding as UTF-8.

    A character that is wrong in the encoding comes out as bytes that no UTF-8 has, so that its record is found out.
    """
    return file if encoding == UTF_8 else BufferedReader(_Converted(file, encoding), BLOCK)


def _marked(error: UnicodeError) -> tuple[str, int]:
    """Stands a lone surrogate in place of what cannot be decoded."""
    assert isinstance(error, UnicodeDecodeError)  # only ever used for decoding
    return "\udcff", error.end


def _marked_or_euro(error: UnicodeError) -> tuple[str, int]:
    """As `_marked`, but for the one byte of GBK that Windows' code page 936 has beside the pairs."""
    assert isinstance(error, UnicodeDecodeError)
    if error.object[error.start] == _EURO:
        return "€", error.start + 1
    return _marked(error)


_EURO = 0x80
codecs.register_error("pingti.marked", _marked)
codecs.register_error("pingti.gbk", _marked_or_euro)
# Python's codec is of the year 2000: characters that had no code point then are private ones. These got theirs in
# GB 18030-2005 (U+1E3F) and GB 18030-2022, as https://encoding.spec.whatwg.org/#gb18030-decoder has them.
_SINCE_2000 = dict(
    zip(
        [*range(0xE78D, 0xE797), 0xE7C7, 0xE81E, 0xE826, 0xE82B, 0xE82C, 0xE832, 0xE843, 0xE854, 0xE864],
        [
            0xFE10, 0xFE12, 0xFE11, 0xFE13, 0xFE14, 0xFE15, 0xFE16, 0xFE17, 0xFE18, 0xFE19, 0x1E3F,
            0x9FB4, 0x9FB5, 0x9FB6, 0x9FB7, 0x9FB8, 0x9FB9, 0x9FBA, 0x9FBB,
        ],
        strict=True,
    )
)  # fmt: skip


class _Converted(io.RawIOBase):
    """A stream of UTF-8 made of a stream in another encoding."""

    def __init__(self, file: BufferedReader, encoding: str) -> None:
        self._file = file
        if encoding == "utf-16" and file.peek(2)[:2] not in UTF_16_MARKS:
            # Of a file that does not say its order the ASCII characters tell it; else that of nearly every such file.
            encoding = order_of_utf16(file.peek(_FIRST_BYTES)) or "utf-16-le"
        # GBK as Windows and the web have it: GB 18030 reads every pair, also those that Python's GBK does not know.
        self._chinese = encoding in ("gbk", "gb18030")
        codec, errors = ("gb18030", "pingti.gbk") if encoding == "gbk" else (encoding, "pingti.marked")
        self._decoder = codecs.getincrementaldecoder(codec)(errors)
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
            text = text.translate(_SINCE_2000) if self._chinese else text
            self._ready = memoryview(text.encode("utf-8", "surrogatepass"))
        taken = self._ready[: len(buffer)]
        buffer[: len(taken)] = taken
        self._ready = self._ready[len(taken) :]
        return len(taken)
