"""Writes a demo corpus: three files of texts, the truth apart, annotators' files, a manifest that counts all.

The parent process writes, in the order of the plan; workers make chunks. Memory holds a few chunks, a hash of
every text, and the annotators' candidates.
"""

from __future__ import annotations

import json
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from multiprocessing import get_context
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.demo import annotators
from jobs.demo.chunks import Chunk, Tally, make_chunk
from jobs.demo.clusters import CHAT, PHOTO, SCENES, SPEECH
from jobs.demo.corpus_plan import ChunkPlan, plan
from jobs.demo.corpus_settings import CorpusSettings
from jobs.demo.manifest import build_manifest
from jobs.demo.source_records import COLUMNS, FILES, speech_header
from models.errors import EnvError, SettingsError

Progress = Callable[[int, int], None]  # takes the number of records written so far, and of all
ROW_GROUP = 20_000
OWNED = frozenset({"texts", "annotations", "truth.jsonl", "manifest.json"})
_PHOTO_SCHEMA = pa.schema(
    [
        (COLUMNS[PHOTO]["id"], pa.string()),
        (COLUMNS[PHOTO]["text"], pa.string()),
        (COLUMNS[PHOTO]["time"], pa.timestamp("us", tz="UTC")),
    ]
)


def generate(settings: CorpusSettings, folder: Path, progress: Progress | None = None) -> dict[str, Any]:
    """Write the corpus into a folder and return its manifest.

    The same settings (but `processes`) give the same bytes. The manifest is written last: a folder without
    one is a run that did not end, and the next run replaces it.

    Args:
        settings: What to make.
        folder: Made if absent. An earlier corpus in it is replaced.
        progress: Called now and then.

    Raises:
        SettingsError: The folder holds something that is not ours.
        EnvError: The folder cannot be written.
    """
    try:
        _prepare(folder)
        return _generate(settings, folder, progress)
    except OSError as error:
        raise EnvError(
            f"{folder}: cannot write the corpus ({error.strerror or error}); free space or name another"
        ) from error


def _prepare(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    foreign = sorted(path.name for path in folder.iterdir() if path.name not in OWNED)
    if foreign:
        raise SettingsError(
            f"{folder}: holds {len(foreign)} entries that are no demo corpus, such as {foreign[0]!r}; "
            "expected an empty folder or an earlier corpus; name another folder"
        )
    (folder / "manifest.json").unlink(missing_ok=True)
    for name in ("texts", "annotations"):
        (folder / name).mkdir(exist_ok=True)
    for stale in (folder / "annotations").glob("ann*.csv"):
        stale.unlink()


def _generate(settings: CorpusSettings, folder: Path, progress: Progress | None) -> dict[str, Any]:
    plans = plan(settings)
    tallies = {scene: Tally() for scene in SCENES}
    hashes: list[bytes] = []
    # Of the first days together, and of each of the last ones by itself.
    asked = {each.checked: each.per_label for each in plans if each.per_label}
    reservoirs = {day: annotators.Reservoir(annotators.caps(settings, count)) for day, count in asked.items()}
    done = 0
    with _Files(folder) as files:
        for chunk in _chunks_in_order(plans, settings):
            files.write(chunk)
            tallies[chunk.plan.scene].add(chunk.tally)
            hashes.append(chunk.hashes)
            if chunk.plan.per_label:
                reservoirs[chunk.plan.checked].merge(chunk.candidates)
            done += chunk.plan.count
            if progress is not None:
                progress(done, settings.texts)
    judged = annotators.annotate(settings, reservoirs, folder / "annotations")
    distinct = len(np.unique(np.frombuffer(b"".join(hashes), dtype=np.uint64)))
    manifest = build_manifest(settings, folder, tallies, distinct, judged)
    text = json.dumps(manifest, ensure_ascii=False, indent=1) + "\n"
    (folder / "manifest.json").write_text(text, encoding="utf-8")
    return manifest


def _chunks_in_order(plans: list[ChunkPlan], settings: CorpusSettings) -> Iterator[Chunk]:
    """The chunks of the plans, made ahead by at most a few per process."""
    workers = settings.processes or min(_cores(), 1 + settings.texts // 20_000)
    if workers == 1:
        yield from (make_chunk(each, settings) for each in plans)
        return
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        pending: deque[Future[Chunk]] = deque()
        for each in plans:
            pending.append(pool.submit(make_chunk, each, settings))
            if len(pending) > 3 * workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _cores() -> int:
    """The cores this process may use; all of the machine's where the system does not say."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Files:
    """The open files of a corpus under writing."""

    def __init__(self, folder: Path) -> None:
        self._stack = ExitStack()
        self._bodies = {
            scene: self._stack.enter_context((folder / FILES[scene]).open("wb")) for scene in (CHAT, SPEECH)
        }
        self._bodies[SPEECH].write(speech_header())
        self._truth = self._stack.enter_context((folder / "truth.jsonl").open("wb"))
        self._photos = self._stack.enter_context(pq.ParquetWriter(folder / FILES[PHOTO], _PHOTO_SCHEMA))
        self._waiting = _PHOTO_SCHEMA.empty_table()

    def write(self, chunk: Chunk) -> None:
        """Append a chunk's records and truth."""
        if isinstance(chunk.body, bytes):
            self._bodies[chunk.plan.scene].write(chunk.body)
        else:
            columns = [pa.array(c, type=f.type) for c, f in zip(chunk.body, _PHOTO_SCHEMA, strict=True)]
            self._waiting = pa.concat_tables([self._waiting, pa.table(columns, schema=_PHOTO_SCHEMA)])
            while self._waiting.num_rows >= ROW_GROUP:
                self._flush(ROW_GROUP)
        self._truth.write(chunk.truth)

    def _flush(self, rows: int) -> None:
        self._photos.write_table(self._waiting.slice(0, rows).combine_chunks(), row_group_size=ROW_GROUP)
        self._waiting = self._waiting.slice(rows)

    def __enter__(self) -> _Files:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._stack:
            if error is None and self._waiting.num_rows:
                self._flush(self._waiting.num_rows)
