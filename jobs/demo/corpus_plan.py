"""Plans the corpus before a word is made: the school year, how many records a day has, which are broken.

Days of the year are fixed (no lunar calendar), so that every year has the same terms. Chunks
are cut from the settings alone, each with a random stream of its own: that is why the number of processes
changes no byte.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import accumulate
from random import Random

from jobs.demo.clusters import CHAT, PHOTO, SCENES, SPEECH
from jobs.demo.corpus_settings import CorpusSettings
from models import digests

CHUNK = 4000  # records; part of what the bytes depend on
SMALLEST_WITH_ALL_KINDS = 1000  # a corpus from this size on holds every kind of broken record
KINDS = {
    CHAT: ("not_utf8", "no_text", "duplicate_id", "wrong_type"),
    SPEECH: ("not_utf8", "no_text", "duplicate_id", "wrong_type"),
    PHOTO: ("no_text", "duplicate_id"),  # Parquet has types and refuses bad UTF-8 itself
}
_ID_PREFIX = {CHAT: "m", SPEECH: "u", PHOTO: "p"}

# (month, day) to (month, day), both included.
EXAM_WEEKS = (((1, 5), (1, 18)), ((4, 20), (4, 30)), ((6, 20), (7, 3)), ((11, 8), (11, 18)))
TERM_STARTS = (((1, 24), (1, 30)), ((2, 20), (3, 7)), ((7, 10), (7, 16)), ((9, 1), (9, 14)))

WEEKDAY_VOLUME = (0.75, 0.80, 0.85, 0.85, 1.05, 1.45, 1.35)  # Monday first; classes crowd the weekend

# How the frequency of a topic changes with the weekday, Monday first.
WEEKDAY_TOPIC: dict[str, tuple[float, ...]] = {
    "homework": (0.9, 0.9, 0.9, 1.0, 1.4, 0.9, 1.1),
    "complaint": (1.3, 1.1, 1.0, 1.0, 0.8, 0.9, 1.0),
    "technical": (0.8, 0.8, 0.9, 0.9, 1.0, 1.3, 1.2),
    "thanks": (0.8, 0.9, 0.9, 1.0, 1.1, 1.1, 1.2),
    "praise": (0.9, 1.0, 1.0, 1.0, 1.2, 1.0, 0.9),
    "chat": (0.8, 0.9, 0.9, 1.0, 1.3, 1.1, 1.0),
}
SEASON_TOPIC: dict[str, dict[str, float]] = {
    "exam": {"homework": 0.8, "complaint": 1.4, "thanks": 1.3, "exam": 3.0, "chat": 0.7, "praise": 0.8},
    "start": {"technical": 1.5, "homework": 1.1, "exam": 0.4, "greeting": 1.6, "complaint": 0.8},
    "plain": {},
}
SEASON_VOLUME = {"exam": 1.25, "start": 1.15, "plain": 1.0}

# Share of a day's texts before each hour from 7 to 23, for school days and for the weekend (local time).
HOURS = tuple(range(7, 24))
_SCHOOL_DAY = (1, 1, 1, 1, 1, 2, 2, 1, 1, 3, 8, 14, 22, 22, 14, 6)
_WEEKEND = (1, 6, 12, 13, 9, 4, 4, 9, 10, 8, 5, 5, 9, 9, 5, 2)


@dataclass(frozen=True, slots=True)
class Broken:
    """One broken record: its place in the file, what is wrong, and for a duplicate the id it repeats."""

    position: int
    kind: str
    same_as: str | None = None


@dataclass(frozen=True, slots=True)
class ChunkPlan:
    """Records `start` to `start + count` of the `day_total` of a scene's day; `first` counts in the file."""

    scene: str
    day: date
    start: int
    count: int
    day_total: int
    first: int
    broken: tuple[Broken, ...]
    per_label: int  # how many texts a label may give the annotators; 0: the day is not annotated
    checked: date | None = None  # a day whose annotators' texts are drawn by itself; None: with those of the first days


def season(day: date) -> str:
    """`exam`, `start` (of a term) or `plain`."""
    if any(first <= (day.month, day.day) <= last for first, last in EXAM_WEEKS):
        return "exam"
    if any(first <= (day.month, day.day) <= last for first, last in TERM_STARTS):
        return "start"
    return "plain"


def volume(day: date) -> float:
    """How many texts the day has, relative to an average day."""
    return WEEKDAY_VOLUME[day.weekday()] * SEASON_VOLUME[season(day)]


