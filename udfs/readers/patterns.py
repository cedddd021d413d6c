"""Paths that name several files: `*`, `?`, `[1-3]`, `**` (any number of folders), `{a,b}` and `~`.

What exists under its literal name is taken as it is written: a folder `录音[1]` is no pattern.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Callable
from pathlib import Path

_MAGIC = re.compile(r"[*?\[]")
_BRACES = re.compile(r"\{([^{}]*,[^{}]*)\}")


def expanded(pattern: str, exists: Callable[[str], bool]) -> list[str]:
    """The patterns without braces that a path with braces stands for; a literal path that exists stands for itself."""
    match = None if exists(pattern) else _BRACES.search(pattern)
    if match is None:
        return [pattern]
    before, after = pattern[: match.start()], pattern[match.end() :]
    each = (expanded(f"{before}{choice}{after}", exists) for choice in match[1].split(","))
    return list(dict.fromkeys(one for several in each for one in several))


def literal_prefix(pattern: str, exists: Callable[[str], bool]) -> tuple[str, str]:
    """The leading folders that are no pattern, or exist by their literal names; and the rest, which may be empty.

    The two parts are joined by a slash.
    """
    parts = pattern.split("/")
    taken = 0
    for at, part in enumerate(parts):
        if _MAGIC.search(part) and not exists("/".join(parts[: at + 1])):
            break
        taken = at + 1
    return "/".join(parts[:taken]), "/".join(parts[taken:])


def local_paths(pattern: str) -> list[str]:
    """The paths of this machine's files and folders that a pattern names, each once, sorted."""

    def exists(path: str) -> bool:
        return Path(path).exists()

    home = Path.home() if pattern == "~" or pattern.startswith("~/") else None
    whole = f"{home}{pattern[1:]}" if home else pattern
    found: set[str] = set()
    for one in expanded(whole, exists):
        prefix, rest = literal_prefix(one, exists)
        if not rest:
            found |= {prefix} if exists(prefix) else set()
            continue
        escaped = f"{glob.escape(prefix)}/{rest}" if prefix or one.startswith("/") else rest
        found |= set(glob.glob(escaped, recursive=True))  # noqa: PTH207 (the pattern may start at any root)
    return sorted(found)


def matcher(rest: str) -> Callable[[str], bool]:
    """Whether a path below the literal folders is one that the rest of a pattern names; hidden names are none."""
    from fsspec.utils import glob_translate  # type: ignore[import-untyped]

    compiled = re.compile(glob_translate(rest))

    def matches(path: str) -> bool:
        return compiled.match(path) is not None and not any(part.startswith(".") for part in path.split("/"))

    return matches
