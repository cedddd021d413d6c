"""Whether a run is under way, told from its process."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from jobs.runtime import liveness

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
RUN = "20260302T110000-0a1b2c3d"
CODE = "from jobs.runtime import liveness; print(liveness.this_process(), flush=True); input()"


def test_a_run_of_this_process_lives_while_it_is_under_way() -> None:
    assert not liveness.alive(RUN, liveness.this_process(), NOW)
    with liveness.under_way(RUN):
        assert liveness.alive(RUN, liveness.this_process(), NOW)
    assert not liveness.alive(RUN, liveness.this_process(), NOW)


def test_an_ended_run_of_this_process_is_dead_after_the_clock_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    process, birth = liveness.this_process(), liveness._birth
    monkeypatch.setattr(liveness, "_birth", lambda number: (birth(number) or 0) + 1)
    assert not liveness.alive(RUN, process, NOW)


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_a_run_of_a_neighbour_lives_until_its_process_ends() -> None:
    neighbour = subprocess.Popen([sys.executable, "-c", CODE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert neighbour.stdout is not None
    process = neighbour.stdout.readline().strip()
    assert liveness.alive(RUN, process, NOW + timedelta(days=9))
    neighbour.kill()
    os.waitid(os.P_PID, neighbour.pid, os.WEXITED | os.WNOWAIT)  # ended, and not yet reaped
    assert not liveness.alive(RUN, process, NOW)
    neighbour.communicate()
    assert not liveness.alive(RUN, process, NOW)


@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
def test_a_process_number_that_was_given_again_is_another_process() -> None:
    host, number, born = liveness.this_process().rsplit(" ", 2)
    assert not liveness.alive(RUN, f"{host} {number} {float(born) + 60:.2f}", NOW)


@pytest.mark.parametrize("process", ["elsewhere/boot 7 1234", None, f"{liveness.this_process().split()[0]} 7 "])
def test_of_a_process_that_cannot_be_asked_only_time_tells(process: str | None) -> None:
    assert liveness.alive(RUN, process, NOW)
    assert not liveness.alive(RUN, process, NOW + liveness.LONGEST_RUN)
