"""Care of a table's files without Spark: small ones brought together, unneeded ones removed, the log kept short.

What is removed is decided here, file by file, not by a tool's VACUUM: it leaves no commits behind, compares paths as
they are on the disk however the log escapes them, and also finds files that no commit ever named.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from urllib.parse import unquote

import pyarrow.fs as pafs
from deltalake import CommitProperties
from deltalake.exceptions import DeltaError

from jobs.lake.store import Lake
from jobs.lake.tables import Table
from udfs.data_files import ROLL_BYTES, DataFile

Partition = tuple[tuple[str, str | None], ...]
_SMALL_BYTES = ROLL_BYTES // 4
_CHECKPOINT_COMMITS = 10
"""As many commits without a checkpoint are read one by one by whoever opens the table; Delta's own number."""


def small_partitions(files: Iterable[DataFile], at_least: int) -> list[Partition]:
    """The partitions that have so many small files or more, in order; a table without partitions has one, `()`."""
    counts = Counter(tuple(file.partition.items()) for file in files if file.size < _SMALL_BYTES)
    found = [partition for partition, count in counts.items() if count >= max(at_least, 2)]
    return sorted(found, key=str)


def compact(lake: Lake, table: Table, partitions: Sequence[Partition]) -> bool:
    """Bring the small files of these partitions together, in one commit that says that no row changed.

    Returns:
        Whether it was made; not where another commit came meanwhile, which a compaction never holds up.
    """
    arrow = lake.catalog.arrow
    columns = [name for name, _ in partitions[0]]
    filters = [
        (name, "in", sorted({dict(partition)[name] or "" for partition in partitions})) for name in columns
    ]  # other partitions of the same days may come with them
    now = arrow.existing(table)
    try:
        now.optimize.compact(
            filters or None,
            target_size=ROLL_BYTES,
            commit_properties=CommitProperties({"isBlindAppend": False}, 0),
        )
    except DeltaError:
        return False
    return True


def unneeded(files: Iterable[pafs.FileInfo], needed: frozenset[str], before: datetime) -> Iterator[pafs.FileInfo]:
    """The data files of a table's folder that are not needed and were last written before a moment.

    Hidden files and folders (`_delta_log`, `.crc`) are not data.
    """
    for file in files:
        hidden = any(part.startswith((".", "_")) for part in file.path.split("/"))
        old = file.mtime is not None and file.mtime < before
        if file.type is pafs.FileType.File and old and not hidden and file.path not in needed:
            yield file


def unneeded_files(lake: Lake, table: Table, before: datetime) -> list[str]:
    """The files, below the table's place, that no version since a moment needs.

    They are those that commits removed before it, and those that were written before it and never committed. A version
    that the log was cleaned of needs none.
    """
    arrow = lake.catalog.arrow
    folder = arrow.folder(table)
    # Listed first: a file that a commit names only after that was written after that, or is named by the look below.
    listed = list(folder.get_file_info(pafs.FileSelector("", recursive=True)))
    needed = {unquote(file.path) for file in arrow.files(table)}
    needed |= _removed_since(lake, table, before)
    return [file.path for file in unneeded(listed, frozenset(needed), before)]


def _removed_since(lake: Lake, table: Table, moment: datetime) -> set[str]:
    """The files that commits since a moment removed, unescaped."""
    arrow = lake.catalog.arrow
    folder, found = arrow.folder(table), set[str]()
    for version in range(lake.log.version(table), -1, -1):
        at = folder.get_file_info(f"_delta_log/{version:020}.json")
        if at.type is not pafs.FileType.File or at.mtime < moment:
            break
        found |= {unquote(action.path) for action in arrow.actions(table, version) or () if not action.added}
    return found


def remove_files(lake: Lake, table: Table, paths: Iterable[str]) -> int:
    """Remove files that no version needs; one that is gone already was removed by another run."""
    folder, count = lake.catalog.arrow.folder(table), 0
    for path in paths:
        try:
            folder.delete_file(path)
        except FileNotFoundError:
            continue
        count += 1
    return count


def commits_since_checkpoint(lake: Lake, table: Table) -> int:
    """How many commits whoever opens the table reads one by one."""
    folder = lake.catalog.arrow.folder(table)
    names = (file.base_name for file in folder.get_file_info(pafs.FileSelector("_delta_log")))
    checkpoints = [int(name[:20]) for name in names if ".checkpoint." in name and name[:20].isdigit()]
    return lake.log.version(table) - max(checkpoints, default=-1)


def needs_checkpoint(lake: Lake, table: Table) -> bool:
    """Whether its log is to be summed up."""
    return commits_since_checkpoint(lake, table) > _CHECKPOINT_COMMITS


def keep_log(lake: Lake, table: Table) -> bool:
    """Sum the log up in a checkpoint where it grew long; whether that was done.

    Commits are dropped that are past the table's `delta.logRetentionDuration`, 30 days unless it says otherwise.
    """
    now, due = lake.catalog.arrow.existing(table), needs_checkpoint(lake, table)
    if due:
        now.create_checkpoint()
    now.cleanup_metadata()
    return due


def days_ago(days: int, now: datetime | None = None) -> datetime:
    """The moment so many days before now."""
    return datetime.fromtimestamp((now or datetime.now(UTC)).timestamp() - days * 86_400, UTC)
