"""What a log shows of a stage that takes long."""

from __future__ import annotations

import io
from unittest import mock

from rich.console import Console

from jobs.runtime import progress
from jobs.runtime.progress import Reporter, Teller


def test_a_log_gets_a_line_now_and_then_with_speed_loss_and_metric() -> None:
    out = io.StringIO()
    clock = iter([0.0, 0.0, 10.0, 61.0, 70.0, 200.0])
    with mock.patch.object(progress.time, "monotonic", side_effect=lambda: next(clock)):
        stage = progress.Stage(None, None, Reporter(Console(file=out, width=200)).say)
        teller = Teller(stage, "praise")
        next(clock)
        teller(640, 2000, 0.5)
        assert out.getvalue() == ""
        teller.epoch(1, 0.4, 0.75)
        teller(1220, 2000, 0.3)
        assert (
            "1,220 rows  20 rows/s  praise, loss 0.3000 (epoch 1: 0.4000, validation F1 0.7500)  of 2,000"
            in out.getvalue()
        )
        teller(1400, 2000, 0.3)
        assert out.getvalue().count("\n") == 1
