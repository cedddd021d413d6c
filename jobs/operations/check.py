"""`pingti check`: what a run would meet, told in seconds and before anything is made: files, bases, machine. No Spark.

Texts are shown masked: their first characters and their lengths.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from jobs.operations import check_annotations
from jobs.runtime import environment
from jobs.settings import Settings
from models.errors import DataError, PingtiError
from models.teachers.checkpoint_files import expect_base
from udfs.readers.files import SizedFile, open_file, sized_files
from udfs.readers.formats import DELIMITED, FORMATS
from udfs.readers.reading import read_range
from udfs.readers.record_spans import RejectedError
from udfs.readers.sources import RecordLimits, SourceSettings
from udfs.readers.survey import survey
from udfs.readers.text_encoding import UTF_8, undecodable
from udfs.storage import is_uri, without_file_scheme

FIRST_RECORDS = 1000
"""Of the newest file of a source; so many are read."""
_WHOLE_BYTES = 64 << 20  # a larger file is not surveyed: that would take longer than a look
_SHOWN = 3
_CHARS = 2


@dataclass
class Findings:
    """What was found: lines to show, and what would be refused.

    Attributes:
        lines: In order.
        problems: Each would end a command.
    """

    lines: list[str] = field(default_factory=list)
    problems: list[PingtiError] = field(default_factory=list)

    def say(self, line: str) -> None:
        """A line to show."""
        self.lines.append(line)

    def attempt(self, title: str, look: Callable[[], str]) -> None:
        """Look at something; what ends with an error of ours is a problem."""
        try:
            self.say(f"✓ {title}: {look()}")
        except PingtiError as error:
            self.problems.append(error)
            self.say(f"✗ {title}: {error}")


def check(settings: Settings, annotations: str | None = None) -> Findings:
    """Look at the machine, at what teachers begin as, at each source, and at files of annotations."""
    found = Findings()
    found.attempt("settings", lambda: _told_settings(settings))
    found.attempt("java", _java)
    found.attempt("disk", lambda: _disk(environment.own_disk(settings.lake.location)))
    for base in sorted({task.teacher.source for task in settings.tasks.values() if task.teacher.source}):
        found.attempt("teacher.from", partial(_base, base))
    for name, source in settings.sources.items():
        _look_at_source(found, name, source, settings)
    if annotations is not None:
        found.attempt("annotations", lambda: "\n  ".join(check_annotations.look(annotations, settings)))
    return found


def _told_settings(settings: Settings) -> str:
    labels = sum(len(task.labels) for task in settings.tasks.values())
    return f"{len(settings.sources)} sources, {len(settings.tasks)} tasks, {labels} labels"


def _java() -> str:
    environment.check_user()
    environment.check_java()
    environment.temporary_folder()
    return f"there, {environment.MIN_JAVA} or newer"


def _base(base: str) -> str:
    """The files of a base that is a folder; its weights are held to its vocabulary and its texts when it is trained."""
    folder = Path(without_file_scheme(base))
    if is_uri(base) or not folder.is_dir():
        return f"{base}, no folder of this machine, is read when a teacher is trained"
    expect_base(folder)
    return f"{base} holds whole weights and a config.json"


def _disk(place: Path) -> str:
    environment.check_disk(place)
    return f"room for a warehouse at {place}"


def _look_at_source(found: Findings, name: str, source: SourceSettings, settings: Settings) -> None:
    files: list[SizedFile] = []

    def listed() -> str:
        files.extend(sized_files(source.path))
        if not files and not source.optional:
            raise DataError(f"no file at {source.path}; mend the path, bring the files, or say optional: true")
        return f"{len(files):,} files of {sum(file.size for file in files):,} bytes at {source.path}"

    title = f"sources.{name}"
    found.attempt(title, listed)
    if not files:
        return
    newest = max(files, key=lambda file: (file.modified or datetime.min.replace(tzinfo=UTC), file.path))
    problems = len(found.problems)
    found.attempt(f"{title}, its newest file", lambda: _surveyed(newest, source))
    if len(found.problems) > problems:
        return
    if FORMATS[source.format].is_text and source.format in DELIMITED:
        found.say(f"  dialect: {'as the settings say' if source.dialect else 'excel'}; encoding: {source.encoding}")
    rows = list(islice(_records(newest, source, settings), FIRST_RECORDS))
    for row in rows[:_SHOWN]:
        found.say(f"  {_shown(row, settings.session.timezone)}")
    _tell_reasons(found, rows)
    _weigh(found, title, rows, settings)
    _tell_scenes(found, rows, settings)


def _surveyed(file: SizedFile, source: SourceSettings) -> str:
    if file.size > _WHOLE_BYTES:
        with open_file(file.path) as opened:
            try:
                FORMATS[source.format].check(opened, file.path, source)
            except RejectedError as refused:
                raise DataError(f"{file.path}: {refused.reason}, {refused.detail}") from None
        return f"{file.path}, {file.size:,} bytes, not counted"
    looked = survey(file.path, source)
    if looked.refused:
        raise DataError(f"{file.path} would be refused: {looked.refused}, {looked.detail}")
    return f"{file.path}, {looked.records:,} records"


def _records(file: SizedFile, source: SourceSettings, settings: Settings) -> Iterator[dict[str, Any]]:
    limits: RecordLimits = settings.ingest.limits(datetime.now(UTC))
    for batch in read_range(file.path, 0, max(file.size, 1), "check", source, limits, file.size):
        yield from batch.to_pylist()


def _shown(row: dict[str, Any], zone: str) -> str:
    """A record as it would be read, its texts masked."""
    if row["reason"]:
        return f"rejected: {row['reason']}, {row['detail']}"
    told = {
        "source_id": row["source_id"], "scene": row["scene"], "source": row["source"],
        "event_time": f"{row['event_time'].astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S}",
        "text": masked(row["text"]),
    }  # fmt: skip
    told |= {"text_b": masked(row["text_b"])} if row["text_b"] else {}
    return ", ".join(f"{name} {value}" for name, value in told.items() if value is not None)


def masked(text: str) -> str:
    """A text's first characters and its length; what would steer a terminal is shown as an escape."""
    shown = "".join(character if character.isprintable() else f"\\u{ord(character):04x}" for character in text[:_CHARS])
    return f"{shown}… ({len(text)} characters)"


