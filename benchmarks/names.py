"""What it costs to find out which of many files are new: `python -m benchmarks.names [--files N] [--new N]`.

Makes small files, records all but the new ones in `loads`, and plans an ingest over them,
without a session: seconds, and what its memory grew by. The new ones are more than a batch takes, so they are named
and not opened.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from datetime import UTC, date, datetime
from pathlib import Path

from jobs.ingestion import load_plan, source_files
from jobs.ingestion.file_survey import ListedFile
from jobs.lake import loads, tables
from jobs.lake.commits import Stamp
from jobs.lake.store import Lake
from jobs.settings import LakeSettings
from udfs.readers.sources import IngestSettings, SourceSettings

LINE = b'{"id": "%d", "t": "a", "e": "2026-03-01T08:00:00Z"}\n'
_RECORDED_AT_ONCE = 50_000


def main() -> None:
    """Make the files and their records, and plan."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--files", type=int, default=100_000)
    asked.add_argument("--new", type=int, default=20_000)
    arguments = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        source = _source(Path(folder) / "in", arguments.files)
        lake = _lake(Path(folder))
        listed = list(source_files.list_sources({"app": source}).files)
        _record(lake, source, listed[arguments.new :])
        before, start = _peak_mb(), time.perf_counter()
        listed = list(source_files.list_sources({"app": source}).files)
        seconds = time.perf_counter() - start
        settings = IngestSettings(batch_files=max(1, arguments.new // 2))
        work = load_plan.plan_files(lake, {"app": source}, settings, listed)
        total = time.perf_counter() - start
    print(
        f"{arguments.files:,} files listed in {seconds:.2f} s, planned in {total - seconds:.2f} s, peak memory", end=" "
    )
    print(f"{before:.0f} -> {_peak_mb():.0f} MB: {'; '.join(work.steps)}")


def _source(folder: Path, files: int) -> SourceSettings:
    folder.mkdir(parents=True)
    for number in range(files):
        (folder / f"part-{number:07}.jsonl").write_bytes(LINE % number)
    columns = {"source_id": "id", "text": "t", "event_time": "e"}
    constants = {"scene": "chat", "source": "app"}
    return SourceSettings.model_validate(
        {"path": str(folder), "format": "jsonl", "columns": columns, "constants": constants}
    )


def _lake(folder: Path) -> Lake:
    def session() -> None:
        raise AssertionError("a plan asked for a session")

    lake = Lake(session, LakeSettings(location=str(folder / "warehouse")), "Asia/Shanghai")  # type: ignore[arg-type]
    lake.catalog.make(load_plan.COMMITTED)
    return lake


def _record(lake: Lake, source: SourceSettings, listed: list[ListedFile]) -> None:
    day: date = datetime.now(UTC).date()
    told = {"layout": source.digest, "arrived_dt": day, "sha256": "", "first": 0, "state": loads.LOADED, "run_id": "1"}
    counts = {"records": 1, "raw": 0, "rejected": 0, "repeated": 1}
    for at in range(0, len(listed), _RECORDED_AT_ONCE):
        rows = [
            told | counts | {"load_id": file.path, "file": file.path, "size": file.size, "modified": file.modified}
            for file in listed[at : at + _RECORDED_AT_ONCE]
        ]
        lake.append_rows(tables.LOADS, rows, Stamp("1", "names"))


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
