"""The school year: how many texts a day has, and what they are about.

Days of the year are fixed (no lunar calendar), so that every year has the same terms.
"""

from __future__ import annotations

from datetime import date

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
