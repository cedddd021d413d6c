"""What a commit says of itself: who made it, what it covers, and from what it was computed.

All of it is kept in the commit's `userMetadata` and read back from there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any

from jobs.lake.sql_text import literal
from models.errors import SettingsError


@dataclass(frozen=True, slots=True)
class Scope:
    """What a commit replaces: days, and values of one more partition column (empty: every value)."""

    first: date | None = None
    last: date | None = None
    column: str | None = None
    values: tuple[str, ...] = ()
    boxes: tuple[Scope, ...] = ()  # where it is not all values of all days: the scopes that it is put together from

    @classmethod
    def union(cls, boxes: Sequence[Scope]) -> Scope:
        """What is in any of the scopes; at least one."""
        return boxes[0] if len(boxes) == 1 else cls(boxes=tuple(boxes))

    @property
    def _parts(self) -> tuple[Scope, ...]:
        return self.boxes or (self,)

    def overlaps(self, other: Scope) -> bool:
        """Whether two commits can have touched the same rows."""
        if self.boxes or other.boxes:
            return any(mine.overlaps(theirs) for mine in self._parts for theirs in other._parts)
        days_apart = self.first and other.last and (self.first > other.last or (self.last or self.first) < other.first)  # type: ignore[operator]
        same_column = self.column == other.column
        values_apart = same_column and self.values and other.values and not set(self.values) & set(other.values)
        return not (days_apart or values_apart)

    def covers(self, other: Scope) -> bool:
        """Whether a commit over this scope made every row of the other one; not where it takes two boxes to."""
        if self.boxes or other.boxes:
            return all(any(mine.covers(theirs) for mine in self._parts) for theirs in other._parts)
        days = not (self.first and self.last) or bool(
            other.first and other.last and self.first <= other.first and other.last <= self.last
        )
        values = not self.values or (
            self.column == other.column and bool(other.values) and set(other.values) <= set(self.values)
        )
        return days and values

    def holds(self, partition: Mapping[str, str | None]) -> bool:
        """Whether a file of these partition values lies in the scope; one without days is of every day."""
        if self.boxes:
            return any(box.holds(partition) for box in self.boxes)
        day = partition.get("dt")
        inside = not (self.first and self.last) or day is None or self.first.isoformat() <= day <= self.last.isoformat()
        return inside and (not self.column or not self.values or partition.get(self.column) in self.values)

    def predicate(self) -> str:
        """The scope in SQL."""
        if self.boxes:
            return " OR ".join(f"({box.predicate()})" for box in self.boxes)
        parts = []
        if self.first and self.last:
            parts.append(f"dt >= DATE'{self.first.isoformat()}' AND dt <= DATE'{self.last.isoformat()}'")
        if self.column and self.values:
            if "" in self.values:  # Delta keeps an empty value as null, which no list of values holds
                raise SettingsError(f"{self.column}: an empty name cannot name a partition; give it one")
            listed = ", ".join(literal(value) for value in self.values)
            parts.append(f"{self.column} IN ({listed})")
        if not parts:
            raise ValueError("a replacement needs a scope")
        return " AND ".join(parts)


@dataclass(frozen=True, slots=True)
class Stamp:
    """Who makes a commit, and a digest of everything that decides its content (None: the content speaks)."""

    run_id: str
    job: str
    fingerprint: str | None = None
    counts: Mapping[str, int] | None = None  # what the run will tell in `runs`, should it die before it can
    process: str | None = None  # where the run lives (`jobs.runtime.liveness`)
    expected: int | None = None  # how many rows the commit must have to be whole


@dataclass(frozen=True, slots=True)
class Commit:
    """A commit read back from the table's history."""

    version: int
    rows: int
    fingerprint: str | None
    scope: Scope = Scope()
    expected: int | None = None

    @property
    def whole(self) -> bool:
        """Whether it has the rows that it was to have, where its run said how many."""
        return self.expected in (None, self.rows)


def metadata(stamp: Stamp, scope: Scope) -> str:
    """A commit's `userMetadata`."""
    return json.dumps({"stamp": asdict(stamp), "scope": asdict(scope)}, default=str, sort_keys=True)


def commit_of(row: Mapping[str, Any], stamp: Stamp, scope: Scope) -> Commit:
    """A row of the table's history as a commit of ours."""
    metrics = row.get("operationMetrics") or {}
    rows = metrics.get("numOutputRows") or metrics.get("numTargetRowsInserted") or "0"
    return Commit(int(row["version"]), int(rows), stamp.fingerprint, scope, stamp.expected)


def parsed(metadata: str | None) -> tuple[Stamp, Scope] | None:
    """Stamp and scope of a commit of ours; None for one that another tool made."""
    try:
        value = json.loads(metadata or "")
        return Stamp(**value["stamp"]), _scope(value["scope"])
    except (ValueError, KeyError, TypeError):
        return None


def _scope(told: Mapping[str, Any]) -> Scope:
    first, last = (date.fromisoformat(told[key]) if told[key] else None for key in ("first", "last"))
    boxes = tuple(_scope(box) for box in told.get("boxes", ()))
    return Scope(first, last, told["column"], tuple(told["values"]), boxes)
