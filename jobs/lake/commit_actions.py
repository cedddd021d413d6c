"""The files that a commit added and removed, as its own file in the log has them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import TextIOWrapper
from typing import Any
from urllib.parse import unquote

import pyarrow.fs as pafs


@dataclass(frozen=True, slots=True)
class FileAction:
    """A file that a commit added to a table or removed from it.

    Attributes:
        path: As the log has it.
        partition: Its partition values, as text.
        added: Whether it was added.
        changes: Whether the commit says that rows changed by it; compaction says no.
    """

    path: str
    partition: Mapping[str, str | None]
    added: bool
    changes: bool


def read_actions(folder: pafs.FileSystem, version: int) -> list[FileAction] | None:
    """What one commit did with files; None where its file was cleaned away."""
    try:
        with folder.open_input_stream(f"_delta_log/{version:020}.json") as stream:
            return list(_actions(TextIOWrapper(stream, "utf-8")))
    except FileNotFoundError:
        return None


def _actions(lines: Iterator[str]) -> Iterator[FileAction]:
    for line in lines:
        action: dict[str, Any] = json.loads(line)
        for kind in ("add", "remove"):
            told = action.get(kind)
            if told is not None:
                partition = told.get("partitionValues") or _from_path(told["path"])
                yield FileAction(told["path"], partition, kind == "add", bool(told.get("dataChange", True)))


def _from_path(path: str) -> dict[str, str | None]:
    """The partition values in a path; a remove action may leave them out."""
    parts = (part.partition("=") for part in path.split("/")[:-1] if "=" in part)
    # Escaped once for the folder, and once more for the log.
    return {name: unquote(unquote(value)) for name, _, value in parts}
