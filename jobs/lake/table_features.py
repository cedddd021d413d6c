"""What a table's protocol asks of those who read and write it, and what of that we keep by ourselves."""

from __future__ import annotations

from typing import Any

# A table that asks for more is left to Spark's reader and writer, which know it all.
_KEPT = frozenset({"appendOnly", "invariants", "timestampNtz"})
# Versions of the protocol: up to which we keep all of it, and from which a table names its features.
_LEGACY_READER, _LEGACY_WRITER, _NAMED = 1, 2, 7


def beyond_ours(protocol: Any) -> str | None:
    """Why a table of this protocol (delta-rs' `ProtocolVersions`) is not for us, None where it is."""
    named = {*(protocol.reader_features or ()), *(protocol.writer_features or ())} - _KEPT
    if named:
        return f"it has the features {', '.join(sorted(named))}"
    if protocol.min_reader_version > _LEGACY_READER and protocol.min_writer_version < _NAMED:
        return f"it asks for readers of version {protocol.min_reader_version}"
    if _LEGACY_WRITER < protocol.min_writer_version < _NAMED:
        return f"it asks for writers of version {protocol.min_writer_version}"
    return None