def topic_factor(topic: str, day: date) -> float:
    """How much more often than on average a topic comes up on this day."""
    weekday = WEEKDAY_TOPIC.get(topic, (1.0,) * 7)[day.weekday()]
    return weekday * SEASON_TOPIC[season(day)].get(topic, 1.0)


def second_of_day(share: float, day: date) -> float:
    """The local second at which `share` (0 to 1) of the day's texts have been said; grows with `share`."""
    hourly = _WEEKEND if day.weekday() >= 5 else _SCHOOL_DAY
    rest = min(max(share, 0.0), 1.0 - 1e-9) * sum(hourly)
    for hour, amount in zip(HOURS, hourly, strict=False):
        if rest < amount:
            return (hour + rest / amount) * 3600
        rest -= amount
    return HOURS[-1] * 3600.0


def stream(settings: CorpusSettings, *key: object) -> Random:
    """The random stream that belongs to a key: the same wherever and whenever it is asked for."""
    return Random(int(digests.of_json([settings.seed, *map(str, key)], chars=32), 16))


def source_id(scene: str, day: date, index: int) -> str:
    """The id a source gives its record number `index` of a day; ids of a source sort by time."""
    return f"{_ID_PREFIX[scene]}{day:%Y%m%d}{index:07d}"


def allocate(total: int, weights: Sequence[float]) -> list[int]:
    """Whole numbers in proportion to the weights that sum to `total`, by largest remainders."""
    scale = total / sum(weights)
    floors = [int(weight * scale) for weight in weights]
    by_rest = sorted(range(len(weights)), key=lambda i: (floors[i] - weights[i] * scale, i))
    for index in by_rest[: total - sum(floors)]:
        floors[index] += 1
    return floors


def day_counts(settings: CorpusSettings) -> dict[str, list[int]]:
    """How many records each scene has on each day."""
    chat_share = 1 - settings.speech_share - settings.photo_share
    totals = allocate(settings.texts, (chat_share, settings.speech_share, settings.photo_share))
    counts = {}
    for scene, total in zip(SCENES, totals, strict=True):
        random = stream(settings, "volume", scene)
        counts[scene] = allocate(total, [volume(day) * (0.9 + 0.2 * random.random()) for day in settings.all_days])
    return counts


def plan(settings: CorpusSettings) -> list[ChunkPlan]:
    """Every chunk, in the order of the files: scene by scene, day by day."""
    counts = day_counts(settings)
    eligible = sum(sum(counts[scene][: len(settings.annotated_days)]) for scene in SCENES)
    per_label = min(settings.annotations_per_label, max(10, eligible // 20))
    asked = dict.fromkeys(settings.annotated_days, per_label)
    asked |= dict.fromkeys(settings.checked_days, min(per_label, settings.annotation.checked_per_label))
    return [chunk for scene in SCENES for chunk in _scene_chunks(settings, scene, counts[scene], asked)]


def _scene_chunks(
    settings: CorpusSettings, scene: str, counts: list[int], per_label: Mapping[date, int]
) -> Iterator[ChunkPlan]:
    broken = _broken_records(settings, scene, counts)
    first = 0
    for day, day_total in zip(settings.all_days, counts, strict=True):
        asked, checked = per_label.get(day, 0), day if day in settings.checked_days else None
        for start in range(0, day_total, CHUNK):
            count = min(CHUNK, day_total - start)
            here = tuple(b for b in broken if first <= b.position < first + count)
            yield ChunkPlan(scene, day, start, count, day_total, first, here, asked, checked)
            first += count


def _broken_records(settings: CorpusSettings, scene: str, counts: list[int]) -> list[Broken]:
    total = sum(counts)
    kinds = KINDS[scene]
    wanted = round(settings.broken_share * total)
    full = settings.broken_share > 0 and settings.texts >= SMALLEST_WITH_ALL_KINDS
    if full:
        wanted = max(wanted, len(kinds))
    long_one = 1 if full and scene == CHAT else 0
    wanted = max(0, min(wanted + long_one, total - 1))
    random = stream(settings, "broken", scene)
    positions = random.sample(range(1, total), wanted) if wanted else []  # the first record is never broken
    taken = set(positions)
    days = list(accumulate(counts, initial=0))
    records = []
    for order, position in enumerate(positions):
        kind = "too_long" if order < long_one else kinds[(order - long_one) % len(kinds)]
        same_as = None
        if kind == "duplicate_id":
            earlier = max(0, position - 1 - int(random.random() * 40))
            while earlier in taken:
                earlier -= 1
            day = bisect_right(days, earlier) - 1
            same_as = source_id(scene, settings.all_days[day], earlier - days[day])
        records.append(Broken(position, kind, same_as))
    return records