def _tell_reasons(found: Findings, rows: list[dict[str, Any]]) -> None:
    if 2 * sum(row["reason"] == undecodable(UTF_8) for row in rows) > len(rows):
        found.say("  most are not utf-8: encoding: gb18030 reads what Chinese Excel saves")
    reasons = Counter(f"{row['reason']} ({row['detail']})" for row in rows if row["reason"])
    for reason, count in reasons.most_common():
        found.say(f"  {count:,} of the first {len(rows):,} records would be rejected: {reason}")


def _weigh(found: Findings, title: str, rows: list[dict[str, Any]], settings: Settings) -> None:
    bad, share = sum(1 for row in rows if row["reason"]), settings.ingest.max_rejected_share
    if rows and bad > share * len(rows):
        error = DataError(
            f"{title}: {bad} of the first {len(rows)} records would be rejected, over ingest.max_rejected_share {share}"
        )
        found.problems.append(error)
        found.say(f"✗ {error}")


def _tell_scenes(found: Findings, rows: Iterable[dict[str, Any]], settings: Settings) -> None:
    """Scenes that no task names: their texts would be labelled by none."""
    known = {scene for task in settings.tasks.values() for scene in task.scenes}
    others = Counter(row["scene"] for row in rows if not row["reason"] and row["scene"] not in known)
    if settings.tasks and others:
        told = ", ".join(f"{scene} ({count:,})" for scene, count in others.most_common(5))
        found.say(f"  scenes that no task names: {told}")
