"""New files as a stream: `pingti ingest --new` and `--follow`.

Structured Streaming only lists: each micro-batch hands the paths of its new files to the planning and the execution
of the batch job, and leaves a row in `runs`. That a file is loaded once is the tables' own knowledge (`load_id`); a
batch that is replayed after a kill between its commits and its checkpoint finds nothing left to do, and a checkpoint
that is lost costs a survey of all files, never a row.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import reduce
from os.path import abspath
from pathlib import Path
from types import FrameType
from urllib.parse import unquote

from pyspark.errors import PySparkException
from pyspark.sql import DataFrame
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from jobs.ingestion import ingest, load_plan
from jobs.ingestion.load_plan import NewFile
from jobs.runtime.context import Context
from jobs.runtime.job import Work, run
from models import digests
from models.errors import DataError, RefusedError, SettingsError
from udfs.readers.files import sized_files

_BINARY_DDL = "path string, modificationTime timestamp, length bigint, content binary"
_POLL_SECONDS = 1


def ingest_stream(context: Context, *, until_stopped: bool) -> None:
    """Load what is new: once (`until_stopped` False), or again and again until SIGTERM or SIGINT.

    Raises:
        RefusedError: at the end of one pass, where files were set aside whole.
        PingtiError: what a batch raised; the files of that batch are taken again by the next run.
    """
    batches = _Batches(context)
    writer = _stream(context).writeStream.foreachBatch(batches.take).queryName("ingest")
    writer = writer.option("checkpointLocation", checkpoint(context))
    if until_stopped:
        writer = writer.trigger(processingTime=f"{context.settings.ingest.follow_seconds} seconds")
    else:
        writer = writer.trigger(availableNow=True)
    with _stopping(batches.stop):
        _await(writer.start(), batches)
    if batches.failure is not None:
        raise batches.failure
    if batches.refused and not until_stopped:
        raise RefusedError("; ".join(batches.refused))


def checkpoint(context: Context) -> str:
    """Where the stream over these sources keeps what it has listed; other sources start one of their own."""
    lake = context.settings.lake
    if lake.checkpoints is None and lake.location is None:
        raise SettingsError("lake.checkpoints: none is set, and no lake.location to put it beside; name a folder")
    folder = lake.checkpoints or _beside(lake.location or "")
    sources = {name: [one.path, one.digest] for name, one in context.settings.sources.items()}
    name = f"ingest-{digests.of_json(sources, chars=16)}"
    return f"{folder.rstrip('/')}/{name}" if "://" in folder else str(Path(folder).resolve() / name)


def _beside(location: str) -> str:
    if "://" in location:
        return f"{location.rstrip('/').rpartition('/')[0]}/checkpoints"
    return str(Path(location).resolve().parent / "checkpoints")


def _stream(context: Context) -> DataFrame:
    """(source_name, path) of every file that is new to the checkpoint."""
    if not context.settings.sources:
        load_plan.list_sources(context.settings.sources, context.reporter.say)  # tells what to do about it
    reader = context.spark.readStream.format("binaryFile").schema(_BINARY_DDL)
    # Nothing but names is read here. A file taken away again is as one that never came.
    reader = reader.option("ignoreMissingFiles", "true")
    # By default a file older than a week, by its own time, is left out in silence when it comes late.
    reader = reader.option("maxFileAge", "36500d").option("maxFilesPerTrigger", context.settings.ingest.follow_files)
    listed = []
    for name, source in context.settings.sources.items():
        try:
            files = reader.load(source.path if "://" in source.path else abspath(source.path))  # noqa: PTH100 (globs)
        except PySparkException as error:
            condition = error.getCondition() or type(error).__name__
            raise DataError(
                f"sources.{name}: {source.path} cannot be followed ({condition}); make the folder"
            ) from None
        listed.append(files.select(F.lit(name).alias("source_name"), "path"))
    return reduce(DataFrame.unionByName, listed)


class _Batches:
    """Takes micro-batches, one at a time, and keeps what they raised."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._stopped = threading.Event()
        self.busy = threading.Lock()
        self.failure: Exception | None = None
        self.refused: list[str] = []

    @property
    def stopped(self) -> bool:
        """Whether no further batch may begin."""
        return self._stopped.is_set()

    def stop(self) -> None:
        """Begin no further batch."""
        self._stopped.set()

    def take(self, frame: DataFrame, number: int) -> None:
        """Load the files of a batch. An error leaves the batch out of the checkpoint, so that it comes again."""
        with self.busy:
            if self.stopped:
                raise InterruptedError("stopped before this batch began")
            try:
                self._load(frame, number)
            except RefusedError as error:
                self._context.reporter.say(f"  {error}")
                self.refused.append(str(error))
            except Exception as error:
                self.failure = error
                raise

    def _load(self, frame: DataFrame, number: int) -> None:
        new = {(row["source_name"], _key(row["path"])) for row in frame.collect()}
        # As the batch job lists and spells them: no files of folders inside, the same name whoever loads it. Spark
        # leaves out empty files, which are refused here by their names; the plan knows those it has met before.
        sized = {name: sized_files(one.path) for name, one in self._context.settings.sources.items()}
        listed = [
            (name, path, size)
            for name, files in sized.items()
            for path, size in files
            if size == 0 or (name, _key(path)) in new
        ]
        if not listed:
            return
        context = self._context.for_job(ingest.JOB.name, self._context.request)

        def plan(context: Context) -> Work[tuple[NewFile, ...]]:
            return load_plan.plan_files(context.lake, context.settings.sources, listed)

        run(replace(ingest.JOB, plan=plan), context, title=f"ingest {number}")


def _key(path: str) -> str:
    """One spelling for Hadoop's names, Arrow's and ours: Hadoop writes local ones with `file:` and quotes none."""
    if "://" in path and not path.startswith("file:"):
        return unquote(path)
    if path.startswith("file://"):
        path = unquote(path)
    return abspath("/" + path.removeprefix("file:").lstrip("/") if path.startswith("file:") else path)  # noqa: PTH100


def _await(query: StreamingQuery, batches: _Batches) -> None:
    try:
        while not query.awaitTermination(_POLL_SECONDS):
            if batches.stopped:
                with batches.busy:  # the batch under way ends by itself
                    pass
                query.stop()
    except PySparkException as error:
        if batches.failure is None and not batches.stopped:
            raise DataError(f"ingest: the stream ended ({error.getCondition() or type(error).__name__})") from None


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
