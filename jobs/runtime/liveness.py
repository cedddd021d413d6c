"""Whether a run is still under way, as another process can tell."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

import psutil

# A process on another host cannot be asked. One that was silent for longer than any run lasts is dead.
LONGEST_RUN = timedelta(days=1)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
# The time of a process's birth follows the clock of the machine, which is set right now and then.
_CLOCK_SECONDS = 2.0
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
    return _name(os.getpid())


def alive(run_id: str, process: str | None, now: datetime) -> bool:
    """Whether a run may still be under way; `process` is what `this_process` returned in the run.

    On this host the answer is certain. Of a process elsewhere, or unnamed, nobody knows before `LONGEST_RUN` is over.
    """
    if process == this_process():
        return run_id in _under_way
    host, number, birth = (process or "? ? ?").rsplit(" ", 2)
    if birth and host == _host() and number.isdigit():
        born = _birth(int(number))
        return born is not None and abs(born - float(birth)) < _CLOCK_SECONDS
    began = datetime.strptime(run_id[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    return now - began < LONGEST_RUN


@cache
def _name(number: int) -> str:
    """Told once a process: the clock that its birth follows may be set while it lives."""
    return f"{_host()} {number} {_birth(number):.2f}"


@cache
def _host() -> str:
    """The machine since its last start, where the system names one (containers of a machine share their boot)."""
    boot = _BOOT_ID.read_text().strip() if _BOOT_ID.is_file() else ""
    return f"{platform.node()}/{boot}"


def _birth(number: int) -> float | None:
    """When the process was created, in seconds since 1970; None where there is no such process."""
    try:
        process = psutil.Process(number)
        ended = process.status() == psutil.STATUS_ZOMBIE  # only its parent has not looked yet
        return None if ended else process.create_time()
    except psutil.Error:
        return None
