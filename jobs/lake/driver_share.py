"""What the driver does by itself, without a session, and where Spark takes over."""

from __future__ import annotations

DRIVER_BYTES = 256 << 20
"""What the driver reads by itself, as the files' sizes; in memory it is some times as much."""
DRIVER_ROWS = 500_000
"""Rows that the driver holds to merge, or to append."""
