"""What the commits of a table say of themselves, read commit by commit, each once.

delta-rs counts versions back from its own snapshot, and gives a commit that came meanwhile the number of the one before
it; here each commit keeps the number of its file.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from io import TextIOWrapper
from itertools import takewhile
from typing import Any, TypeAlias

import pyarrow.fs as pafs

CommitInfo: TypeAlias = dict[str, Any]
_READERS = 8  # of commits at once: an object store answers slowly, but many


class CommitHistory:
    """The commits of one table that were read so far."""

    def __init__(self) -> None:
        self._kept: dict[int, CommitInfo] = {}

    def newest(self, folder: pafs.FileSystem, version: int, limit: int) -> list[CommitInfo]:
        """The `commitInfo` of the newest commits up to a version, with `version`, the newest first.

        It ends before a commit whose file was cleaned away.
        """
        wanted = range(version, max(version - limit, -1), -1)
        unread = [one for one in wanted if one not in self._kept]
        if unread:
            with ThreadPoolExecutor(_READERS) as pool:
                read = pool.map(partial(_commit_info, folder), unread)
                self._kept |= {one: info for one, info in zip(unread, read, strict=True) if info is not None}
        return [self._kept[one] for one in takewhile(self._kept.__contains__, wanted)]


def _commit_info(folder: pafs.FileSystem, version: int) -> CommitInfo | None:
    """A commit's own words, None where its file is gone. They come first in it, before any of its many files."""
    try:
        with folder.open_input_stream(f"_delta_log/{version:020}.json") as stream:
            for line in TextIOWrapper(stream, "utf-8"):
                if "commitInfo" in (action := json.loads(line)):
                    return {**action["commitInfo"], "version": version}
            return {"version": version}
    except FileNotFoundError:
        return None
