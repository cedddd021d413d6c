"""What a person watching a run sees: a line a stage, live on a terminal, plain in a log."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Session: TypeAlias = "Callable[[], SparkSession | None]"
_POLL_SECONDS = 0.5
_LOG_SECONDS = 60.0  # between two lines of one stage in a log, which nobody watches live


class Stage:
    """One stage under way; jobs report rows as they go, and the count that its closing line shows."""

    def __init__(self, live: Progress | None, task: TaskID | None, say: Callable[[str], None] | None = None) -> None:
        self._live, self._task, self._say = live, task, say
        self._started = self._said = time.monotonic()
        self.rows = 0

    def update(self, rows: int, total: int | None = None, note: str = "", since: float | None = None) -> None:
        """Show how many rows are done, of how many, and a short note such as the loss.

        `since` is when the first of them began (`time.monotonic`), where that was not the stage itself.
        """
        self.rows = rows
        now = time.monotonic()
        speed = rows / max(now - (self._started if since is None else since), 1e-9)
        text = f"{rows:,} rows  {speed:,.0f} rows/s  {note}"
        if self._live is None or self._task is None:
            if self._say is not None and now - self._said > _LOG_SECONDS:
                self._said = now
                self._say(f"  {text}" if total is None else f"  {text}  of {total:,}")
            return
        self._live.update(self._task, completed=rows, total=total, detail=text)


class TrainingProgress:
    """What a trainer calls: after each batch itself, after each epoch `epoch`."""

    def __init__(self, stage: Stage, title: str) -> None:
        self._stage, self._title, self._metric = stage, title, ""
        self._started = time.monotonic()

    def __call__(self, done: int, total: int, loss: float) -> None:
        """Show the rows done, of how many, and the batch's loss."""
        self._stage.update(done, total, f"{self._title}, loss {loss:.4f}{self._metric}", self._started)

    def epoch(self, number: int, loss: float, f1: float | None) -> None:
        """Remember the epoch's mean loss and, where rows were kept back, the F1 on them."""
        validated = "" if f1 is None else f", validation F1 {f1:.4f}"
        self._metric = f" (epoch {number}: {loss:.4f}{validated})"


class Reporter:
    """Prints the stages of a run. `quiet` keeps everything but errors to itself."""

    def __init__(self, console: Console | None = None, *, quiet: bool = False) -> None:
        self.console = console or Console(stderr=True, quiet=quiet)

    def say(self, text: str) -> None:
        """One plain line."""
        self.console.print(text, highlight=False, soft_wrap=True)

    @contextmanager
    def stage(self, title: str, session: Session | None = None, following: str = "") -> Iterator[Stage]:
        """A stage from start to end; its rows and tasks are read from Spark while it runs.

        `session` gives the session, None while none was started.
        """
        started = time.monotonic()
        then = f"  [dim]next: {following}[/dim]" if following else ""
        if self.console.is_terminal:
            with self._bar() as live:
                stage = Stage(live, live.add_task(title + then, total=None, detail=""))
                with _watching(session, stage):
                    yield stage
        else:
            self.say(f"… {title}{then}")
            stage = Stage(None, None, self.say)
            with _watching(session, stage):
                yield stage
        seconds = time.monotonic() - started
        speed = f"  {stage.rows / seconds:,.0f} rows/s" if stage.rows and seconds > 0 else ""
        rows = f"{stage.rows:,} rows" if stage.rows else ""
        self.say(f"[green]✓[/green] {title:<28} {rows:>16} {seconds:7.1f} s{speed}")

    def _bar(self) -> Progress:
        detail = TextColumn("{task.fields[detail]}")
        spinner, title = SpinnerColumn(), TextColumn("{task.description}")
        return Progress(
            spinner, title, BarColumn(24), TimeElapsedColumn(), detail, console=self.console, transient=True
        )


@contextmanager
def _watching(session: Session | None, stage: Stage) -> Iterator[None]:
    if session is None:
        yield
        return
    ended = threading.Event()
    watcher = threading.Thread(target=_watch, args=(session, stage, ended), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join(2 * _POLL_SECONDS)


def _watch(session: Session, stage: Stage, ended: threading.Event) -> None:
    """Show the rows of Spark's active stages; a stage that ends between two looks is simply not seen."""
    while not ended.wait(_POLL_SECONDS):
        try:
            spark = session()
            if spark is None:
                continue
            store = spark.sparkContext._jsc.sc().statusStore()
            active = store.activeStages()
            stages = [active.apply(i) for i in range(active.size())]
            tasks = sum(s.numTasks() for s in stages), sum(s.numCompleteTasks() for s in stages)
            rows = max((max(s.inputRecords(), s.shuffleReadRecords()) for s in stages), default=0)
        except Exception:
            return  # watching must never end a run
        if tasks[0]:
            before = stage.rows
            stage.update(rows, note=f"tasks {tasks[1]}/{tasks[0]}")
            stage.rows = before  # the closing line shows what the job counted, not what was seen in passing
