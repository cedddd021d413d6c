"""New files as they come: `pingti ingest --new` and `--follow`.

Each look lists the sources' names and takes those that `loads` does not know, some at a time, by the planning and the
execution of the batch job; each batch leaves a row in `runs`. What was loaded is the tables' own knowledge: there is no
checkpoint that could be lost or disagree, and between two batches nothing is kept.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import FrameType

from jobs.ingestion import ingest, load_plan, source_files
from jobs.ingestion.file_survey import ListedFile
from jobs.ingestion.load_plan import LoadPlan
from jobs.runtime.context import Context
from jobs.runtime.job import Work, run
from models.errors import DataError, RefusedError


def ingest_stream(context: Context, *, until_stopped: bool) -> None:
    """Load what is new: once (`until_stopped` False), or again and again until SIGTERM or SIGINT.

    Raises:
        RefusedError: at the end of one pass, where files were set aside whole.
        DataError: at the end of one pass, where a source has no file.
        PingtiError: what a batch raised; the files of that batch are taken again by the next run.
    """
    stopped = threading.Event()
    refused: list[str] = []
    missing: tuple[str, ...] = ()
    number = 0
    with _stopping(stopped.set):
        while not stopped.is_set():
            listing = source_files.list_sources(context.settings.sources)
            for one in listing.missing if not missing else ():  # once, however often the folders are looked at
                context.reporter.say(f"  {one}")
            missing = missing or listing.missing
            if _load_some(context, listing.files, number, refused):
                number += 1
                continue
            if not until_stopped:
                break
            stopped.wait(context.settings.ingest.follow_seconds)
    if not until_stopped:
        _end(refused, missing)


def _end(refused: Sequence[str], missing: Sequence[str]) -> None:
    """End one pass: with an error, where it leaves something to be mended."""
    if refused:
        raise RefusedError("; ".join(refused))
    if missing:
        raise DataError(source_files.missing_files(missing))


def _load_some(context: Context, listed: Sequence[ListedFile], number: int, refused: list[str]) -> bool:
    """Load some files, if any are new; whether anything was done. What was set aside whole is told and added."""
    if not load_plan.new_names(context.lake, context.settings.sources, listed):
        return False
    try:
        return _load(context, listed, number)
    except RefusedError as error:
        context.reporter.say(f"  {error}")
        refused.append(str(error))
        return True


def _load(context: Context, listed: Sequence[ListedFile], number: int) -> bool:
    """Load some of the new files; whether anything was done."""
    settings = context.settings

    def plan(context: Context) -> Work[LoadPlan]:
        at_most = settings.ingest.follow_files
        return load_plan.plan_files(context.lake, settings.sources, settings.ingest, listed, at_most=at_most)

    own = context.for_job(ingest.JOB.name, context.request)
    return run(replace(ingest.JOB, plan=plan), own, title=f"ingest {number}") is not None


@contextmanager
def _stopping(stop: Callable[[], None]) -> Iterator[None]:
    """Let SIGTERM and SIGINT end the stream between two batches."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def handle(_: int, __: FrameType | None) -> None:
        stop()

    before = {number: signal.signal(number, handle) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
