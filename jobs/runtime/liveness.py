"""Whether a run is still under way, as another process can tell."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

# A process on another host cannot be asked. One that has told nothing for longer than any run lasts is dead.
LONGEST_RUN = timedelta(days=1)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_under_way: set[str] = set()


@contextmanager
def under_way(run_id: str) -> Iterator[None]:
    """Within it the run counts as alive in this process."""
    _under_way.add(run_id)
    try:
        yield
    finally:
        _under_way.discard(run_id)


def this_process() -> str:
    """This process's name for others: its host's boot, its number, and when it was born (a number is used again)."""
    return f"{_host()} {os.getpid()} {_born('self')}"


def alive(run_id: str, process: str | None, now: datetime) -> bool:
    """Whether a run may still be under way; `process` is what `this_process` said in the run.

    On this host the answer is certain. Of a process elsewhere, or unnamed, nobody knows before `LONGEST_RUN` is over.
    """
    if process == this_process():
        return run_id in _under_way
    host, number, born = (process or "? ? ?").rsplit(" ", 2)
    if born and host == _host():
        return _born(number) == born
    began = datetime.strptime(run_id[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    return now - began < LONGEST_RUN


@cache
def _host() -> str:
    """The machine since its last start, where the system tells one (containers of a machine share their boot)."""
    boot = _BOOT_ID.read_text().strip() if _BOOT_ID.is_file() else ""
    return f"{platform.node()}/{boot}"


def _born(process: str) -> str:
    """The process's start in ticks after the boot; empty where there is no such process, or no such system."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return "" if fields[0] == "Z" else fields[19]  # a zombie ended; only its parent has not looked yet
