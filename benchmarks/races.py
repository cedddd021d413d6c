"""Two processes write one table at once, over and over: `make races`. Whoever wins, wins whole; nothing is twice.

Each try draws what both do (replace one day, replace a day each, append by one name, append in one turn) and a delay
for each, and looks at the table afterwards by both hands. Processes: delta-rs against delta-rs, and against Spark's
writer.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import date, timedelta
from multiprocessing.connection import Connection
from typing import Any

import pyarrow.compute as pc

from jobs.lake import tables
from jobs.lake.commits import Scope, Stamp
from jobs.lake.store import Lake
from jobs.runtime import session
from jobs.settings import LakeSettings, SessionSettings
from models.errors import ConflictError

FIRST, MODEL, ROWS = date(2026, 3, 1), "praise/textcnn/a", 4
KINDS = ("one day", "a day each", "one name", "one turn")
TABLE = tables.STUDENT_SCORES


def open_lake(place: str) -> Lake:
    """The lake of a process; its session starts when Spark's writer is asked for."""
    small = SessionSettings(master="local[1]", driver_memory="1g", shuffle_partitions=1)
    return Lake(lambda: session.start(small), LakeSettings(location=place), "Asia/Shanghai")


def write(lake: Lake, hand: str, told: Mapping[str, Any]) -> str:
    """One write as it was told; `won`, `nothing` (it was there) or `lost`."""
    writer, day = told["writer"], FIRST + timedelta(days=told["day"])
    rows = [
        {"text_id": f"{writer}-{at}", "dt": day, "model_id": MODEL, "scene": "live_chat", "probs": [0.5],
         "clean_version": "1"}
        for at in range(ROWS)
    ]  # fmt: skip
    stamp, scope = Stamp(writer, "race"), Scope(day, day, "model_id", (MODEL,))
    by_spark = hand == "spark"
    time.sleep(told["delay"])
    try:
        if told["kind"] in ("one day", "a day each"):
            done = (
                lake.replace(lake.frame(TABLE, rows), TABLE, stamp, scope) if by_spark
                else lake.replace_rows(TABLE, rows, stamp, scope)
            )  # fmt: skip
        elif told["kind"] == "one name":
            once = f"try-{told['try']}"
            done = (
                lake.append(lake.frame(TABLE, rows), TABLE, stamp, once=once) if by_spark
                else lake.append_rows(TABLE, rows, stamp, once=once)
            )  # fmt: skip
        elif by_spark:
            done = lake.append_after(lake.frame(TABLE, rows), TABLE, stamp, told["seen"])
        else:
            done = lake.append_rows_after(TABLE, rows, stamp, told["seen"])
    except ConflictError:
        return "lost"
    return "won" if done.rows else "nothing"


def serve(place: str, hand: str, line: Connection) -> None:
    """A process that writes what it is told until it is told to stop."""
    lake = open_lake(place)
    if hand == "spark":
        lake.read(TABLE).count()  # the session is there before the first race
    line.send("ready")
    while (told := line.recv()) is not None:
        line.send(write(lake, hand, told))


def judge(lake: Lake, kind: str, outcomes: list[str], told: list[dict[str, Any]]) -> None:
    """Raise where the table does not hold what exactly the winners wrote."""
    days = sorted({one["day"] for one in told})
    held = {}
    for number in days:
        day = FIRST + timedelta(days=number)
        rows = lake.rows(TABLE, "text_id", where=pc.field("dt") == day)
        held[number] = Counter(row["text_id"].rpartition("-")[0] for row in rows)
    problem = f"{kind}: {outcomes} left {held}"
    winners = {one["writer"] for one, outcome in zip(told, outcomes, strict=True) if outcome == "won"}
    whole = all(count == ROWS for counter in held.values() for count in counter.values())
    writers = {writer for counter in held.values() for writer in counter}
    if not whole or not writers <= winners or not winners:
        raise RuntimeError(problem)
    if kind == "a day each" and len(writers) != 2:
        raise RuntimeError(problem)
    if kind != "a day each" and len(writers) != 1:
        raise RuntimeError(problem)
    if kind in ("one name", "one turn") and len(winners) != 1:
        raise RuntimeError(problem)


def races(hands: tuple[str, str], tries: int, seed: int, place: str) -> Counter[str]:
    """So many tries between two processes; how they ended."""
    random_ = random.Random(seed)
    lake = open_lake(place)
    lake.catalog.make([TABLE])
    start = multiprocessing.get_context("spawn")
    lines, processes = [], []
    for hand in hands:
        ours, theirs = start.Pipe()
        processes.append(start.Process(target=serve, args=(place, hand, theirs), daemon=True))
        processes[-1].start()
        lines.append(ours)
    for line in lines:
        line.recv()
    ended: Counter[str] = Counter()
    widest = {"delta-rs": 0.012, "spark": 0.6}[hands[1]]
    for at in range(tries):
        kind, seen = random_.choice(KINDS), lake.log.version(TABLE)
        told = [
            {
                "kind": kind, "try": at, "writer": f"{seed}-{at}-{name}", "seen": seen,
                "day": at * 2 + (number if kind == "a day each" else 0),
                "delay": random_.uniform(0, widest) if hand == "delta-rs" else random_.uniform(0, 0.02),
            }
            for number, (name, hand) in enumerate(zip("ab", hands, strict=True))
        ]  # fmt: skip
        for line, one in zip(lines, told, strict=True):
            line.send(one)
        outcomes = [line.recv() for line in lines]
        judge(lake, kind, outcomes, told)
        ended[f"{kind}: {' and '.join(sorted(outcomes))}"] += 1
    for line, process in zip(lines, processes, strict=True):
        line.send(None)
        process.join(30)
    return ended


def main() -> int:
    """Race and tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tries", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--against", nargs="+", default=["delta-rs", "spark"])
    asked = parser.parse_args()
    tell: Callable[[str], None] = print
    for other in asked.against:
        with tempfile.TemporaryDirectory() as place:
            started = time.perf_counter()
            ended = races(("delta-rs", other), asked.tries, asked.seed, place)
            tell(f"delta-rs against {other}: {asked.tries} tries in {time.perf_counter() - started:.0f} s, all sound")
            for how, times in sorted(ended.items()):
                tell(f"  {how:<32} {times}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
