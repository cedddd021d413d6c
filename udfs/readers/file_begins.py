"""How a file begins: whether its first bytes are those of text in the encoding that the settings name."""

from __future__ import annotations

import codecs

from udfs.readers.counting import BYTE_ORDER_MARK
from udfs.readers.record_spans import RejectedError
from udfs.readers.text_encoding import UTF_8, UTF_16_MARKS, Encoding, order_of_utf16

BEGIN = 64 << 10
"""So many bytes are looked at, at most."""
_CHARACTERS = 4
_OTHER_KINDS = (
    (b"PK\x03\x04", "a ZIP archive or an .xlsx file: save the sheet as CSV, or unpack the archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an .xls or .doc file: save the sheet as CSV"),
    (b"PAR1", "Parquet: format: parquet"),
    (b"\x1f\x8b", "gzip: let the file's name end in .gz"),
    (b"BZh91AY&SY", "bzip2: unpack the file, or pack it by gzip"),
    (b"\x28\xb5\x2f\xfd", "Zstandard: unpack the file, or pack it by gzip"),
    (b"\xfd7zXZ\x00", "xz: unpack the file, or pack it by gzip"),
    (b"SQLite format 3\x00", "an SQLite database: export its table as CSV"),
)


def check_begin(start: bytes, encoding: Encoding) -> None:
    """Refuse a file whose first bytes are of another kind of file, or speak against the encoding.

    Raises:
        RejectedError: with `file_not_text` or `file_encoding`; the detail says what the bytes are and what to do.
    """
    for magic, told in _OTHER_KINDS:
        if start.startswith(magic):
            raise RejectedError("file_not_text", f"its bytes are those of {told}")
    marked = "utf-16" if start[:2] in UTF_16_MARKS else UTF_8 if start[:3] == BYTE_ORDER_MARK else encoding
    if marked != encoding:
        raise RejectedError("file_encoding", f"its byte order mark says {marked}, the settings say {encoding}")
    if encoding != "utf-16" and order_of_utf16(start):
        raise RejectedError("file_encoding", f"its bytes are those of utf-16, the settings say {encoding}")
    if encoding in ("gbk", "gb18030") and _is_utf8(start):
        raise RejectedError("file_encoding", f"its bytes are those of utf-8, the settings say {encoding}")


def _is_utf8(start: bytes) -> bool:
    """Whether these bytes are UTF-8 with some characters of three bytes, which no Chinese text is by chance in GBK.

    Characters of two bytes say nothing: `联通` in GBK is two such.
    """
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(start)  # a character that is cut off at the end waits
    except UnicodeDecodeError:
        return False
    return sum(character >= "\u0800" for character in text) >= _CHARACTERS
