"""What is raised on executors ends the run with its own class, exit code and sentence."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.lake import tables
from jobs.lake.store import Lake
from jobs.runtime.executor_errors import told
from jobs.runtime.job import run
from jobs.scoring import score
from models.errors import BundleError, EnvError
from tests.support import context_of, fill, model_row, text_row

pytestmark = pytest.mark.spark

TASKS = {"praise": {"scenes": ["live_chat"], "labels": {"asks": {}}}}


def test_a_bundle_that_is_missing_on_an_executor_is_told_as_such(lake: Callable[..., Lake], tmp_path: Path) -> None:
    own = lake(*tables.ALL)
    place = str(tmp_path / "nowhere")
    fill(own, {tables.TEXTS: [text_row("a")], tables.MODELS: [model_row("praise/textcnn/1", ["asks"], path=place)]})
    with pytest.raises(BundleError, match=f"^{place}: no such folder, expected a sealed bundle") as caught:
        run(score.JOB, context_of(own, "score", tasks=TASKS))
    assert caught.value.exit_code == 4
    assert "\n" not in str(caught.value)
    (row,) = own.rows(tables.RUNS)
    assert (row["outcome"], row["reason"]) == ("BundleError", str(caught.value))


@pytest.mark.parametrize("sign", ["IOException: No space left on device", "Permission denied", "OutOfMemoryError"])
def test_what_the_machine_lacks_is_an_error_of_the_environment(sign: str) -> None:
    assert isinstance(told("score", RuntimeError(f"Job aborted …\n\tat org.apache\nCaused by: {sign}\n")), EnvError)


def test_an_error_of_sparks_own_stays_what_it_is() -> None:
    assert told("score", RuntimeError("[DIVIDE_BY_ZERO] models.errors.Unknown: x")) is None
    assert told("score", RuntimeError("a text says models.errors.DataError: in a line of its own")) is None
