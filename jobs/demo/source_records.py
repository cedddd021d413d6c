"""Writes records as their sources deliver them: JSON lines of the chat, CSV of the speech, rows of photos.

Every source has column names and a notion of time of its own. A broken record is broken in one way only and
never breaks the record after it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from jobs.demo.clusters import CHAT, PHOTO, SPEECH
from jobs.demo.grammar import Draw

FILES = {
    CHAT: "texts/live_chat.jsonl",
    SPEECH: "texts/teacher_speech.csv",
    PHOTO: "texts/homework_photo.parquet",
}
COLUMNS = {
    CHAT: {"id": "msg_id", "text": "content", "time": "sent_at"},
    SPEECH: {"id": "utt_id", "text": "transcript", "time": "start_time"},
    PHOTO: {"id": "page_id", "text": "ocr_text", "time": "taken_at"},
}
LONG_TEXT = 1_000_000  # characters
LOCAL_OFFSET = timedelta(hours=8)  # Asia/Shanghai has no summer time
ABROAD = (
    (0.01, timedelta(0), "+00:00"),
    (0.02, timedelta(hours=9), "+09:00"),
)  # pupils elsewhere, by running share

# Stand-ins that become bytes which are not UTF-8: a continuation without a start, a character cut short, an
# overlong form. Private characters, so that no text holds them by itself.
_BAD_BYTES = {"\ue000": b"\xbf\xbf", "\ue001": b"\xe4\xb8", "\ue002": b"\xc0\xaf"}
_NO_TIMES = ("昨天晚上", "2026-13-45T26:61:00", "刚才", "n/a")
_MISSING = object()


PhotoColumns = tuple[list[str], list[str | None], list[datetime]]  # ids, texts, times


@dataclass(slots=True)
class Record:
    """One record before it is written; `local` is naive, in Asia/Shanghai, `kind` is what is to be broken."""

    source_id: str
    text: str
    local: datetime
    kind: str | None = None


def _damaged(record: Record, draw: Draw) -> tuple[Any, str | None]:
    """The text as it will be written, and what stands instead of the time (None: the time)."""
    kind, text = record.kind, record.text
    if kind == "not_utf8":
        return text + list(_BAD_BYTES)[int(draw() * len(_BAD_BYTES))], None
    if kind == "no_text":
        return (_MISSING, None, "")[int(draw() * 3)], None
    if kind == "duplicate_id":
        return text + "（重发）", None
    if kind == "too_long":
        return (text + "哈") * (LONG_TEXT // (len(text) + 1)) + "哈" * (LONG_TEXT % (len(text) + 1)), None
    if kind == "wrong_type":
        return text, _NO_TIMES[int(draw() * len(_NO_TIMES))]
    return text, None


def _encoded(text: str) -> bytes:
    data = text.encode()
    for mark, bad in _BAD_BYTES.items():
        data = data.replace(mark.encode(), bad)
    return data


def chat_lines(records: Iterable[Record], draw: Draw) -> bytes:
    """JSON lines; the time is ISO 8601 with an offset, mostly +08:00."""
    return _encoded("".join(_chat_line(record, draw) for record in records))


def _chat_line(record: Record, draw: Draw) -> str:
    text, no_time = _damaged(record, draw)
    if no_time is not None and draw() < 0.5:  # half of the wrong types are in the text
        text, no_time = ((int(draw() * 1e6)), [text], {"text": text}, True)[int(draw() * 4)], None
    value = {
        "msg_id": record.source_id,
        "content": text,
        "sent_at": no_time or _with_offset(record.local, draw()),
    }
    if text is _MISSING:
        del value["content"]
    return json.dumps(value, ensure_ascii=False) + "\n"


def _with_offset(local: datetime, uniform: float) -> str:
    for share, offset, name in ABROAD:
        if uniform < share:
            return (local - LOCAL_OFFSET + offset).isoformat(timespec="milliseconds") + name
    return local.isoformat(timespec="milliseconds") + "+08:00"


def speech_header() -> bytes:
    """The CSV's first line."""
    return ",".join(COLUMNS[SPEECH].values()).encode() + b"\r\n"


def speech_rows(records: Iterable[Record], draw: Draw) -> bytes:
    """CSV rows after RFC 4180: CRLF between records, quotes where needed; the time is naive local time."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\r\n")
    for record in records:
        text, no_time = _damaged(record, draw)
        text = text if isinstance(text, str) else ""
        writer.writerow((record.source_id, text, no_time or record.local.isoformat(" ", timespec="seconds")))
    return _encoded(buffer.getvalue())


def photo_columns(records: Iterable[Record], draw: Draw) -> PhotoColumns:
    """Columns of the Parquet file: ids, texts (None or empty where broken), times in UTC, naive."""
    ids, texts, times = [], [], []
    for record in records:
        text, _ = _damaged(record, draw)
        ids.append(record.source_id)
        texts.append(None if text is _MISSING else text)
        times.append(record.local - LOCAL_OFFSET)
    return ids, texts, times
