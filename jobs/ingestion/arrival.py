"""When records arrive."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo


@dataclass(frozen=True, slots=True)
class Arrival:
    """When a run's records arrive: the moment, and its day in the session's zone."""

    moment: datetime
    zone: str

    @property
    def day(self) -> date:
        """The `arrived_dt` of its rows."""
        return self.moment.astimezone(ZoneInfo(self.zone)).date()
