"""What a log shows of a stage that takes long."""

from __future__ import annotations

import io
from unittest import mock

from rich.console import Console

from jobs.runtime import progress
from jobs.runtime.progress import Reporter, TrainingProgress


def test_a_log_gets_a_line_now_and_then_with_speed_loss_and_metric() -> None:
    out = io.StringIO()
    clock = iter([0.0, 100.0, 110.0, 161.0, 171.0])  # the stage, the training, and its three calls
    with mock.patch.object(progress.time, "monotonic", side_effect=lambda: next(clock)):
        stage = progress.Stage(None, None, Reporter(Console(file=out, width=200)).say)
        shown = TrainingProgress(stage, "praise")
        shown(640, 2000, 0.5)
        assert "640 rows  64 rows/s  praise, loss 0.5000  of 2,000" in out.getvalue()
        shown.epoch(1, 0.4, 0.75)
        shown(1220, 2000, 0.3)
        assert out.getvalue().count("\n") == 1  # not a minute later
        shown(1400, 2000, 0.3)
        told = out.getvalue().splitlines()[-1]
        assert "1,400 rows  20 rows/s  praise, loss 0.3000 (epoch 1: 0.4000, validation F1 0.7500)  of 2,000" in told
